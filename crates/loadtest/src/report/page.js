// Draws a run from the JSON in this page. Texts are set as texts, so that none becomes a program.
"use strict";

const run = JSON.parse(document.getElementById("run").textContent);
const { all, seconds, errors } = run.figures;
const STORY = ["join", "poll", "dates", "seats", "reserve", "charge", "pay", "leave"];
const steps = STORY.filter((name) => name in run.figures.steps).map((name) => [name, run.figures.steps[name]]);

// An element with attributes and what is in it; `svg:` before a name makes a part of a picture.
function make(name, attributes = {}, ...inside) {
  const [prefix, tag] = name.includes(":") ? name.split(":") : ["", name];
  const element = prefix
    ? document.createElementNS("http://www.w3.org/2000/svg", tag)
    : document.createElement(tag);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  element.append(...inside);
  return element;
}

const ms = (value) => `${value.toFixed(value < 10 ? 2 : 1)}`;
const short = (value) => {
  if (value === 0) return "0";
  if (value >= 10000) return `${(value / 1000).toFixed(0)}k`;
  if (value >= 1000) return `${(value / 1000).toFixed(1)}k`;
  return value.toFixed(value >= 10 ? 0 : value >= 1 ? 1 : 2);
};
const section = (title, ...inside) => make("section", {}, make("h2", {}, title), ...inside);

function header() {
  const [kind, words] = run.kept ? ["kept", "Everything held"] : ["missed", "An objective was missed"];
  return make("header", {}, make("h1", {}, run.scenario), make("p", {}, run.about),
    make("p", { class: `verdict ${kind}` }, words));
}

function tiles() {
  const share = (count) => `${(100 * count / Math.max(all.count, 1)).toFixed(1)} % of all`;
  const tile = (name, value, more, kind = "") => make("div", { class: `tile ${kind}` },
    make("span", {}, name), make("strong", {}, value), make("small", {}, more));
  const latency = all.latencyMs;
  return make("section", { class: "tiles" },
    tile("Calls", `${all.count}`, `${all.perSecond.toFixed(0)} per second`),
    tile("Yes", `${all.success}`, share(all.success), "yes"),
    tile("No", `${all.refusal}`, share(all.refusal), "no"),
    tile("Errors", `${all.error}`, share(all.error), all.error > 0 ? "error" : ""),
    tile("Median", `${latency.p50.toFixed(1)} ms`, `mean ${latency.mean.toFixed(1)} ms`),
    tile("p99", `${latency.p99.toFixed(1)} ms`, `max ${latency.max.toFixed(1)} ms`));
}

// A table whose columns are pairs of a heading and the class of its cells.
function table(columns, rows) {
  const cell = (tag, text, kind) => make(tag, kind ? { class: kind } : {}, text);
  const head = columns.map(([name, kind]) => cell("th", name, kind));
  const body = rows.map((row) => make("tr", row.kind ? { class: row.kind } : {},
    ...row.cells.map((text, index) => cell("td", text, row.first && index === 0 ? row.first : columns[index][1]))));
  return make("table", {}, make("thead", {}, make("tr", {}, ...head)), make("tbody", {}, ...body));
}

function checks() {
  const rows = run.checks.map((it) => ({
    first: it.kept ? "kept" : "missed",
    cells: [it.kept ? "✓ kept" : "✗ missed", it.what, it.found, it.wanted],
  }));
  return section("What must hold", table([["", ""], ["What", ""], ["Found", "figure"], ["Must be", "figure"]], rows));
}

function answers(measured) {
  const pairs = [...Object.entries(measured.statuses), ...Object.entries(measured.faults)];
  pairs.sort((a, b) => b[1] - a[1]);
  return pairs.filter(([, count]) => count > 0).map(([name, count]) => `${count} × ${name}`).join(", ");
}

function stepsTable() {
  const names = ["calls", "yes", "no", "errors", "p50 ms", "p90 ms", "p95 ms", "p99 ms", "p99.9 ms", "max ms"];
  const columns = [["Step", ""], ...names.map((name) => [name, "figure"]), ["Answers", ""]];
  const row = ([name, it]) => {
    const counts = [it.count, it.success, it.refusal, it.error].map(String);
    const { p50, p90, p95, p99, p999, max } = it.latencyMs;
    return { kind: name, cells: [name, ...counts, ...[p50, p90, p95, p99, p999, max].map(ms), answers(it)] };
  };
  const rows = [...steps, ["all", all]].map(row);
  return section("Steps", make("div", { class: "wide" }, table(columns, rows)));
}

const LINE = { width: 640, height: 220, left: 56, right: 12, top: 12, bottom: 26, rows: 4, points: 300 };

// The next round figure that four rows divide well.
function roundUp(highest) {
  if (highest <= 0) return 1;
  const power = 10 ** Math.floor(Math.log10(highest));
  const step = [1, 1.2, 1.6, 2, 2.4, 3.2, 4, 5, 6, 8, 10].find((it) => it * power >= highest - power * 1e-9);
  return (step ?? 10) * power;
}

