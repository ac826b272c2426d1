"use strict";
// What is asked: photos, a description, conditions. results.js shows what comes back.

const at = (id) => document.getElementById(id);
const PAGE = 60, MOST = 1000, PAUSE = 250;
const asked = { photos: [], top: PAGE, facts: null, running: null, timer: 0, from: null };

/** An element with properties and children; text is never read as HTML. */
function make(tag, properties = {}, ...children) {
  const { data, aria, ...rest } = properties;
  const element = Object.assign(document.createElement(tag), rest);
  Object.assign(element.dataset, data);
  for (const [name, value] of Object.entries(aria ?? {})) element.setAttribute(`aria-${name}`, value);
  element.append(...children);
  return element;
}

const plural = (count, what) => `${count.toLocaleString("en")} ${what}${count === 1 ? "" : "s"}`;

/** The JSON of an answer; an Error with the server's own words otherwise. */
async function call(address, options) {
  let answer;
  try {
    answer = await fetch(address, options);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Error("The server does not answer: `bruna serve` has ended. Start it again, then reload this page.");
  }
  const found = await answer.json().catch(() => ({}));
  if (!answer.ok) throw new Error(found.detail ?? `The server answers with status ${answer.status}.`);
  return found;
}

// ---- what the index offers ----

async function begin() {
  try {
    asked.facts = await call("api/index");
  } catch (error) {
    at("facts").textContent = "";
    return showProblem(error.message);
  }
  const { facts } = asked;
  tellIndex(facts.images);
  if (!facts.images) {
    return showState("The index is empty", `\`bruna index SOURCE --to ${facts.name}\` adds images. Then reload this page.`);
  }
  at("all").disabled = false;
  at("attributes").replaceChildren(...facts.attributes.map(select));
  at("describe").hidden = !facts.attributes.length;
  at("cameras").append(...facts.cameras.map(({ value, images }) => make("label", { title: plural(images, "image") },
    make("input", { type: "checkbox", value }), make("bdi", { textContent: value }))));
  at("cameras").hidden = facts.cameras.length < 2;
  at("times").hidden = facts.first_time === null;
  at("from").placeholder = facts.first_time ?? "";
  at("to").placeholder = facts.last_time ?? "";
  at("columns").textContent = facts.columns.join(", ");
  if (matchMedia("(max-width: 820px)").matches) at("describe").open = at("narrow").open = false;
  nothingYet();
}

function tellIndex(images) {
  const { name, junk, cameras } = asked.facts;
  const told = [name, plural(images, "image")];
  if (cameras.length) told.push(plural(cameras.length, "camera"));
  if (junk) told.push(`${junk.toLocaleString("en")} of them junk`);
  at("facts").textContent = told.join(" · ");
}

function select({ name, title, values }) {
  const any = make("option", { value: "", textContent: "any" });
  const options = values.map(({ value, images }) =>
    make("option", { value, textContent: `${value} (${images.toLocaleString("en")})` }));
  return make("label", {}, make("span", { textContent: title }), make("select", { name, data: { attribute: name } }, any, ...options));
}

function nothingYet() {
  const steps = [
    ["Ask", "Drop photos of one person, describe them, or both. The images that fit best come first."],
    ["Narrow", "Choose cameras and times, or write a condition. Every change counts at once."],
    ["Decide", "Move the threshold and see what falls away. Choose an image to see why it was found."],
  ];
  showState("Who are you looking for?", "");
  at("state").append(make("ol", { className: "steps" }, ...steps.map(([title, text]) =>
    make("li", {}, make("strong", { textContent: title }), make("span", { textContent: text })))));
}

// ---- the question ----

const quoted = (text, quote = "'") => quote + text.replaceAll(quote, quote + quote) + quote;

function condition() {
  const chosen = [...at("attributes").querySelectorAll("select")].filter((each) => each.value);
  const cameras = [...at("cameras").querySelectorAll("input:checked")].map((each) => quoted(each.value));
  const known = [];
  if (cameras.length) known.push(`camera in (${cameras.join(", ")})`);
  if (at("from").value.trim()) known.push(`time >= ${quoted(at("from").value.trim())}`);
  if (at("to").value.trim()) known.push(`time <= ${quoted(at("to").value.trim())}`);
  const text = at("where").value.trim();
  const typed = text ? [`(${text})`] : [];
  const flags = ["different_camera", "keep_junk"].filter((id) => at(id).checked);
  at("described").textContent = chosen.length || "";
  at("narrowed").textContent = known.length + typed.length + flags.length || "";
  const described = chosen.map((each) => `${quoted(each.dataset.attribute, '"')} = ${quoted(each.value)}`);
  // What was typed comes first: a message about it shows it first.
  return described.length + known.length ? [...typed, ...described, ...known].join(" and ") : text;
}

