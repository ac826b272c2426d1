"use strict";
// What is shown: the ranking, the threshold, why an image was found, the saved list.

const shown = { answer: null, more: false, cards: [], level: {}, open: -1, explained: new Map() };
/** A share that may be as small as it likes. */
const rate = (value) => `${Number((100 * value).toPrecision(2))}%`;

function clear() {
  Object.assign(shown, { answer: null, more: false, cards: [] });
  shown.explained.clear();
  at("gallery").inert = false;
  for (const id of ["gallery", "messages", "state", "kept"]) at(id).replaceChildren();
  at("bar").hidden = at("more").hidden = at("predicted").hidden = true;
}

function showState(title, text) {
  at("state").replaceChildren(make("h2", { textContent: title }), make("p", { textContent: text }));
}

/** What was found before stays, but it is not the answer, and leads nowhere. */
function showProblem(text) {
  const kept = shown.answer?.results.length ? [make("p", { className: "remark", textContent: "The images below are those of the question before." })] : [];
  at("results").removeAttribute("aria-busy");
  for (const id of ["state", "kept"]) at(id).replaceChildren();
  at("bar").hidden = at("more").hidden = at("predicted").hidden = at("gallery").inert = true;
  const problem = { className: `remark problem${text.includes("^\n") ? " caret" : ""}`, role: "alert", textContent: text };
  at("messages").replaceChildren(make("p", problem), ...kept);
}

function showAnswer(answer, where, more) {
  clear();
  Object.assign(shown, { answer, more });
  const remarks = [...answer.answers, ...answer.notes.map((note) => `Note: ${note}.`)];
  at("messages").replaceChildren(...remarks.map((text) => make("p", { className: "remark", textContent: text })));
  const predicted = Object.values(answer.predicted)[0];
  at("predicted").hidden = !predicted || !Object.keys(predicted).length;
  at("predicted").replaceChildren("Looks like: ", ...Object.entries(predicted ?? {}).map(([name, value]) =>
    make("span", { textContent: `${name.replaceAll("_", " ")}: ${value}` })));
  if (!answer.results.length) return showState("No image fits", wayOut(where));
  shown.cards = answer.results.map(card);
  at("gallery").replaceChildren(...shown.cards.map((each) => make("li", {}, each)));
  shown.cards[0].tabIndex = 0;
  at("bar").hidden = false;
  at("more").hidden = !more;
  offerMeasures();
}

/** What of the question may be taken back. */
function wayOut(where) {
  const ways = where ? ["Take a condition away"] : [];
  if (at("strict").checked) ways.push("untick Strict");
  if (at("different_camera").checked) ways.push("untick Different camera");
  if (!ways.length && asked.facts.junk && !at("keep_junk").checked) ways.push("tick Keep junk");
  const text = ways.join(", or ");
  return text && `${text[0].toUpperCase()}${text.slice(1)}.`;
}

function picture(result, className = "") {
  const blank = (textContent) => make("span", { className: `blank ${className}`, textContent });
  if (!result.thumbnail) return blank("no picture kept");
  const image = make("img", { src: result.thumbnail, alt: "", loading: "lazy", width: 64, height: 128, className });
  image.addEventListener("error", () => image.replaceWith(blank("gone")));
  return image;
}

function card(result, index) {
  const told = result.probability ?? result.description;
  const all = result.agreeing.length + result.differing.length;
  const value = told !== null ? bruna_percent(told) : result.distance !== null ? bruna_distance(result.distance) : "";
  const described = result.probability !== null && result.description !== null && `description ${bruna_percent(result.description)}`;
  const file = result.key.split("/").pop();
  const facts = [described, result.camera !== null && `camera ${result.camera}`, result.time, all && `${result.agreeing.length} of ${all} ${described ? "as the photo" : "agree"}`].filter(Boolean);
  const bar = make("span", { className: "level" }, make("i"));
  bar.firstChild.style.width = `${100 * (result.probability ?? 1) * (result.description ?? 1)}%`;
  const found = make("button", { type: "button", className: "card", tabIndex: -1, title: result.key,
    aria: { label: `Rank ${result.rank}: ${[value, ...facts, result.key].filter(Boolean).join(", ")}` } },
    make("span", { className: "rank", textContent: result.rank }), picture(result),
    make("strong", { textContent: value }), ...(told !== null ? [bar] : []),
    ...facts.map((text) => make("span", { className: "fact", textContent: text })),
    make("bdi", { className: "file", textContent: file }));
  found.addEventListener("click", () => showWhy(index));
  return found;
}

