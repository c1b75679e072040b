"use strict";
// The explorer of a run: draws the page's own data, with the state of every view in the address after the #.
// What a model wrote is hostile. It reaches the page as text nodes and attribute values alone, never as markup.

// ---- Elements ----

const SVG = "http://www.w3.org/2000/svg";

function filled(node, given, children) {
  for (const [name, value] of Object.entries(given)) {
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (value === true) node.setAttribute(name, name.startsWith("aria-") ? "true" : "");
    else if (value !== false && value != null) node.setAttribute(name, value);
  }
  return holding(node, children);
}
function holding(node, children) {
  node.replaceChildren(...[children].flat(Infinity).filter((child) => child != null && child !== false));
  return node;
}
const current = (a, yes) => (yes ? a.setAttribute("aria-current", "true") : a.removeAttribute("aria-current"));
const h = (tag, given = {}, ...children) => filled(document.createElement(tag), given, children);
const s = (tag, given = {}, ...children) => filled(document.createElementNS(SVG, tag), given, children);

// Controls that change the direction of text, or that nobody sees. Zero-width joiners stay: emoji are made with them.
const CONTROL = /[\0-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u00ad\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u2069\ufeff]/u;
const nameOf = (control) => "U+" + control.codePointAt(0).toString(16).toUpperCase().padStart(4, "0");

function said(text) {
  if (!CONTROL.test(text)) return [String(text)];
  return String(text).split(new RegExp(`(${CONTROL.source})`, "u")).map((part) =>
    CONTROL.test(part) ? h("span", { class: "control", title: "an invisible control character" }, nameOf(part)) : part);
}
const plain = (text) => String(text).replace(new RegExp(CONTROL.source, "gu"), nameOf);

const whole = new Intl.NumberFormat("en").format;
const score = (value) => (value == null ? "none" : value.toFixed(2));
const plural = (n, noun) => `${whole(n)} ${noun}${n === 1 ? "" : "s"}`;

// ---- Data ----

