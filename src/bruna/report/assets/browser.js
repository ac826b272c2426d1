"use strict";
/* The browser of queries: each .browser of the page holds its data as JSON (bruna.report.browser says what is in it),
and gets its rows, filters and the dialog "why this match". All texts are put in as text. */
for (const place of document.querySelectorAll(".browser")) {
  const data = JSON.parse(place.querySelector("script").textContent);
  const AT_ONCE = 20, PHOTOS = 6;

  const make = (tag, kind, ...children) => {
    const element = document.createElement(tag);
    if (kind) element.className = kind;
    element.append(...children.filter(child => child !== null && child !== undefined));
    return element;
  };
  const known = number => typeof number === "number";
  const camera = of => (of ? `camera ${of}` : null);
  const values = codes =>
    Object.fromEntries(data.attributes.flatMap(({ name, values }, i) => (codes && codes[i] >= 0 ? [[name, values[codes[i]]]] : [])));
  const pictured = at => {
    const { name, camera, image, mask, predicted, annotated } = data.images[at];
    return { name, camera, image, mask, attributes: values(predicted), truth: values(annotated) };
  };
  const asked = query => {
    const shown = query.images.length ? pictured(query.images[0]) : { name: query.name };
    return { ...shown, name: query.name ?? shown.name, attributes: query.attributes ?? shown.attributes };
  };
  const VERDICTS = new Map([[true, ["right", "✓", "the same person"]], [false, ["wrong", "✗", "another person"]], [null, ["", "", ""]]]);

  function photo(at) {
    const url = at === undefined ? null : data.images[at].image;
    if (!url) return make("span", "browser-none", "no picture");
    const image = make("img");
    image.src = url;
    image.alt = "";
    return image;
  }

  function hitButton(query, rank) {
    const hit = query.hits[rank];
    const image = data.images[hit.image];
    const [kind, sign, verdict] = VERDICTS.get(hit.match);
    const shown = make("span", "browser-picture", photo(hit.image), sign ? make("span", "browser-sign", sign) : null);
    const shares = [hit.probability, hit.description].filter(known).map(bruna_percent);
    const number = shares.length ? shares.join(" × ") : known(hit.distance) ? bruna_distance(hit.distance) : "";
    const under = make("span", "browser-under", 
      make("span", "", make("b", "", `${rank + 1}`), image.camera ? ` · c${image.camera}` : ""), make("span", "", number));
    const button = make("button", `browser-hit ${kind}`, shown, under);
    button.type = "button";
    const told = [
      `Rank ${rank + 1}`, verdict, camera(image.camera),
      known(hit.distance) ? `distance ${bruna_distance(hit.distance)}` : "",
      known(hit.probability) ? `probability of the same person ${bruna_percent(hit.probability)}` : "",
      known(hit.description) ? `probability of the description ${bruna_percent(hit.description)}` : "",
      `file ${image.name}`,
    ];
    button.setAttribute("aria-label", told.filter(Boolean).join(", "));
    button.title = image.name;
    button.tabIndex = rank ? -1 : 0;
    button.addEventListener("click", () => open(query, rank, button));
    return button;
  }

  function row(query) {
    const first = query.images[0];
    const named = query.name ?? data.images[first].name;
    const facts = make("div", "browser-facts", known(query.ap) ? make("b", "", `AP ${bruna_percent(query.ap)}`) : null);
    if (first !== undefined && camera(data.images[first].camera)) facts.append(make("span", "", camera(data.images[first].camera)));
    facts.append(make("span", "why-name", named));
    const photos = make("div", "browser-photos", ...query.images.slice(0, PHOTOS).map(photo));
    const left = query.images.length - PHOTOS;
    if (left > 0) facts.append(make("span", "", `and ${left} more photos`));
    const question = make("div", first === undefined ? "" : "browser-asked", first === undefined ? null : photos, facts);
    const hits = make("ol", data.wide ? "browser-hits wide" : "browser-hits", ...query.hits.map((_, rank) => make("li", "", hitButton(query, rank))));
    hits.setAttribute("aria-label", `What was found for ${named}`);
    const found = query.hits.length ? hits : make("p", "browser-status", "Nothing was found.");
    return make("li", "browser-row", question, found);
  }

  /* The dialog: Escape closes it, as every modal dialog; arrows lead to the next match. */
  const dialog = make("dialog", "browser-dialog");
  let closed = null;
  dialog.addEventListener("close", () => closed && closed());
  dialog.addEventListener("click", event => event.target === dialog && dialog.close());

  function open(query, rank, button) {
    const show = to => {
      const hit = query.hits[to];
      const [kind, sign, verdict] = VERDICTS.get(hit.match);
      const title = make("h3", "", make("small", "", "Why this match?"), `Rank ${to + 1} `, verdict ? make("span", kind, `${sign} ${verdict}`) : null);
      title.id = `${data.id}-title`;
      const control = (text, label, act, off) => {
        const element = make("button", "", text);
        element.type = "button";
        element.setAttribute("aria-label", label);
        element.disabled = Boolean(off);
        element.addEventListener("click", act);
        return element;
      };
      const buttons = [
        control("←", "Match before", () => show(to - 1), to === 0),
        control("→", "Next match", () => show(to + 1), to === query.hits.length - 1),
        control("Close", "Close (Escape)", () => dialog.close()),
      ];
      const question = query.images.length || query.attributes ? asked(query) : null;
      const why = bruna_why(question, { ...pictured(hit.image), ...hit, image: data.images[hit.image].image });
      dialog.replaceChildren(make("div", "browser-head", title, ...buttons), make("div", "browser-body", why));
      dialog.setAttribute("aria-labelledby", title.id);
      dialog.onkeydown = event => {
        const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
        if (step && query.hits[to + step]) {
          event.preventDefault();
          show(to + step);
        }
      };
      dialog.scrollTop = 0;
      buttons[2].focus();
      closed = () => {
        const all = button.closest(".browser-hits")?.querySelectorAll(".browser-hit");
        if (all) focusOn(all[to]);
      };
    };
    dialog.showModal();
    show(rank);
  }

  function focusOn(button) {
    for (const other of button.closest(".browser-hits").querySelectorAll(".browser-hit")) other.tabIndex = -1;
    button.tabIndex = 0;
    button.focus();
  }

  const list = make("ol", "browser-list");
  list.addEventListener("focusin", event => {
    const button = event.target.closest(".browser-hit");
    if (button && button.tabIndex) focusOn(button);
  });
  list.addEventListener("keydown", event => {
    const button = event.target.closest(".browser-hit");
    if (!button) return;
    const row = button.closest(".browser-row");
    const hits = [...row.querySelectorAll(".browser-hit")];
    const at = hits.indexOf(button);
    const beside = sibling => {
      let other = row[sibling];
      while (other && !other.querySelector(".browser-hit")) other = other[sibling];
      const theirs = other ? other.querySelectorAll(".browser-hit") : [];
      return theirs[Math.min(at, theirs.length - 1)];
    };
    const to = {
      ArrowLeft: () => hits[at - 1], ArrowRight: () => hits[at + 1], Home: () => hits[0], End: () => hits.at(-1),
      ArrowUp: () => beside("previousElementSibling"), ArrowDown: () => beside("nextElementSibling"),
    }[event.key];
    if (!to) return;
    event.preventDefault();
    const next = to();
    if (next) focusOn(next);
  });

  /* Filters. */
  const chooser = (label, options) => {
    const select = make("select");
    for (const [value, text, inside] of options) {
      if (inside) {
        const group = make("optgroup", "", ...inside.map(([v, t]) => new Option(t, v)));
        group.label = text;
        select.append(group);
      } else {
        select.append(new Option(text, value));
      }
    }
    select.addEventListener("change", () => draw());
    return [make("label", "", label, select), select];
  };
  const about = query => data.images[query.images[0]];
  const code = (image, i) => (image.annotated && image.annotated[i] >= 0 ? image.annotated[i] : image.predicted ? image.predicted[i] : -1);
  const cameras = [...new Set(data.queries.map(query => query.images.length && about(query).camera))].filter(Boolean).sort((a, b) => a - b);
  const [sortLabel, sort] = chooser("Order", [["worst", "worst AP first"], ["best", "best AP first"]]);
  const [cameraLabel, byCamera] = chooser("Query’s camera", [["", "any"], ...cameras.map(of => [String(of), String(of)])]);
  const [attributeLabel, byAttribute] = chooser("Query’s attribute", [
    ["", "any"],
    ...data.attributes.map(({ name, values }, i) => ["", name, values.map((value, k) => [`${i}/${k}`, `${name} = ${value}`])]),
  ]);
  const [rightLabel, byRight] = chooser("Rank 1", [["", "right or wrong"], ["right", "right"], ["wrong", "wrong"]]);
  const status = make("p", "browser-status");
  status.setAttribute("role", "status");
  const more = make("button", "browser-more");
  more.type = "button";
  let wanted = [];

  function fits(query) {
    if (byCamera.value && String(about(query).camera) !== byCamera.value) return false;
    if (byAttribute.value) {
      const [attribute, value] = byAttribute.value.split("/").map(Number);
      if (code(about(query), attribute) !== value) return false;
    }
    return !byRight.value || (query.hits.length > 0 && query.hits[0].match === true) === (byRight.value === "right");
  }

  function draw() {
    wanted = data.queries.filter(fits);
    if (sort.value === "best") wanted.reverse();
    list.replaceChildren();
    status.textContent = `${wanted.length} of ${data.queries.length} queries${wanted.length ? "" : ": choose less, or another value"}.`;
    extend();
  }

  function extend() {
    const from = list.children.length;
    list.append(...wanted.slice(from, from + AT_ONCE).map(row));
    const left = wanted.length - list.children.length;
    more.hidden = left <= 0;
    more.textContent = `Show ${Math.min(AT_ONCE, left)} more of ${left}`;
    return list.children[from];
  }
  more.addEventListener("click", () => {
    const hit = extend().querySelector(".browser-hit");
    if (hit) focusOn(hit);
  });

  if (data.filtered) {
    const labels = [sortLabel, cameras.length ? cameraLabel : null, data.attributes.length ? attributeLabel : null, rightLabel];
    place.append(make("div", "browser-controls", ...labels.filter(Boolean)), status);
  }
  place.append(list, more, dialog);
  draw();
}