// ---- the threshold ----

const MEASURES = {
  probability: {
    title: "probability of the same person",
    stops: () => (shown.answer.results[0].probability === null ? [] : Array.from({ length: 100 }, (_, each) => (each + 1) / 100)),
    keeps: ({ probability }, stop) => probability >= stop,
    tell: (stop) => `With a probability of ${rate(stop)} or more the same person.`,
  },
  fmr: {
    title: "false match rate",
    stops: () => (shown.answer.results[0].distance === null ? [] : asked.facts.calibration?.rates ?? []),
    keeps: ({ distance }, stop) => distance < stop.distance,
    tell: ({ rate: share, missed }) => {
      const others = Math.round(share * shown.answer.searched);
      const many = asked.photos.length > 1 ? " Measured with one photo: several lie nearer to everybody." : "";
      return `At most ${rate(share)} of other people are as near: of ${plural(shown.answer.searched, "image")} about `
        + `${others.toLocaleString("en")} pass wrongly, beside those of the person. `
        + `${rate(missed)} of a person's own images are farther.${many}`;
    },
  },
  description: {
    title: "probability of the description",
    stops: () => {  // products are small: up to the greatest there is
      const most = Math.max(...shown.answer.results.map(({ description }) => description ?? 0));
      return most ? Array.from({ length: 100 }, (_, each) => (most * (each + 1)) / 100) : [];
    },
    keeps: ({ description }, stop) => description >= stop,
    tell: (stop) => `With a probability of ${rate(stop)} or more as described.`,
  },
  distance: {
    title: "distance",
    stops: () => shown.answer.results.map(({ distance }) => distance).filter((each) => each !== null).sort((a, b) => b - a),
    keeps: ({ distance }, stop) => distance <= stop,
    tell: (stop) => `Nearer than ${bruna_distance(stop)}, or as near.`,
  },
};

function offerMeasures() {
  const before = at("measure").value;
  const offered = Object.keys(MEASURES).filter((name) => MEASURES[name].stops().length);
  at("measure").replaceChildren(...offered.map((name) => make("option", { value: name, textContent: MEASURES[name].title })));
  if (offered.includes(before)) at("measure").value = before;
  at("threshold").hidden = !offered.length;
  chooseMeasure();
}

function chooseMeasure() {
  const name = at("measure").value;
  const stops = name ? MEASURES[name].stops() : [];
  at("level").max = stops.length;
  at("level").value = shown.level[name] ?? 0;
  applyThreshold();
}

function keeper() {
  const name = at("measure").value, level = Number(at("level").value);
  if (!name || !level) return null;
  const stop = MEASURES[name].stops()[level - 1];
  return { stop, measure: MEASURES[name], keeps: (result) => MEASURES[name].keeps(result, stop) };
}

function applyThreshold() {
  const threshold = keeper(), { results } = shown.answer;
  shown.level[at("measure").value] = Number(at("level").value);
  let kept = 0;
  results.forEach((result, index) => {
    const out = threshold !== null && !threshold.keeps(result);
    shown.cards[index].classList.toggle("out", out);
    shown.cards[index].setAttribute("aria-description", out ? "beyond the threshold" : "");
    kept += !out;
  });
  const all = plural(results.length, "image");
  at("kept").textContent = threshold === null ? `The ${results.length === 1 ? "" : `${results.length.toLocaleString("en")} `}best ${results.length === 1 ? "image" : "images"}`
    : kept === results.length && shown.more ? `${results.length.toLocaleString("en")} or more images pass: choose Show more`
    : kept ? `${kept.toLocaleString("en")} of ${all} ${kept === 1 ? "passes" : "pass"}` : "Not in the gallery: no image passes";
  at("told").textContent = threshold === null ? "Off: all results count." : threshold.measure.tell(threshold.stop);
  at("level").setAttribute("aria-valuetext", at("told").textContent);
}

at("level").addEventListener("input", applyThreshold);
at("measure").addEventListener("change", chooseMeasure);