async function unpacked(id) {
  const bytes = Uint8Array.from(atob(document.getElementById(id).textContent), (c) => c.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return JSON.parse(await new Response(stream).text());
}

let data; // what `explorer._index` tells
let cells; // its table, as one object a row
let samples; // "set, problem, method, sample" -> its cells, by budget
const texts = new Map(); // number of a problem -> promise of its texts

const MARKS = {
  right: ["R", "right"],
  partly: ["P", "partly right"],
  wrong: ["W", "wrong"],
  overthought: ["O", "overthought: right at a smaller budget, not here"],
  unread: ["U", "unread: no answer was found in what was said"],
  cut: ["C", "cut off: the answer reached its cap unread"],
  error: ["E", "error: the request failed, so nothing is graded"],
};
const FILTERS = {
  unread: ["unread answers", (own) => own.some((cell) => cell.mark === "unread")],
  cut: ["answers cut off", (own) => own.some((cell) => cell.mark === "cut")],
  echoed: ["answers that repeat the prompt", (own) => own.some((cell) => cell.echoed)],
  error: ["errors", (own) => own.some((cell) => cell.mark === "error")],
  lost: ["right, then wrong", (own) => turned(own, 1, 0)],
  found: ["wrong, then right", (own) => turned(own, 0, 1)],
};

function turned(own, before, after) {
  const first = own.findIndex((cell) => cell.correct === before);
  return first >= 0 && own.slice(first).some((cell) => cell.correct === after);
}

function markOf(cell, wasRight) {
  if (cell.status === "error") return "error";
  if (cell.status === "answer_truncated") return "cut";
  if (cell.status !== "ok") return "unread";
  if (cell.correct) return "right";
  if (wasRight) return "overthought";
  return cell.score > 0 ? "partly" : "wrong";
}

const key = (...parts) => JSON.stringify(parts);

function prepare() {
  const columns = data.cells;
  const places = data.problems.map(() => 0);
  cells = columns.problem.map((problem, row) => {
    const cell = Object.fromEntries(Object.entries(columns).map(([name, column]) => [name, column[row]]));
    for (const name of ["run", "model", "method", "status"]) cell[name] = data[name + "s"][cell[name]];
    const [task] = data.problems[problem];
    return Object.assign(cell, { task, place: places[problem]++, set: key(cell.run, cell.model) });
  });
  samples = grouped(cells, (cell) => key(cell.set, cell.problem, cell.method, cell.sample));
  for (const own of samples.values()) {
    let wasRight = false;
    for (const cell of own) {
      cell.mark = markOf(cell, wasRight);
      wasRight ||= cell.correct === 1;
    }
  }
}

function grouped(values, keyOf) {
  const groups = new Map();
  for (const value of values) {
    if (!groups.has(keyOf(value))) groups.set(keyOf(value), []);
    groups.get(keyOf(value)).push(value);
  }
  return groups;
}
const distinct = (values) => [...new Set(values)];
const ascending = (values) => distinct(values).sort((a, b) => a - b);

function textsOf(problem) {
  if (!texts.has(problem)) texts.set(problem, unpacked(`texts-${problem}`));
  return texts.get(problem);
}

// ---- The address: set, task, method, problem, sample, budget, beside, filter, at ----

let now = {};

function read() {
  const asked = Object.fromEntries(new URLSearchParams(location.hash.slice(1)));
  const one = (value, of) => (of.includes(value) ? value : of[0]);
  const set = one(asked.set, distinct(cells.map((cell) => cell.set)));
  const here = cells.filter((cell) => cell.set === set);
  const problem = data.problems.findIndex(([task, id]) => task === asked.task && id === asked.problem);
  const task = one(asked.task, distinct(here.map((cell) => cell.task)));
  const own = here.filter((cell) => cell.task === task && (problem < 0 || cell.problem === problem));
  const methods = distinct(own.map((cell) => cell.method));
  const numbers = ascending(own.map((cell) => cell.sample));
  const wanted = asked.sample ? Number(asked.sample) : "";
  const sample = numbers.includes(wanted) ? wanted : problem < 0 ? "" : numbers[0];
  const beside = methods.includes(asked.beside) ? asked.beside : "";
  const filter = asked.filter in FILTERS ? asked.filter : "";
  const budgets = ascending(own.map((cell) => cell.budget));
  return { set, task, problem, method: one(asked.method, methods), sample, budget: Number(asked.budget) || "", beside,
    filter, at: Number(asked.at) || "", own, methods, numbers, budgets };
}

function link(changes) {
  const to = { ...now, ...changes };
  const first = now.set === cells[0].set ? "" : now.set;
  const told = { task: to.task, method: to.method, problem: to.problem < 0 ? "" : data.problems[to.problem][1],
    sample: to.sample, budget: to.budget, beside: to.beside, filter: to.filter, at: to.at, set: changes.set ?? first };
  return "#" + new URLSearchParams(Object.entries(told).filter(([, value]) => value !== "" && value != null));
}

const overviewLink = () => link({ problem: -1, sample: "", budget: "", beside: "" });
const traceLink = ({ problem, method, sample, budget }) => link({ problem, method, sample, budget, filter: "", at: "" });

function choice(id, label, options, chosen, go) {
  const picked = (value) => String(value) === String(chosen);
  const items = options.map(([value, text]) => h("option", { value, selected: picked(value) }, plain(text)));
  const changed = (event) => { location.hash = go(event.target.value); };
  return options.length > 1 && h("label", {}, label, h("select", { id, onchange: changed }, items));
}
const same = (values) => values.map((value) => [value, value]);

// One stop for the tab key in a table of links; arrows go on from there.
function roving(node, columns) {
  const links = [...node.querySelectorAll("a")];
  links.forEach((a, i) => { a.tabIndex = i ? -1 : 0; });
  node.addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: columns, ArrowUp: -columns }[event.key];
    const next = links[links.indexOf(document.activeElement) + step];
    if (!step || !next) return;
    links.forEach((a) => { a.tabIndex = a === next ? 0 : -1; });
    next.focus();
    event.preventDefault();
  });
  return node;
}

// ---- Overview ----

function overview() {
  const sets = distinct(cells.map((cell) => cell.set)).map((set) => [set, JSON.parse(set).join(", ")]);
  const tasks = same(distinct(cells.filter((cell) => cell.set === now.set).map((cell) => cell.task)));
  const controls = [
    choice("set", "Run and model", sets, now.set, (set) => link({ set })),
    choice("task", "Task", tasks, now.task, (task) => link({ task, at: "" })),
    choice("method", "Method", same(now.methods), now.method, (method) => link({ method })),
  ];
  return [h("h1", {}, said(now.task)), h("div", { class: "controls" }, controls), curves(), heat(), list()];
}