// At most seven seconds to be named, evenly apart.
function ticks(count) {
  const apart = [1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1200, 1800, 3600, 7200].find((it) => count / it <= 7) ?? 14400;
  return Array.from({ length: Math.floor(count / apart) }, (_, index) => (index + 1) * apart);
}

// Lines over the seconds of the run: each a name, a class that gives its colour, and its values.
function chart(title, unit, lines) {
  const count = Math.max(...lines.map(({ values }) => values.length), 0);
  const top = roundUp(Math.max(0, ...lines.flatMap(({ values }) => values)));
  const { width, height, left, right, bottom } = LINE;
  const x = (second) => left + (width - left - right) * Math.min(Math.max((second - 1) / Math.max(count - 1, 1), 0), 1);
  const y = (value) => height - bottom - (height - LINE.top - bottom) * value / top;
  const legend = lines.flatMap(({ name, kind }) => [make("i", { class: kind }), `${name} `]);
  const picture = make("svg:svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": title });
  const text = (attributes, words) => picture.append(make("svg:text", { class: "tick", ...attributes }, words));
  for (let row = 0; row <= LINE.rows; row += 1) {
    const value = top * row / LINE.rows;
    picture.append(make("svg:line", { class: "grid", x1: left, x2: width - right, y1: y(value), y2: y(value) }));
    text({ x: left - 6, y: y(value) + 3.5, "text-anchor": "end" }, short(value) + (row === LINE.rows ? unit : ""));
  }
  for (const tick of ticks(count)) text({ x: x(tick), y: height - 8, "text-anchor": "middle" }, `${tick} s`);
  // A long run has more seconds than the picture has points: each point is then the highest of several.
  const each = Math.max(Math.ceil(count / LINE.points), 1);
  for (const { kind, values } of lines) {
    const points = [];
    for (let at = 0; at < values.length; at += each) {
      const highest = Math.max(...values.slice(at, at + each));
      points.push(`${x(at + 1).toFixed(1)},${y(highest).toFixed(1)}`);
    }
    picture.append(make("svg:polyline", { class: `line ${kind}`, points: points.join(" ") }));
  }
  return make("figure", {}, make("figcaption", {}, title, make("span", { class: "legend" }, ...legend)), picture);
}

function charts() {
  const line = (name, kind, of) => ({ name, kind, values: seconds.map(of) });
  const all = [
    chart("Calls per second", "/s", [line("yes", "yes", (it) => it.success), line("no", "no", (it) => it.refusal),
      line("errors", "error", (it) => it.error)]),
    chart("Latency by second", " ms", [line("p50", "a", (it) => it.p50Ms), line("p95", "b", (it) => it.p95Ms),
      line("p99", "c", (it) => it.p99Ms)]),
  ];
  if (seconds.some((it) => it.visitors > 0)) {
    all.push(chart("Visitors on their way", "", [line("visitors", "a", (it) => it.visitors)]));
  }
  return make("section", { class: "charts" }, ...all);
}

// How many answers took how long; the buckets grow by the same factor.
function bars([name, { histogram }]) {
  const [width, height, base] = [300, 110, 90];
  const most = Math.max(1, ...histogram.map(([, count]) => count));
  const total = histogram.reduce((sum, [, count]) => sum + count, 0);
  const picture = make("svg:svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": name });
  const each = width / Math.max(histogram.length, 1);
  const named = Math.max(Math.floor(histogram.length / 4), 1);
  histogram.forEach(([upperMs, count], index) => {
    // Few are seen too: a bar that is not empty is at least a point high.
    const tall = count === 0 ? 0 : Math.max((base - 6) * count / most, 1);
    const place = { x: index * each + 0.5, y: base - tall, width: Math.max(each - 1, 0.5), height: tall };
    const told = make("svg:title", {}, `up to ${short(upperMs)} ms: ${count}`);
    picture.append(make("svg:rect", { class: "bar", ...place }, told));
    if (index % named === Math.floor(named / 2)) {
      const middle = { x: (index + 0.5) * each, y: height - 6, "text-anchor": "middle" };
      picture.append(make("svg:text", { class: "tick", ...middle }, `${short(upperMs)} ms`));
    }
  });
  picture.append(make("svg:line", { class: "grid", x1: 0, x2: width, y1: base, y2: base }));
  const legend = make("span", { class: "legend" }, `${total} calls`);
  return make("figure", {}, make("figcaption", {}, name, legend), picture);
}

function facts(title, named) {
  const lines = Object.entries(named).flatMap(([name, value]) => [make("dt", {}, name), make("dd", {}, value)]);
  return make("div", {}, make("h2", {}, title), make("dl", {}, ...lines));
}

const list = (title, lines) => lines.length === 0 ? []
  : [section(title, make("ul", {}, ...lines.map((line) => make("li", {}, line))))];

document.title = `${run.scenario} · ${run.when}`;
document.querySelector("main").replaceChildren(header(), tiles(), checks(), charts(), stepsTable(),
  section("How long answers took", make("div", { class: "histograms" }, ...steps.map(bars))),
  ...list("Notes", run.notes), ...list("First errors", errors),
  make("section", { class: "facts" }, facts("Settings", run.settings), facts("Machine", { ...run.machine, run: run.when })));
