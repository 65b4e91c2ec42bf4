"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const { rows, labels, slots, files, columns, systems } = data;
  const n = rows.file.length;
  const PAGE = 50;
  const byId = (id) => document.getElementById(id);
  const cell = (column, row) =>
    "figures" in column ? column.figures[row] : "texts" in column ? column.texts[row] : column.values[column.index[row]];
  const named = Object.fromEntries(columns.map((column) => [column.name, column]));
  const of = (name, row) => (name in named ? cell(named[name], row) : "") || "";
  const at = (values, row) => (values.length ? values[row] : null);
  const share = (label, row) => (label < 0 ? null : at(rows.p[label], row));
  const fixed = (value, digits = 2) => (value === null ? "" : (value / 1000).toFixed(digits));

  // Elements are made, never parsed: whatever a table says stays text.
  const make = (tag, attributes = {}, ...children) => {
    const node = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) {
      if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
      else if (value !== null) node.setAttribute(name, value);
    }
    node.append(...children.filter((child) => child !== null && child !== ""));
    return node;
  };

  const state = { system: systems.length - 1, order: [], page: 0, key: "table", down: false, open: -1 };
  const audible = data.audio.some(Boolean);
  const timed = rows.start.length > 0;

  const keys = {
    table: { name: "As in the table", value: (row) => row, down: false },
    file: { name: "Recording", value: (row) => files[rows.file[row]], down: false },
    label: { name: "Label", value: (row) => labels[rows.label[row]] || null, down: false },
    share: { name: "Probability", value: (row) => share(rows.label[row], row), down: true },
    entropy: { name: "Entropy", value: (row) => at(rows.entropy, row), down: true },
    varentropy: { name: "Varentropy", value: (row) => at(rows.varentropy, row), down: true },
    margin: { name: "Margin", value: (row) => at(rows.margin, row), down: false },
  };
  for (const name of ["arousal", "dominance", "valence"]) {
    if (name in named) keys[name] = { name: name[0].toUpperCase() + name.slice(1), value: (row) => cell(named[name], row), down: true };
  }
  if (data.hasTruth) keys.truth = { name: "Truth", value: (row) => labels[rows.truth[row]] || null, down: false };
  if (!rows.entropy.length) for (const name of ["share", "entropy", "varentropy", "margin"]) delete keys[name];

  const judged = (row) => rows.truth[row] >= 0;
  const views = {
    all: ["All", () => true],
    unsure: ["Unsure", (row) => rows.unsure[row]],
    wrong: ["Wrong", (row) => judged(row) && rows.truth[row] !== rows.label[row]],
    right: ["Right", (row) => judged(row) && rows.truth[row] === rows.label[row]],
    changed: ["Changed by the text", (row) => of("changed", row) !== ""],
    noted: ["With a note", (row) => of("note", row) !== ""],
    failed: ["Without prediction", (row) => of("error", row) !== ""],
  };

  const haystacks = new Array(n);
  const haystack = (row) =>
    (haystacks[row] ??= [files[rows.file[row]], labels[rows.label[row]] || "", ...columns.map((column) => cell(column, row) ?? "")]
      .join("\n").toLowerCase());

  const { compare: collate } = new Intl.Collator(undefined, { numeric: true });
  const compare = (a, b) => {
    if (a === null || b === null) return (a === null) - (b === null);
    return typeof a === "string" ? collate(a, b) : a - b;
  };

  function arrange() {
    const words = byId("search").value.toLowerCase().split(/\s+/).filter(Boolean);
    const wanted = byId("label").value;
    const seen = views[byId("show").value][1];
    const kept = [];
    for (let row = 0; row < n; row++) {
      if (rows.system[row] !== state.system || !seen(row)) continue;
      if (wanted !== "" && rows.label[row] !== Number(wanted)) continue;
      if (words.length && !words.every((word) => haystack(row).includes(word))) continue;
      kept.push(row);
    }
    const { value } = keys[state.key];
    const values = new Map(kept.map((row) => [row, value(row)]));
    kept.sort((a, b) => {
      const x = values.get(a), y = values.get(b);
      if (x === null || y === null) return compare(x, y) || a - b;
      return (state.down ? -compare(x, y) : compare(x, y)) || a - b;
    });
    state.order = kept;
    state.page = Math.min(state.page, Math.max(0, Math.ceil(kept.length / PAGE) - 1));
  }

  function refresh() {
    state.page = 0;
    state.open = -1;
    arrange();
    draw();
  }

  const headings = () => [
    ...(audible ? [["", null, "play"]] : []), ["Recording", "file", ""],
    ...(labels.length ? [["Label", "label", ""]] : []),
    ...["entropy", "varentropy", "margin", "arousal", "dominance", "valence"].filter((key) => key in keys).map((key) => [keys[key].name, key, "number wide"]),
    ...(data.hasTruth ? [["Truth", "truth", ""]] : []),
  ];

  function drawHead() {
    const line = make("tr");
    for (const [name, key, kind] of headings()) {
      const sorted = key === state.key ? (state.down ? "descending" : "ascending") : null;
      line.append(make("th", { class: kind, scope: "col", "aria-sort": sorted },
        key === null ? "" : make("button", { type: "button", onclick: () => sortBy(key) }, name)));
    }
    document.querySelector("#table thead").replaceChildren(line);
  }

  function sortBy(key) {
    state.down = key === state.key ? !state.down : keys[key].down;
    state.key = key;
    byId("order").value = key;
    refresh();
  }

  function draw() {
    drawHead();
    const first = state.page * PAGE;
    const shown = state.order.slice(first, first + PAGE);
    const body = document.querySelector("#table tbody");
    body.replaceChildren(...shown.flatMap((row) => (row === state.open ? [line(row), detail(row)] : [line(row)])));
    const total = state.order.length;
    byId("count").textContent = total === 1 ? "1 row" : `${total.toLocaleString("en")} rows`;
    byId("pager").hidden = total <= PAGE;
    byId("page").textContent = `${(first + 1).toLocaleString("en")}–${(first + shown.length).toLocaleString("en")}`;
    byId("previous").disabled = state.page === 0;
    byId("next").disabled = first + PAGE >= total;
  }

  const clock = (ms) => {
    const minutes = Math.floor(ms / 60000);
    const seconds = ((ms % 60000) / 1000).toFixed(1).padStart(4, "0");
    return `${minutes}:${seconds}`;
  };
  const times = (row) => {
    const start = at(rows.start, row), end = at(rows.end, row);
    return start === null || end === null ? "" : `${clock(start)}–${clock(end)}`;
  };

  function chance(label, row, first) {
    const value = share(label, row);
    const fill = make("i", { class: `c${slots[label]}` });
    fill.style.width = `${(value ?? 0) / 10}%`;
    return make("div", { class: `chance${first ? " first" : ""}${rows.unsure[row] ? " unsure" : ""}`, title: rows.unsure[row] ? "unsure" : null },
      make("span", { class: "name" }, labels[label]),
      make("span", { class: "bar" }, fill),
      make("span", { class: "share" }, value === null ? "" : `${(value / 10).toFixed(0)}%`));
  }

  function line(row) {
    const file = files[rows.file[row]];
    const cut = file.lastIndexOf("/") + 1;
    const open = () => toggle(row);
    const remark = of("error", row) || of("note", row);
    const words = of("text", row);
    const cells = [
      ...(audible ? [make("td", { class: "play" }, data.audio[rows.file[row]]
        ? make("button", { type: "button", "aria-label": `Play ${file}`, onclick: (event) => { event.stopPropagation(); play(row); } }, "▶") : "")] : []),
      make("td", { class: "file" },
        make("button", { type: "button", "aria-expanded": String(row === state.open) },
          cut ? make("span", { class: "folder" }, file.slice(0, cut)) : "", file.slice(cut)),
        timed && times(row) ? make("span", { class: "times" }, times(row)) : "",
        words ? make("span", { class: "words" }, words.length > 120 ? `${words.slice(0, 118)} …` : words) : "",
        remark ? make("span", { class: `remark${of("error", row) ? " failed" : ""}` }, remark) : ""),
    ];
    if (labels.length) cells.push(make("td", { class: "label" }, rows.label[row] < 0 ? "" : chance(rows.label[row], row, true)));
    for (const key of ["entropy", "varentropy", "margin"]) {
      if (key in keys) cells.push(make("td", { class: "number wide" }, fixed(at(rows[key], row))));
    }
    for (const key of ["arousal", "dominance", "valence"]) {
      if (key in keys) cells.push(make("td", { class: "number wide" }, cell(named[key], row)?.toFixed(2) ?? ""));
    }
    if (data.hasTruth) {
      const right = rows.truth[row] === rows.label[row];
      cells.push(make("td", { class: "truth" }, judged(row)
        ? make("span", { class: right ? "right" : "wrong" }, `${right ? "✓" : "✗"} ${labels[rows.truth[row]]}`) : ""));
    }
    return make("tr", { class: `row${row === state.open ? " open" : ""}`, "data-row": row, onclick: open }, ...cells);
  }

  function detail(row) {
    const parts = [];
    const known = labels.map((_, label) => label).filter((label) => share(label, row) !== null);
    known.sort((a, b) => share(b, row) - share(a, row));
    if (known.length) parts.push(make("div", {}, make("h3", {}, "Probabilities"), ...known.map((label) => chance(label, row, false))));
    const facts = [
      ...["entropy", "varentropy", "margin"].filter((key) => at(rows[key], row) !== null).map((key) => [key, fixed(rows[key][row], 3)]),
      ...columns.map((column) => [column.name, cell(column, row)]).filter(([, value]) => value !== null && value !== ""),
    ];
    if (facts.length) parts.push(make("div", {}, make("h3", {}, "Facts"), make("dl", {}, ...facts.flatMap(([name, value]) => [make("dt", {}, name), make("dd", {}, String(value))]))));
    const others = [];
    for (let other = 0; other < n; other++) {
      if (other !== row && rows.file[other] === rows.file[row] && rows.system[other] !== rows.system[row] && rows.label[other] >= 0
        && [null, at(rows.start, row)].includes(at(rows.start, other))) others.push(other);
    }
    if (others.length) parts.push(make("div", {}, make("h3", {}, "Other models"), make("dl", {}, ...others.slice(0, 20).flatMap((other) => [
      make("dt", {}, labels[rows.label[other]]), make("dd", {}, systems[rows.system[other]])]))));
    return make("tr", { class: "detail" }, make("td", { colspan: headings().length }, make("div", { class: "facts" }, ...parts)));
  }

  function toggle(row) {
    state.open = state.open === row ? -1 : row;
    draw();
  }

  function jump(row) {
    let place = state.order.indexOf(row);
    if (place < 0) {
      for (const id of ["search", "label"]) byId(id).value = "";
      byId("show").value = "all";
      arrange();
      place = state.order.indexOf(row);
    }
    state.page = Math.floor(place / PAGE);
    state.open = row;
    draw();
    const node = document.querySelector(`#table tr[data-row="${row}"]`);
    node.scrollIntoView({ block: "center" });
    node.querySelector("td.file button").focus({ preventScroll: true });
  }

  // One player for all rows; a window plays from its start to its end.
  const audio = byId("audio");
  let until = Infinity;
  function play(row) {
    const file = files[rows.file[row]];
    const address = data.audio[rows.file[row]];
    const source = address === 1 ? file.split("/").map(encodeURIComponent).join("/") : address;
    const start = (at(rows.start, row) ?? 0) / 1000;
    until = (at(rows.end, row) ?? Infinity) / 1000;
    byId("playing").textContent = `${file} ${times(row)}`;
    byId("player").hidden = false;
    audio.src = source;
    audio.addEventListener("loadedmetadata", () => { audio.currentTime = start; }, { once: true });
    audio.play().catch(() => { byId("playing").textContent = `${file} cannot be played here`; });
  }
  audio.addEventListener("timeupdate", () => {
    if (audio.currentTime >= until) { audio.pause(); until = Infinity; }
  });
  byId("stop").addEventListener("click", () => { audio.pause(); byId("player").hidden = true; });

  // Pictures: the nearest utterance to where the reader pointed.
  function value(svg, event) {
    const point = new DOMPoint(event.clientX, event.clientY).matrixTransform(svg.getScreenCTM().inverse());
    const turn = (text, pixel) => {
      const [low, high, start, stop] = text.split(" ").map(Number);
      return { value: low + ((pixel - start) / (stop - start)) * (high - low), scale: (stop - start) / (high - low) };
    };
    return { x: turn(svg.dataset.x, point.x), y: turn(svg.dataset.y, point.y) };
  }
  function nearest(system, place, pair) {
    let best = -1, least = 14 * 14;
    for (let row = 0; row < n; row++) {
      if (rows.system[row] !== system) continue;
      const [px, py] = pair(row);
      if (px === null || py === null) continue;
      const distance = ((px - place.x.value) * place.x.scale) ** 2 + ((py - place.y.value) * place.y.scale) ** 2;
      if (distance < least) { least = distance; best = row; }
    }
    return best;
  }
  const pairs = {
    scatter: (row) => rows.entropy.length ? [rows.entropy[row] / 1000, rows.varentropy[row] / 1000] : [null, null],
    dimensions: (row) => [cell(named.valence, row), cell(named.arousal, row)],
  };
  function pointed(svg, event) {
    const system = Number(svg.closest(".system").dataset.system);
    const place = value(svg, event);
    if (svg.dataset.kind !== "timeline") return nearest(system, place, pairs[svg.dataset.kind]);
    const file = Number(svg.closest("figure").dataset.file);
    return rows.file.findIndex((own, row) => own === file && rows.system[row] === system
      && rows.start[row] / 1000 <= place.x.value && place.x.value < rows.end[row] / 1000);
  }
  const hint = byId("hint");
  function tell(row, event) {
    hint.hidden = row < 0;
    if (row < 0) return;
    const label = rows.label[row];
    const sure = share(label, row);
    hint.textContent = [files[rows.file[row]], times(row), label < 0 ? "" : `${labels[label]}${sure === null ? "" : ` ${(sure / 10).toFixed(0)}%`}`]
      .filter(Boolean).join(" · ");
    hint.style.left = `${Math.max(8, Math.min(event.clientX + 14, innerWidth - hint.offsetWidth - 8))}px`;
    hint.style.top = `${event.clientY + 18}px`;
  }
  for (const svg of document.querySelectorAll("svg[data-kind]")) {
    svg.addEventListener("click", (event) => {
      const row = pointed(svg, event);
      hint.hidden = true;
      if (row >= 0) jump(row);
    });
    let waiting = false;
    svg.addEventListener("pointermove", (event) => {
      if (waiting || event.pointerType === "touch") return;
      waiting = true;
      requestAnimationFrame(() => { waiting = false; tell(pointed(svg, event), event); });
    });
    svg.addEventListener("pointerleave", () => requestAnimationFrame(() => { hint.hidden = true; }));
  }
  document.addEventListener("scroll", () => { hint.hidden = true; }, { passive: true });

  function choose(system) {
    state.system = system;
    for (const node of document.querySelectorAll(".system")) node.hidden = Number(node.dataset.system) !== system;
    for (const node of document.querySelectorAll(".tabs button")) node.setAttribute("aria-pressed", String(Number(node.dataset.system) === system));
    const used = new Set(rows.label.filter((_, row) => rows.system[row] === system));
    byId("label").replaceChildren(make("option", { value: "" }, "All"),
      ...labels.map((name, label) => [name, label]).filter(([, label]) => used.has(label)).map(([name, label]) => make("option", { value: label }, name)));
    byId("show").replaceChildren(...Object.entries(views)
      .filter(([key, [, seen]]) => key === "all" || rows.system.some((own, row) => own === system && seen(row)))
      .map(([key, [name]]) => make("option", { value: key }, name)));
    refresh();
  }

  byId("order").replaceChildren(...Object.entries(keys).map(([key, { name }]) => make("option", { value: key }, name)));
  byId("order").addEventListener("change", (event) => { state.key = ""; sortBy(event.target.value); });
  byId("flip").addEventListener("click", () => sortBy(state.key));
  byId("search").addEventListener("input", refresh);
  byId("label").addEventListener("change", refresh);
  byId("show").addEventListener("change", refresh);
  byId("controls").addEventListener("submit", (event) => event.preventDefault());
  byId("previous").addEventListener("click", () => { state.page--; draw(); });
  byId("next").addEventListener("click", () => { state.page++; draw(); byId("recordings").scrollIntoView(); });
  for (const node of document.querySelectorAll(".tabs button")) node.addEventListener("click", () => choose(Number(node.dataset.system)));
  for (const node of document.querySelectorAll(".tabs")) node.hidden = false;
  byId("controls").hidden = false;
  choose(state.system);
})();