// The head of a table with a column for each budget.
const heads = (budgets, ...names) => h("thead", {}, h("tr", {}, [...names, ...budgets.map(whole)].map((name) =>
  h("th", { scope: "col" }, name))));

// A circle, a square, a triangle up, a diamond, a triangle down, a bar.
const SHAPES = ["M0-5a5 5 0 1 0 .01 0z", "M-4.5-4.5h9v9h-9z", "M0-6L5.5 4h-11z", "M0-6L6 0 0 6-6 0z", "M0 6L5.5-4h-11z",
  "M-5-2h10v4h-10z"];

function curves() {
  const own = data.curves.filter(({ run, model, task, quality }) =>
    key(run, model) === now.set && task === now.task && quality != null);
  const arms = now.methods.map((method) => ({ method, rows: own.filter((row) => row.method === method),
    shape: SHAPES[data.methods.indexOf(method) % SHAPES.length], colour: data.colours[method] }));
  const last = (arm) => Number(arm.method === now.method); // drawn above the others
  const graded = arms.filter((arm) => arm.rows.length).sort((a, b) => last(a) - last(b));
  const title = h("h2", {}, "How good is the answer at each budget?");
  if (!graded.length) return h("section", {}, title, h("p", {}, "No answer is graded."));
  const width = Math.min(900, document.getElementById("main").clientWidth);
  const right = 38 + 7 * Math.max(...graded.map((arm) => arm.method.length));
  const [left, top, bottom] = [40, 12, 320];
  const [least, most] = [now.budgets[0], now.budgets.at(-1)];
  const along = (budget) => (most > least ? Math.log(budget / least) / Math.log(most / least) : 0.5);
  const x = (budget) => left + (width - left - right) * along(budget);
  const y = (quality) => bottom - (bottom - top) * quality;
  const path = (arm, column) => "M" + arm.rows.map((row) => `${x(row.budget)} ${y(row[column])}`).join("L");
  const every = Math.ceil(now.budgets.length / Math.max(2, (width - left - right) / 52));

  // Names stand at the ends of their curves, moved apart where those meet.
  const named = graded.map((arm) => ({ arm, at: y(arm.rows.at(-1).quality) })).sort((a, b) => a.at - b.at);
  named.forEach((of, i) => { if (i) of.at = Math.max(of.at, named[i - 1].at + 17); });
  const over = Math.max(0, named.at(-1).at - bottom);
  const places = new Map(named.map((of) => [of.arm, of.at - over]));

  const dot = ({ shape, colour }, ...at) =>
    s("path", { d: shape, fill: colour, stroke: "none", transform: `translate(${at})` });
  const point = (arm, { budget, quality, raw, n_cells }) => {
    const read = `${score(quality)} so far, ${score(raw)} here, ${plural(n_cells, "answer")}`;
    const about = plain(`${arm.method} at ${budget} tokens: ${read}`);
    return s("a", { href: link({ method: arm.method, at: budget, filter: "" }), "aria-label": about },
      s("title", {}, about), s("circle", { cx: x(budget), cy: y(quality), r: 13, fill: "transparent", stroke: "none" }),
      dot(arm, x(budget), y(quality)));
  };
  const drawn = graded.map((arm) => s("g", { class: arm.method === now.method ? "chosen" : "", stroke: arm.colour },
    s("path", { class: "curve raw", d: path(arm, "raw") }), s("path", { class: "curve", d: path(arm, "quality") }),
    arm.rows.map((row) => point(arm, row)), dot(arm, width - right + 20, places.get(arm)),
    s("text", { x: width - right + 32, y: places.get(arm) + 4, stroke: "none" }, plain(arm.method))));
  const grid = [0, 0.25, 0.5, 0.75, 1].map((tick) => [
    s("line", { class: "grid", x1: left, x2: width - right, y1: y(tick), y2: y(tick) }),
    s("text", { class: "axis", x: left - 8, y: y(tick) + 4, "text-anchor": "end" }, tick.toFixed(2).replace(/0$/, ""))]);
  const ticks = now.budgets.map((budget, i) => (now.budgets.length - 1 - i) % every === 0 &&
    s("text", { class: "axis", x: x(budget), y: bottom + 20, "text-anchor": "middle" }, whole(budget)));
  const size = { viewBox: `0 0 ${width} ${bottom + 46}`, width, height: bottom + 46 };
  const chart = s("svg", { ...size, role: "group", "aria-labelledby": "curves-title curves-about" },
    s("title", { id: "curves-title" }, plain(`Quality at each budget, ${now.task}`)),
    s("desc", { id: "curves-about" }, "A line for each method, as the table below. A point leads to its answers."),
    grid, ticks, drawn, s("text", { class: "axis", x: left, y: bottom + 42 }, "reasoning tokens allowed (log scale)"));
  const rows = arms.map((arm) => h("tr", {}, h("th", { scope: "row" }, said(arm.method)), now.budgets.map((budget) => {
    const row = arm.rows.find((of) => of.budget === budget);
    return h("td", {}, row ? `${score(row.quality)} (${score(row.raw)})` : "none");
  })));
  const most_of = (name) => Math.max(...own.map((row) => row[name]));
  const about = `Mean score of ${plural(most_of("n_problems"), "problem")}, up to ${plural(most_of("n_cells"), "answer")} `
    + "a point. Solid: the best so far; dotted: at this budget itself. Choose a point to see its answers.";
  const table = h("table", { class: "numbers" }, h("caption", { class: "soft" }, "Best so far (at this budget itself)"),
    heads(now.budgets, "method"), h("tbody", {}, rows));
  return h("section", {}, title, h("p", { class: "soft" }, about),
    h("div", { class: "scroll" }, roving(chart, now.budgets.length)),
    h("details", {}, h("summary", {}, "The curves as a table"), h("div", { class: "scroll" }, table)));
}

