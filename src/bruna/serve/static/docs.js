"use strict";
// The API's own description, openapi.json, as a page: nothing is loaded from elsewhere.

function make(tag, properties = {}, ...children) {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children);
  return element;
}

function table(titles, rows) {
  const line = (cells, tag) => make("tr", {}, ...cells.map((cell) => make(tag, {}, cell)));
  return make("div", { className: "scroll", tabIndex: 0 },
    make("table", {}, make("thead", {}, line(titles, "th")), make("tbody", {}, ...rows.map((row) => line(row, "td")))));
}

/** A schema in words: its type, or those that it may have. */
function kind(schema) {
  if (!schema) return "";
  if (schema.$ref) return schema.$ref.split("/").pop();
  if (schema.anyOf) return schema.anyOf.map(kind).join(" or ");
  if (schema.type === "array") return `list of ${kind(schema.items)}`;
  if (schema.contentMediaType || schema.format === "binary") return "file";
  return schema.type ?? "anything";
}

function section(api, path, method, operation) {
  const form = Object.values(operation.requestBody?.content ?? {})[0]?.schema;
  const body = form && api.components.schemas[kind(form)];
  const fields = (operation.parameters ?? []).map((each) => [each.name, each.schema, each.description, each.required]);
  for (const [name, schema] of Object.entries(body?.properties ?? {})) {
    fields.push([name, schema, schema.description, body.required?.includes(name)]);
  }
  const answers = Object.entries(operation.responses).map(([status, { description, content }]) =>
    [status, Object.values(content ?? {}).map((each) => kind(each.schema)).join(), description]);
  return make("section", {},
    make("h2", {}, make("span", { className: "method", textContent: method.toUpperCase() }), make("code", { textContent: path })),
    make("p", { textContent: operation.description ?? "" }),
    ...(fields.length ? [table(["field", "type", "default", "meaning"], fields.map(([name, schema, text, needed]) =>
      [make("code", { textContent: name }), kind(schema), needed ? "needed" : JSON.stringify(schema.default ?? null), text ?? ""]))] : []),
    table(["status", "answer", "when"], answers));
}

function model([name, schema]) {
  const rows = Object.entries(schema.properties ?? {}).map(([field, each]) => [make("code", { textContent: field }), kind(each)]);
  return make("section", {}, make("h2", { textContent: name }), make("p", { textContent: schema.description ?? "" }), table(["field", "type"], rows));
}

fetch("/openapi.json").then((answer) => answer.json()).then((api) => {
  document.getElementById("lead").textContent = api.info.description;
  const operations = Object.entries(api.paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, operation]) => section(api, path, method, operation)));
  const models = Object.entries(api.components.schemas).filter(([name]) => !/^Body_|ValidationError/.test(name));
  document.getElementById("paths").append(...operations, ...models.map(model));
});