/** Ask soon, or now; what was asked before counts no more. */
function ask({ now = false, top = PAGE, from = null } = {}) {
  clearTimeout(asked.timer);
  at("results").setAttribute("aria-busy", "true");
  at("gallery").inert = true;  // these cards answer the question before
  at("why").close();
  Object.assign(asked, { top, from });
  asked.timer = setTimeout(search, now ? 0 : PAUSE);
}

async function search() {
  asked.running?.abort();
  const where = condition();
  if (!asked.photos.length && !where) {
    clear();
    at("results").removeAttribute("aria-busy");
    return nothingYet();
  }
  const { photos, bytes } = asked.facts.limits;
  const size = asked.photos.reduce((total, { file }) => total + file.size, 0);
  if (asked.photos.length > photos || size > bytes - 65536) {
    return showProblem(`A question takes ${photos} photos and ${bytes >> 20} MB at most. Take some away.`);
  }
  const form = new FormData();
  for (const { file } of asked.photos) form.append("photos", file);
  form.append("where", where);
  form.append("top", Math.min(asked.top, MOST));
  for (const id of ["strict", "different_camera", "keep_junk"]) form.append(id, at(id).checked);
  const running = (asked.running = new AbortController());
  try {
    const answer = await call("api/search", { method: "POST", body: form, signal: running.signal });
    tellIndex(answer.images);
    showAnswer(answer, where, asked.top < MOST && answer.results.length >= asked.top);
    if (asked.from !== null) moveTo(Math.min(asked.from, shown.cards.length - 1));
  } catch (error) {
    if (error.name === "AbortError") return;
    showProblem(error.message);
  }
  if (asked.running === running) at("results").removeAttribute("aria-busy");
}

// ---- photos ----

function addPhotos(files) {
  for (const file of files) asked.photos.push({ file, url: URL.createObjectURL(file) });
  showPhotos();
  ask({ now: true });
}

function showPhotos() {
  at("photos").replaceChildren(...asked.photos.map((photo, number) => {
    const remove = make("button", { type: "button", className: "remove", textContent: "✕", aria: { label: `Remove ${photo.file.name}` } });
    remove.addEventListener("click", () => {
      URL.revokeObjectURL(photo.url);
      asked.photos.splice(number, 1);
      showPhotos();
      (at("photos").querySelector("button") ?? at("files")).focus();
      ask({ now: true });
    });
    const image = make("img", { src: photo.url, alt: "" });
    image.addEventListener("error", () => image.replaceWith(make("span", { className: "blank", textContent: "no preview" })));
    return make("li", { title: photo.file.name }, image, make("bdi", { textContent: photo.file.name }), remove);
  }));
}

function reset() {
  asked.photos.forEach(({ url }) => URL.revokeObjectURL(url));
  asked.photos = [];
  showPhotos();
  ask({ now: true });
}

at("files").addEventListener("change", () => {
  addPhotos(at("files").files);
  at("files").value = "";
});
at("ask").addEventListener("input", (event) => event.target.id !== "files" && ask());
at("ask").addEventListener("submit", (event) => (event.preventDefault(), ask({ now: true })));
at("ask").addEventListener("reset", () => setTimeout(reset));
at("more").addEventListener("click", () => ask({ now: true, top: asked.top * 2, from: shown.cards.length }));
for (const kind of ["dragover", "drop", "dragleave"]) {
  document.addEventListener(kind, (event) => {
    event.preventDefault();
    at("drop").classList.toggle("over", kind === "dragover");
    if (kind === "drop" && asked.facts?.images && event.dataTransfer.files.length) addPhotos(event.dataTransfer.files);
  });
}
document.addEventListener("paste", (event) => asked.facts?.images && event.clipboardData.files.length && addPhotos(event.clipboardData.files));
document.addEventListener("DOMContentLoaded", begin);