// Of several samples of a problem at a budget: the mark that describes those that are graded.
function together(found) {
  const marks = found.map((cell) => cell.mark).filter((mark) => mark !== "error");
  if (!marks.length) return "error";
  if (marks.every((mark) => mark === "right")) return "right";
  if (marks.every((mark) => mark === "unread" || mark === "cut")) return marks[0];
  if (marks.includes("overthought")) return "overthought";
  return marks.includes("right") || marks.includes("partly") ? "partly" : "wrong";
}

// A link to the trace of a cell, which says its mark; `text`, `mark` and `current` where they are not the cell's own.
function marked(cell, about, { mark = cell.mark, text = MARKS[mark][0], small = false, at = false } = {}) {
  const words = plain(`${about}: ${MARKS[mark][1]}`);
  const look = `mark ${mark}${small ? " small" : ""}`;
  return h("a", { class: look, href: traceLink(cell), title: words, "aria-label": words, "aria-current": at }, text);
}

const badge = (mark) => h("span", { class: `mark small ${mark}`, "aria-hidden": "true" }, MARKS[mark][0]);
const legend = () => h("ul", { class: "key", "aria-label": "What the letters mean" },
  Object.entries(MARKS).map(([mark, [, words]]) => h("li", {}, badge(mark), words)));

function heat() {
  const own = now.own.filter((cell) => cell.method === now.method && (now.sample === "" || cell.sample === now.sample));
  const at = grouped(own, (cell) => key(cell.problem, cell.budget));
  const square = (problem, budget) => {
    const found = at.get(key(problem, budget));
    if (!found) return h("span", { class: "mark missing" }, "–");
    const mark = together(found);
    const right = found.filter((cell) => cell.correct === 1).length;
    const graded = found.filter((cell) => cell.mark !== "error").length;
    const about = `${data.problems[problem][1]}, ${budget} tokens, ${right} of ${graded} graded right`;
    const text = h("span", {}, MARKS[mark][0], found.length > 1 && graded > 0 && h("small", {}, ` ${right}/${graded}`));
    return marked(found.find((cell) => cell.mark === mark) ?? found[0], about, { mark, text });
  };
  const rows = distinct(own.map((cell) => cell.problem)).map((problem) => h("tr", {},
    h("th", { scope: "row" }, said(data.problems[problem][1])),
    now.budgets.map((budget) => h("td", {}, square(problem, budget)))));
  const several = now.numbers.length > 1 ? [["", "all"], ...same(now.numbers)] : [];
  return h("section", {}, h("h2", {}, "Which problems, at which budget?"),
    h("p", { class: "soft" }, "Method ", said(now.method), ". Each square leads to its trace. Of several samples, O says "
      + "that at least one was overthought, and the fraction how many of those graded are right."),
    h("div", { class: "controls" }, choice("sample", "Sample", several, now.sample, (sample) => link({ sample }))),
    legend(),
    h("div", { class: "scroll" }, roving(h("table", { class: "marks", id: "heat" }, heads(now.budgets, "problem"),
      h("tbody", {}, rows)), now.budgets.length)));
}