// ---- moving through the results, and why ----

function moveTo(index) {
  if (!shown.cards[index]) return;
  for (const each of shown.cards) each.tabIndex = -1;
  shown.cards[index].tabIndex = 0;
  shown.cards[index].focus();
}

at("gallery").addEventListener("keydown", (event) => {
  const index = shown.cards.indexOf(document.activeElement);
  const top = shown.cards[0]?.offsetTop;
  const columns = Math.max(shown.cards.findIndex((each) => each.offsetTop > top), 0) || shown.cards.length;
  const to = { ArrowRight: index + 1, ArrowLeft: index - 1, ArrowDown: index + columns, ArrowUp: index - columns,
    Home: 0, End: shown.cards.length - 1 }[event.key];
  if (to === undefined || index < 0) return;
  event.preventDefault();
  moveTo(to);
});

async function showWhy(index) {
  const result = shown.answer.results[index];
  shown.open = index;
  at("why-title").textContent = `Why rank ${result.rank}?`;
  at("before").disabled = index === 0;
  at("after").disabled = index === shown.cards.length - 1;
  if (!at("why").open) at("why").showModal();
  const body = at("why-body");
  body.replaceChildren(make("p", { className: "wait", textContent: "Comparing …" }));
  try {
    const { query, hit, note } = await explained(result);
    if (shown.open === index) body.replaceChildren(bruna_why(query, hit), make("p", { className: "note", textContent: note }));
  } catch (error) {
    if (shown.open === index) body.replaceChildren(make("p", { className: "remark problem", textContent: error.message }));
  }
}

function explained(result) {
  if (!shown.explained.has(result.key)) {
    const waiting = explain(result);
    shown.explained.set(result.key, waiting);
    waiting.catch(() => shown.explained.delete(result.key));
  }
  return shown.explained.get(result.key);
}

async function explain(result) {
  const photo = asked.photos[0];
  const form = new FormData();
  form.append("key", result.key);
  if (photo) form.append("photo", photo.file);
  const found = await call("api/why", { method: "POST", body: form });
  const hit = { ...found.hit, description: result.description };
  if (!photo) return { query: null, hit: { ...hit, agreeing: result.agreeing, differing: result.differing }, note: "" };
  const alone = asked.photos.length > 1 ? ` Compared with ${photo.file.name} alone, the first of the photos.` : "";
  return { query: { ...found.query, image: photo.url }, hit, note: `Measured from the small picture of the index.${alone}` };
}

at("why").addEventListener("close", () => {
  moveTo(shown.open);
  shown.open = -1;
});
at("why").addEventListener("keydown", (event) => {
  const to = { ArrowRight: at("after"), ArrowLeft: at("before") }[event.key];
  if (to && !to.disabled) to.click();
});
at("why").addEventListener("click", (event) => event.target === at("why") && at("why").close());
at("close").addEventListener("click", () => at("why").close());
at("before").addEventListener("click", () => showWhy(shown.open - 1));
at("after").addEventListener("click", () => showWhy(shown.open + 1));

// ---- the list as a file ----

const COLUMNS = ["query", "rank", "key", "camera", "time", "distance", "probability", "description", "agreeing", "differing"];

function save(name, type, text) {
  const url = URL.createObjectURL(new Blob([text], { type }));
  make("a", { href: url, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(url), 10000);
}

function listed() {
  const threshold = keeper();
  return shown.answer.results.filter((result) => threshold === null || threshold.keeps(result))
    .map((result) => Object.fromEntries(COLUMNS.map((name) => [name, result[name]])));
}

at("csv").addEventListener("click", () => {
  const cell = (value) => {
    const text = Array.isArray(value) ? value.join(", ") : String(value ?? "");
    if (/^[=+\-@\t\r]/.test(text) && Number.isNaN(Number(text))) return cell(`'${text}`);  // no spreadsheet runs it
    return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
  };
  const lines = [COLUMNS, ...listed().map((row) => Object.values(row))].map((row) => row.map(cell).join(","));
  save("bruna.csv", "text/csv", `${lines.join("\n")}\n`);
});
at("json").addEventListener("click", () => {
  const { answers, notes } = shown.answer;
  save("bruna.json", "application/json", JSON.stringify({ results: listed(), answers, notes }, null, 2));
});
