"use strict";
/* Why this match? Two images side by side, and what speaks for and against one person.

bruna_why(query, hit) gives an element. An image is {name, image, mask, attributes, truth, camera}: the URLs of the
picture and of the outline (null where there is none), values by attribute as predicted and (optional) as annotated.
A hit may have {distance, probability, upper, lower}; and {agreeing, differing}, names of attributes, where they were
not compared one by one. All texts are put in as text. */

/** A probability, the same wherever one stands: one digit behind the point, and never 0% or 100%. */
const bruna_percent = (share) =>
  share >= 0.9995 && share < 1 ? ">99.9%" : share > 0 && share < 0.0005 ? "<0.1%" : `${(share * 100).toFixed(1)}%`;

/** A distance: three digits, without an exponent. */
const bruna_distance = (value) => value.toLocaleString("en", { maximumSignificantDigits: 3, useGrouping: false });

var bruna_why = (() => {
  const make = (tag, kind, ...children) => {
    const element = document.createElement(tag);
    if (kind) element.className = kind;
    element.append(...children.filter(child => child !== null && child !== undefined && child !== false));
    return element;
  };
  const told = (values, name) => (values && Object.hasOwn(values, name) ? values[name] : undefined);
  const known = number => typeof number === "number" && Number.isFinite(number);

  function picture(image, role) {
    const frame = make("div", "why-frame");
    if (image.image) {
      const photo = make("img");
      photo.src = image.image;
      photo.alt = `${role}: ${image.name}`;
      frame.append(photo);
      if (image.mask) {
        const line = make("img", "why-mask");
        line.src = image.mask;
        line.alt = "";
        frame.append(line);
      }
    } else {
      frame.append(make("span", "why-none", "no picture"));
    }
    const camera = known(image.camera) || image.camera ? `camera ${image.camera}` : null;
    const caption = make("figcaption", "", make("b", "", role), camera && make("span", "", camera));
    caption.append(make("span", "why-name", String(image.name)));
    return make("figure", "", frame, caption);
  }

  function bar(name, value) {
    const fill = make("span", "why-fill");
    fill.style.width = `${Math.max(0, Math.min(1, value)) * 100}%`;
    const track = make("span", "why-track", fill);
    track.setAttribute("aria-hidden", "true");
    return make("li", "", make("span", "", name), track, make("span", "why-number", value.toFixed(2)));
  }

  function halves(hit) {
    if (!known(hit.upper) || !known(hit.lower)) return null;
    const bars = make("ul", "why-bars", bar("Upper half", hit.upper), bar("Lower half", hit.lower));
    const scale = "1: the same. 0: as alike as two people are on average. Below 0: less.";
    return make("section", "", make("h4", "", "How alike the halves are to Bruna"), bars, make("p", "why-hint", scale));
  }

  function compared(query, hit) {
    if (hit.agreeing) {
      const rows = [...(hit.differing || []).map(name => [name, false]), ...hit.agreeing.map(name => [name, true])];
      return rows.map(([name, same]) => ({ name, same }));
    }
    const names = Object.keys(hit.attributes || {}).filter(name => told(query.attributes, name) !== undefined);
    const rows = names.map(name => ({ name, same: query.attributes[name] === hit.attributes[name] }));
    return [...rows.filter(row => !row.same), ...rows.filter(row => row.same)];
  }

  function value(image, name) {
    const predicted = told(image.attributes, name);
    const cell = make("td", "", predicted ?? "–");
    const truth = told(image.truth, name);
    if (truth && truth !== predicted) cell.append(make("span", "why-truth", `annotated: ${truth}`));
    return cell;
  }

  function attributes(query, hit) {
    const rows = compared(query, hit);
    if (!rows.length) return null;
    const agree = rows.filter(row => row.same).length;
    const title = `${agree} of ${rows.length} ${rows.length === 1 ? "attribute agrees" : "attributes agree"}`;
    const asked = Boolean(query.attributes);  // of a description alone no values are known, only whether they are met
    const body = make("tbody");
    for (const { name, same } of rows) {
      const head = make("th", "", name);
      head.scope = "row";
      const sign = make("td", "why-sign", same ? "=" : "≠", make("span", "why-heard", same ? "agrees" : "differs"));
      body.append(make("tr", same ? "" : "why-differs", sign, head, asked && value(query, name), value(hit, name)));
    }
    const heads = ["attribute", ...(asked ? ["query"] : []), "found"].map(text => {
      const cell = make("th", "", text);
      cell.scope = "col";
      return cell;
    });
    const table = make("table", "", make("thead", "", make("tr", "", make("td"), ...heads)), body);
    const hint = "As the networks predict them for each image.";
    return make("section", "", make("h4", "", title), make("div", "why-table", table), make("p", "why-hint", hint));
  }

  function facts(hit) {
    const rows = [];
    if (known(hit.distance)) rows.push(["Distance", bruna_distance(hit.distance)]);
    if (known(hit.probability)) rows.push(["Probability of the same person", bruna_percent(hit.probability)]);
    if (known(hit.description)) rows.push(["Probability of the description", bruna_percent(hit.description)]);
    return rows.length ? make("dl", "why-facts", ...rows.flatMap(([name, of]) => [make("dt", "", name), make("dd", "", of)])) : null;
  }

  return (query, hit) => {
    const pair = make("div", "why-pair", query && "image" in query ? picture(query, "Query") : null, picture(hit, "Found"));
    const hints = [];
    if ((query && query.mask) || hit.mask) hints.push("Outline: where the U-Net sees the person.");
    if (known(hit.upper)) {
      hints.push("Dashed line: between the halves.");
      pair.classList.add("why-halved");
    }
    const hint = hints.length ? make("p", "why-hint", hints.join(" ")) : null;
    const told = make("div", "why-told", facts(hit), halves(hit), attributes(query || {}, hit));
    return make("div", "why", make("div", "", pair, hint), told);
  };
})();