let longest = 60; // rows of the list that are shown at first

function list() {
  // At a chosen budget its own answer counts; a turn from right to wrong, all answers up to it.
  const turning = ["lost", "found"].includes(now.filter);
  const counted = (own) => own.filter(({ budget }) => !now.at || budget === now.at || (turning && budget < now.at));
  const found = [...samples.values()].filter((own) => {
    const { set, task, method, sample } = own[0];
    return set === now.set && task === now.task && method === now.method && (now.sample === "" || sample === now.sample)
      && counted(own).length && (!now.filter || FILTERS[now.filter][1](counted(own)));
  });
  const idOf = (own) => data.problems[own[0].problem][1];
  const row = (own) => h("tr", {}, h("th", { scope: "row" }, said(idOf(own))), h("td", {}, own[0].sample),
    now.budgets.map((budget) => {
      const cell = own.find((of) => of.budget === budget);
      const about = `${idOf(own)}, sample ${own[0].sample}, ${budget} tokens, score ${score(cell?.score)}`;
      return h("td", {}, cell && marked(cell, about, { small: true, at: budget === now.at }));
    }));
  const more = () => { longest = Infinity; draw(); };
  const all = found.length > longest && h("button", { onclick: more }, `Show all ${whole(found.length)}`);
  const filters = [["", "all samples"], ...Object.entries(FILTERS).map(([name, [words]]) => [name, words])];
  return h("section", { id: "samples" }, h("h2", { tabindex: -1 }, "Which samples?"),
    h("div", { class: "controls" },
      choice("filter", "Show", filters, now.filter, (filter) => link({ filter })),
      choice("at", "At budget", [["", "any"], ...same(now.budgets)], now.at, (at) => link({ at }))),
    h("p", { role: "status", class: "soft" }, `${plural(found.length, "sample")} of `, said(now.method)),
    found.length > 0 && h("div", { class: "scroll" }, roving(h("table", { class: "marks", id: "list" },
      heads(now.budgets, "problem", "sample"), h("tbody", {}, found.slice(0, longest).map(row))), now.budgets.length)), all);
}

// ---- One problem ----

async function trace() {
  const [, id, level, shown] = data.problems[now.problem];
  const told = shown ? await textsOf(now.problem) : null;
  const arms = [now.method, now.beside].filter(Boolean);
  const own = now.own.filter((cell) => arms.includes(cell.method) && cell.sample === now.sample);
  const budgets = ascending(own.map((cell) => cell.budget));
  if (!budgets.includes(now.budget)) now.budget = budgets.at(-1);
  const panes = arms.map((method) => pane(method, told, (budget) => pick(budget)));
  const status = h("p", { role: "status", class: "soft" });
  const output = h("output", { for: "budget" });
  const moved = () => pick(budgets[slider.value]);
  const slider = h("input", { type: "range", id: "budget", min: 0, max: budgets.length - 1, oninput: moved });
  slider.style.width = `calc(${100 - 100 / budgets.length}% + 16px)`; // its ends above the middles of the outer columns
  const named = (name) => arms.length > 1 && h(name ? "th" : "td", { class: "name", scope: name && "row" }, name);
  const strip = arms.map((method) => h("tr", {}, named(said(method)), budgets.map((budget) => {
    const cell = cellAt(method, budget);
    const a = cell && marked(cell, `${method}, ${budget} tokens`);
    a?.addEventListener("click", (event) => { pick(budget); event.preventDefault(); });
    return h("td", { "data-budget": budget }, a);
  })));

  function pick(budget) {
    now.budget = budget;
    history.replaceState(null, "", link({}));
    show();
  }
  function show() {
    const at = `${whole(now.budget)} tokens`;
    slider.value = budgets.indexOf(now.budget);
    slider.setAttribute("aria-valuetext", at);
    output.textContent = at;
    const marks = arms.map((method) => `${method}: ${MARKS[cellAt(method, now.budget)?.mark]?.[1] ?? "no answer"}`);
    status.textContent = plain(marks.join("; "));
    for (const a of dial.querySelectorAll("td a")) current(a, Number(a.parentNode.dataset.budget) === now.budget);
    for (const of of panes) of.show(now.budget);
  }

  const here = cells.filter(({ set, task }) => set === now.set && task === now.task);
  const order = distinct(here.map((cell) => cell.problem));
  const step = (by, words) => {
    const to = order[order.indexOf(now.problem) + by];
    return to != null && h("a", { href: link({ problem: to }) }, words);
  };
  const ids = order.map((number) => [number, data.problems[number][1]]);
  const others = [["", "nothing"], ...same(now.methods.filter((method) => method !== now.method))];
  const controls = [
    choice("problem", "Problem", ids, now.problem, (number) => link({ problem: Number(number) })),
    choice("method", "Method", same(now.methods), now.method,
      (method) => link({ method, beside: method === now.beside ? "" : now.beside })),
    choice("beside", "Beside it", others, now.beside, (beside) => link({ beside })),
    choice("sample", "Sample", same(now.numbers), now.sample, (sample) => link({ sample })),
  ];
  const dial = h("div", { class: "dial" }, h("label", { for: "budget" }, "Stopped after", output), h("table", {},
    h("thead", {}, h("tr", {}, named(""), h("td", { colspan: budgets.length }, slider)),
      h("tr", {}, named(""), budgets.map((budget) => h("th", { scope: "col" }, whole(budget))))),
    h("tbody", {}, strip)), status);
  const question = told
    ? [h("details", { open: true }, h("summary", {}, "The question"), block(told.text, { id: "question" })),
      h("details", {}, h("summary", {}, "The right answer"),
        block(typeof told.gold === "string" ? told.gold : JSON.stringify(told.gold)))]
    : h("p", { id: "private" }, "The texts of this task are private: this page has only ids and numbers of it.");
  show();
  return [h("h1", {}, said(id)),
    h("p", { class: "soft" }, said(now.task), level ? [", difficulty ", said(level)] : "", " · ",
      step(-1, "previous problem"), " ", step(1, "next problem")),
    h("div", { class: "controls" }, controls), question, dial,
    h("div", { class: arms.length > 1 ? "panes two" : "panes" }, panes.map((of) => of.node))];
}

const block = (text, given = {}) =>
  h("div", { class: "text", dir: "auto", ...given }, Array.isArray(text) ? text : said(text));
const region = (name, kind, text, given) =>
  block(text, { class: `text ${kind}`, tabindex: 0, role: "region", "aria-label": name, ...given });
const sampleOf = (method) => samples.get(key(now.set, now.problem, method, now.sample)) ?? [];
const cellAt = (method, budget) => sampleOf(method).find((cell) => cell.budget === budget);

// One method: the answer at the chosen budget, the trace with the budgets along it, the prompt.
function pane(method, told, pick) {
  const own = sampleOf(method);
  const answer = h("div"), reasoning = h("div");
  let drawn; // number of the trace that is shown

  function show(budget) {
    const cell = cellAt(method, budget);
    const row = cell && told?.cells[cell.place];
    holding(answer, cell ? answered(cell, row, told) : h("p", {}, "This sample has no answer at this budget."));
    if (drawn !== row?.[0]) holding(reasoning, row ? reasoned(own, row[0], told, pick) : []);
    drawn = row?.[0];
    if (!row) return;
    const box = reasoning.querySelector(".trace");
    for (const part of reasoning.querySelectorAll("[data-from]")) {
      part.classList.toggle("beyond", part.dataset.from >= row[1] && row[1] < box.dataset.length);
    }
    for (const a of reasoning.querySelectorAll(".at")) {
      current(a, Number(a.dataset.budget) === budget);
      if (Number(a.dataset.budget) === budget) box.scrollTop = a.offsetTop - box.clientHeight / 2;
    }
  }
  return { show, node: h("section", { "aria-label": plain(method) }, h("h2", {}, said(method)), answer, reasoning) };
}

function answered(cell, row, told) {
  const [, words] = MARKS[cell.mark];
  const given = `${whole(cell.tokens_used ?? 0)} of ${plural(cell.budget, "token")}`;
  const facts = {
    Status: cell.status.replaceAll("_", " ") + (cell.echoed ? ", repeats its prompt" : ""),
    Reasoning: given + (cell.stopped_naturally ? ", ended by itself" : ""),
    Answer: cell.answer_tokens == null ? null : plural(cell.answer_tokens, "token"),
    Prompts: cell.prompt_tokens == null ? null : plural(cell.prompt_tokens, "token"),
    Cost: cell.dollars > 0 ? `$${cell.dollars.toPrecision(2)} if asked for by itself, at the list price` : null,
  };
  const [, , text, reason, trip] = row ?? [];
  const failed = cell.mark === "error";
  return [
    h("p", { class: "verdict" }, badge(cell.mark), words[0].toUpperCase() + words.slice(1),
      cell.score == null ? "" : `, score ${score(cell.score)}`),
    told && !row && h("p", {}, "The prompt quotes a private problem, so the texts are left out."),
    row && told.strings[reason] &&
      h("p", {}, failed ? "What failed: " : "The grader says: ", h("bdi", {}, said(told.strings[reason]))),
    row && !failed && region("The forced answer", "answer", told.strings[text] || "(nothing was said)"),
    trip && timeline(told.asked, trip),
    h("dl", {}, Object.entries(facts).map(([name, fact]) => fact && [h("dt", {}, name), h("dd", {}, said(fact))])),
  ];
}

function reasoned(own, number, told, pick) {
  const { text, prompt, mode } = told.traces[number];
  const words = told.strings[text];
  const sharing = own.filter((cell) => told.cells[cell.place]?.[0] === number);
  const parts = [];
  let from = 0;
  for (const cell of sharing) {
    const to = told.cells[cell.place][1];
    if (to > from) parts.push(h("span", { "data-from": from }, said(words.slice(from, to))));
    const go = (event) => { pick(cell.budget); event.preventDefault(); };
    const about = { "data-budget": cell.budget, "aria-label": `stopped here with ${cell.budget} tokens` };
    parts.push(h("a", { class: "at", href: traceLink(cell), onclick: go, ...about }, whole(cell.budget)));
    from = Math.max(from, to);
  }
  if (from < words.length) parts.push(h("span", { "data-from": from }, said(words.slice(from))));
  const size = prompt.reduce((sum, [, turn]) => sum + told.strings[turn].length, 0);
  const order = prompt.length > 1 ? "; examples come first, the question last" : "";
  const none = prompt.length ? "No reasoning: the answer was asked for at once" : "Nothing is stored of the reasoning";
  const several = data.searching.includes(sharing[0].method);
  return [
    h("h3", {}, words ? "The reasoning, with the budgets along it" : none),
    words && h("p", { class: "soft" },
      several && "Shown is the trace that this answer was forced from; the method may have written others. ",
      mode === "proportional" && "The server told no token boundaries: budgets are placed in proportion to the text. ",
      sharing.length < own.length && "At other budgets the answer comes from another trace, which is shown there."),
    words && region("The reasoning", "trace", parts, { "data-length": words.length }),
    prompt.length > 0 && h("details", { class: "prompt" },
      h("summary", {}, `The whole prompt: ${plural(prompt.length, "message")}, ${plural(size, "character")}${order}`),
      prompt.map(([role, turn]) => [h("h3", {}, said(role)), block(told.strings[turn])])),
  ];
}

// ---- A trip ----

function timeline(asked, { plan, constraints }) {
  const most = Math.min(Math.max(asked.days, ...plan.map(([, , last]) => last)), asked.days + 7);
  const days = Array.from({ length: most }, (_, i) => i + 1);
  const every = Math.ceil(most / 12);
  const broken = (kinds, which) =>
    constraints.filter(({ kind, of, kept }) => kinds.includes(kind) && of === String(which) && !kept);
  const spread = (node, first, last) => {
    if (first > most) return null;
    node.style.gridColumn = `${Math.max(1, first)} / ${Math.min(last, most) + 1}`;
    return node;
  };
  const line = (label, ...inside) => {
    const track = h("div", { class: "track" }, inside);
    track.style.gridTemplateColumns = `repeat(${most}, minmax(0, 1fr))`;
    return h("div", {}, h("span", {}, label), track);
  };
  const events = (city) => asked.windows.flatMap(([where, first, last], i) => {
    const kind = broken(["window"], `${i} ${where}`).length ? "event bad" : "event";
    return where === city ? spread(h("span", { class: kind }), first, last) : [];
  });
  const cross = () => h("span", { class: "violated" }, "✗ ");
  const rows = plan.map(([city, first, last], i) => {
    const bad = broken(["stay", "once", "unasked"], city).length > 0;
    const leg = i > 0 && broken(["flight", "join"], i - 1);
    const why = leg[0]?.kind === "flight" ? "✗ no such flight" : "✗ days do not join";
    const flown = leg && line(leg.length > 0 && h("span", { class: "violated" }, why),
      spread(h("span", { class: leg.length ? "leg bad" : "leg" }, leg.length ? "✗" : "↓"), first, first));
    const bar = spread(h("span", { class: bad ? "stay bad" : "stay" }, `${first}–${last}`), first, last);
    return [flown, line([bad ? cross() : "✓ ", said(city)], bar, events(city))];
  });
  const visited = plan.map(([city]) => city);
  const absent = asked.stays.filter(([city]) => !visited.includes(city)).map(([city]) => line([cross(), said(city)],
    spread(h("span", { class: "violated" }, "not visited"), 1, most), events(city)));
  const axis = line(h("span", { class: "soft" }, "day"), days.filter((day) => (day - 1) % every === 0).map((day) =>
    spread(h("span", { class: "day" }, day), day, day)));
  const wish = ({ asked: wanted, kept, found }) => h("li", {}, kept
    ? ["✓ kept: ", said(wanted)]
    : [h("span", { class: "violated" }, "✗ violated: "), said(wanted), "; the plan: ", said(found)]);
  const [bad, good] = [constraints.filter((one) => !one.kept), constraints.filter((one) => one.kept)];
  const told = plan.map(([city, first, last]) => `${city}, days ${first} to ${last}`).join("; ");
  return h("div", {}, h("h3", {}, "The plan as it was read"),
    h("div", { class: "trip", "aria-hidden": "true" }, axis, rows, absent), h("p", { class: "hidden" }, said(told)),
    h("p", { class: "soft" }, "Bars are stays, frames are events that ask for those days, arrows are flights."),
    h("ul", { class: "wishes" }, bad.map(wish)),
    h("details", {}, h("summary", {}, `${plural(good.length, "constraint")} kept of ${constraints.length}`),
      h("ul", { class: "wishes" }, good.map(wish))));
}

// ---- The page ----

let turn = 0;

async function draw() {
  const before = now, mine = ++turn, focused = document.activeElement?.id;
  now = read();
  const [run, model] = JSON.parse(now.set);
  const found = now.problem < 0 ? overview() : await trace();
  if (mine !== turn) return; // the reader went on meanwhile
  const main = document.getElementById("main");
  holding(main, found);
  const crumbs = [h("a", { href: overviewLink() }, said(data.label)), now.problem < 0 ? "" : [" / ", said(now.task)]];
  holding(document.getElementById("crumbs"), crumbs);
  holding(document.getElementById("told"), said(`Run ${run}, model ${model}`));
  document.title = plain(`${now.problem < 0 ? "explorer" : data.problems[now.problem][1]}: ${data.label}`);
  for (const box of main.querySelectorAll(".trace")) {
    const current = box.querySelector(".at[aria-current]");
    if (current) box.scrollTop = current.offsetTop - box.clientHeight / 2;
  }
  const moved = before.problem !== undefined && before.problem !== now.problem;
  if (moved) scrollTo(0, 0);
  if (now.at && now.at !== before.at && now.problem < 0) document.querySelector("#samples h2").focus();
  else if (moved) main.focus();
  else if (focused) document.getElementById(focused)?.focus({ preventScroll: true });
}

// Within a notebook's frame "#..." would be an address of the notebook's own, so links are followed by hand.
document.addEventListener("click", (event) => {
  const a = event.target.closest?.("a");
  const to = a?.getAttribute("href");
  if (!to?.startsWith("#") || event.defaultPrevented || event.ctrlKey || event.metaKey || event.shiftKey) return;
  event.preventDefault();
  if (to === "#main") document.getElementById("main").focus();
  else location.hash = to;
});
addEventListener("hashchange", draw);
let width = innerWidth;
addEventListener("resize", () => { if (innerWidth !== width && now.problem < 0) { width = innerWidth; draw(); } });

(async () => {
  try {
    data = await unpacked("cells");
    prepare();
    await draw();
    document.documentElement.dataset.ready = Math.round(performance.now()); // milliseconds since it was asked for
  } catch (error) {
    const old = typeof DecompressionStream === "undefined" && "it cannot unpack gzip; browsers since 2023 can";
    holding(document.getElementById("main"), h("p", { role: "alert" }, `This page cannot be drawn: ${old || error.message}.`));
  }
})();
