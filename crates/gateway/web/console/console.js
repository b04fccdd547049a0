// The operator's console: what is, what may be changed, and who changed it.

import { asking } from "./api.js";
import { follow } from "./chart.js";
import { serving } from "./customer.js";
import { dating } from "./dates.js";
import { element, find, local, markCurrent, moments, numbers, pause, save, showList } from "./dom.js";
import { holding } from "./hold.js";
import { desk } from "./lists.js";
import { Spread, reporting, shareOf } from "./report.js";
import { selling } from "./sale.js";
import { asksTwice } from "./sure.js";

const base = new URL(`${document.body.dataset.base}/`, location.href);
const LOOK_MS = 1_000;
const AUDIT_MS = 5_000;
const SERVICE_MS = 2_000;
/** Minutes without an answer after which nothing is told of the service. */
const SILENT = 2;
const KEY = "usher:operator-key";

let key = sessionStorage.getItem(KEY) ?? "";
let chosen = decodeURIComponent(location.hash.slice(1));
let known = [];
/** The rules as they were read, and the tag that says which they were. */
let rules = null;
let tag = null;
let undo = null;
const charts = { waiting: follow(find("chart-waiting")), active: follow(find("chart-active")), admitted: follow(find("chart-admitted")), latency: follow(find("chart-latency")), failed: follow(find("chart-failed")) };

const { ask, maybe } = asking({ base, key: () => key });

// ---- saying

let toastTimer;
function tell(text, { isBad = false, undoing = null } = {}) {
  const toast = find("toast");
  const [words, button] = toast.children;
  words.textContent = text;
  toast.classList.toggle("bad", isBad);
  undo = undoing;
  button.hidden = !undoing;
  toast.hidden = false;
  clearTimeout(toastTimer);
  toastTimer = setTimeout(() => (toast.hidden = true), undoing ? 30_000 : 6_000);
}

find("toast").querySelector("button").onclick = async () => {
  const act = undo;
  find("toast").hidden = true;
  if (act) await act();
};

// ---- queues at a glance

async function look() {
  try {
    const [{ value }, amiss] = await Promise.all([ask("GET", "queues"), unready()]);
    warn(amiss);
    known = value.items;
    showQueues();
    const status = known.find((it) => it.queue === chosen);
    if (status) showStatus(status);
  } catch (cause) {
    warn(`The gateway does not answer: ${cause.message}`);
  }
}

/** The queues are told as they were last seen, also while the store is away; readiness knows. */
async function unready() {
  const answer = await fetch(new URL("ready", base), { cache: "no-store", credentials: "omit" });
  if (answer.ok) return null;
  const { detail = `status ${answer.status}` } = (await answer.json().catch(() => null)) ?? {};
  return /^redis/i.test(detail) ? `The store is away, figures are old. Places are safe; nobody enters. ${detail}` : detail;
}

function warn(words) {
  find("store").textContent = words ?? "";
  find("store").hidden = !words;
}

function showQueues() {
  const place = find("queues");
  for (const status of known) {
    let card = place.querySelector(`[data-queue="${status.queue}"]`);
    if (!card) {
      card = element("button", undefined, { "data-queue": status.queue });
      card.append(element("span", undefined, { class: "top" }), element("span", undefined, { class: "soft number" }));
      card.firstChild.append(element("span", status.queue), element("span", "", { class: "badge" }));
      card.onclick = () => choose(status.queue);
      place.append(card);
    }
    card.setAttribute("aria-pressed", status.queue === chosen);
    const badge = card.querySelector(".badge");
    badge.textContent = status.state;
    badge.dataset.state = status.state;
    card.lastChild.textContent = `${numbers.format(status.waiting)} waiting · ${numbers.format(status.active)} of ${numbers.format(status.maxActive)} inside`;
  }
  for (const card of [...place.children]) if (!known.some((it) => it.queue === card.dataset.queue)) card.remove();
  if (!chosen && known.length === 1) choose(known[0].queue);
}

async function choose(queue) {
  chosen = queue;
  history.replaceState(null, "", `#${encodeURIComponent(queue)}`);
  rules = null;
  Object.values(charts).forEach((chart) => chart.clear());
  const status = known.find((it) => it.queue === queue);
  await pastHour(queue);
  if (status) showStatus(status);
  showQueues();
  await Promise.all([read(), audit(), service()]);
}

/** The charts begin with what was kept of the last hour. */
async function pastHour(queue) {
  const kept = key ? await maybe("GET", `queues/${queue}/minutes?count=60`) : null;
  if (!kept || queue !== chosen) return;
  const points = kept.items.map((it) => ({ ...it, at: Date.parse(it.at), limit: null }));
  const perSecond = (it, at) => (points[at - 1]?.epoch === it.epoch ? (it.admitted - points[at - 1].admitted) / 60 : 0);
  charts.waiting.show(points.map((it) => ({ ...it, value: it.waiting })));
  charts.active.show(points.map((it) => ({ ...it, value: it.active })));
  charts.admitted.show(points.map((it, at) => ({ ...it, value: perSecond(it, at) })));
}

/** The service behind, by minute: what all gateways counted during the last hour, the running minute too. */
async function service() {
  if (!chosen) return;
  const queue = chosen;
  const kept = key ? await maybe("GET", `queues/${queue}/minutes?count=60`) : null;
  if (queue !== chosen) return;
  const minutes = kept?.items ?? [];
  const target = rules?.targetLatencyMs ?? null;
  const answered = minutes.filter((it) => it.answered > 0);
  charts.latency.show(answered.filter((it) => it.firstByteMs).map((it) => ({ at: Date.parse(it.at), value: it.firstByteMs.p99, limit: target })));
  charts.failed.show(minutes.map((it) => ({ at: Date.parse(it.at), value: it.failed, limit: null })));
  const recent = answered.filter((it) => Date.parse(it.at) > Date.now() - SILENT * 60_000);
  const [times, failed] = [new Spread(recent.map((it) => it.firstBytes)), recent.reduce((all, it) => all + it.failed, 0)];
  find("now-latency").textContent = times.count ? `${times.told(0.5)} · ${times.told(0.99)} ms` : key ? "–" : "with an operator's key";
  find("now-failed").textContent = recent.length ? `${numbers.format(failed)} of ${numbers.format(recent.reduce((all, it) => all + it.answered, 0))}` : key ? "–" : "with an operator's key";
}

// ---- one queue

function showStatus(status) {
  find("pick").hidden = true;
  find("queue").hidden = false;
  find("name").textContent = status.queue;
  find("state").textContent = status.state;
  find("state").dataset.state = status.state;
  const opens = status.opensAt && status.state === "scheduled" ? `opens ${moments.format(new Date(status.opensAt))}` : "";
  find("about").textContent = [status.order === "lottery" ? "by lot" : "first come, first served", opens].filter(Boolean).join(" · ");
  const perSecond = status.admittedLastMinute / 60;
  charts.waiting.add(status.waiting);
  charts.active.add(status.active, status.maxActive);
  charts.admitted.add(perSecond, typeof status.admitPerSecond === "number" ? status.admitPerSecond : null);
  find("now-waiting").textContent = numbers.format(status.waiting);
  find("now-active").textContent = `${numbers.format(status.active)} / ${numbers.format(status.maxActive)}`;
  find("now-admitted").textContent = `${perSecond.toFixed(2)} / ${status.admitPerSecond}`;
  showFigures(status);
}

let fairness = null;
function showFigures(status) {
  const share = shareOf(fairness);
  const figures = [
    ["Waiting", status.waiting], ["Inside", status.active], ["Let in, last minute", status.admittedLastMinute],
    ...(fairness ? [
      ["Kept promises", share], ["No-shows", fairness.noShows], ["Parked", fairness.parked],
      ["Overtaken", fairness.inversions, fairness.inversions > 0], ["Over the cap", fairness.capOvershoot, fairness.capOvershoot > 0],
    ] : []),
    ...(status.remaining === undefined || status.remaining === null ? [] : [["Left to sell", status.remaining]]),
    ["Line since", new Intl.DateTimeFormat("en", { timeStyle: "medium" }).format(new Date(status.epoch / 1_000))],
  ];
  showList("figures", figures);
}

/** Reads the rules; what somebody is typing at the moment stays. */
async function read() {
  if (!chosen) return lock();
  if (!key) {
    [rules, tag] = [known.find((it) => it.queue === chosen) ?? null, null];
    return fill();
  }
  try {
    const answer = await ask("GET", `queues/${chosen}/policy`);
    [rules, tag] = [answer.value, answer.tag];
  } catch (refusal) {
    if (refusal.code === "OPERATOR_KEY_INVALID") return forget("This is not an operator's key.");
    if (refusal.code === "RIGHT_MISSING") return lock();
    // Without that route the status says most of it.
    [rules, tag] = [known.find((it) => it.queue === chosen) ?? null, null];
  }
  fill();
}

function lock() {
  for (const field of find("rules").elements) field.disabled = !key;
  find("hold").disabled = !key;
}

function fill() {
  lock();
  if (!rules) return;
  for (const field of find("rules").elements) {
    if (!field.name) continue;
    field.disabled = !key || !(field.name in rules);
    field.value = shown(field, rules[field.name]);
    field.classList.remove("changed");
  }
}

function shown(field, value) {
  if (value === null || value === undefined) return "";
  if (field.type === "datetime-local") return local(new Date(value));
  return String(field.dataset.unit ? value / Number(field.dataset.unit) : value);
}

function written(field) {
  if (field.type === "datetime-local") return field.value ? new Date(field.value).toISOString() : null;
  if (field.dataset.unit) return Math.round(Number(field.value) * Number(field.dataset.unit));
  if (field.type === "number") return Number(field.value);
  if (field.name === "admitPerSecond") return field.value === "auto" ? "auto" : Number(field.value);
  return field.value.trim() === "" ? null : field.value.trim();
}

function changes() {
  const changed = {};
  for (const field of find("rules").elements) {
    if (field.name && !field.disabled && field.value !== shown(field, rules?.[field.name])) changed[field.name] = written(field);
  }
  return changed;
}

find("rules").addEventListener("input", ({ target }) => target.classList.toggle("changed", target.value !== shown(target, rules?.[target.name])));
find("reset").onclick = fill;
find("rules").onsubmit = (submit) => {
  submit.preventDefault();
  const change = changes();
  if (Object.keys(change).length) put(chosen, change);
};
for (const button of document.querySelectorAll("[data-set]")) button.onclick = () => put(chosen, { state: button.dataset.set, ...(button.dataset.set === "open" ? { opensAt: null } : {}) });

/** Changes rules, if nobody else did since they were `seen`; the way back is offered. */
async function put(queue, change, { isUndo = false, seen = tag } = {}) {
  // An instant of opening changes the state too, so both are taken back.
  const names = "opensAt" in change ? new Set([...Object.keys(change), "state"]) : Object.keys(change);
  const before = Object.fromEntries([...names].map((name) => [name, rules?.[name] ?? null]));
  try {
    const headers = seen ? { "if-match": seen } : {};
    const changed = await ask("PUT", `queues/${queue}`, { body: change, headers });
    await Promise.all([read(), audit(), look()]);
    const words = Object.entries(change).map(([name, value]) => `${name} ${value ?? "taken back"}`).join(", ");
    tell(`${isUndo ? "Undone" : "In force"}: ${words}`, { undoing: isUndo ? null : () => put(queue, before, { isUndo: true, seen: changed.tag }) });
  } catch (refusal) {
    if (refusal.status === 412) {
      await Promise.all([read(), audit()]);
      tell("Somebody else changed the rules meanwhile. They are shown now; nothing of yours was put in force.", { isBad: true });
    } else tell(refusal.message, { isBad: true });
  }
}

async function audit() {
  if (!chosen) return;
  const [page, fair] = await Promise.all([key ? maybe("GET", `queues/${chosen}/audit?limit=30`) : null, maybe("GET", `queues/${chosen}/fairness`)]);
  fairness = fair;
  const entries = page?.items ?? [];
  find("audit").replaceChildren(...entries.map(auditLine));
  if (!entries.length) find("audit").append(element("li", key ? "Nothing yet." : "Shown with an operator's key.", { class: "soft" }));
}

function auditLine(entry) {
  const line = element("li");
  line.append(element("b", entry.by), ` ${deed(entry)} `, element("time", moments.format(new Date(entry.at)), { datetime: entry.at }));
  return line;
}

function deed({ before, after, effect }) {
  if (effect?.refused) return `was refused ${effect.times} times: the key lacks the right ${effect.refused}.`;
  if (!after) return "removed the queue.";
  if (!before) return "created the queue.";
  const changed = Object.keys(after).filter((name) => JSON.stringify(before[name]) !== JSON.stringify(after[name]));
  return changed.map((name) => `${name} ${before[name] ?? "–"} → ${after[name] ?? "–"}`).join(", ") || "changed nothing.";
}

// ---- the red button

const { hold, release } = holding({ ask });

find("hold").onclick = async () => {
  const startedAt = performance.now();
  const { done, refused } = await hold(known.map((it) => it.queue));
  const seconds = ((performance.now() - startedAt) / 1_000).toFixed(2);
  await Promise.all([look(), read(), audit()]);
  const undoing = done.length ? () => takeBack(done) : null;
  if (refused.length) return tell(`${refused.length} of ${known.length} queues could not be held: ${refused[0].message}`, { isBad: true, undoing });
  tell(`Everybody is held, after ${seconds} s.`, { undoing });
};

async function takeBack(held) {
  const { refused } = await release(held);
  await Promise.all([look(), read(), audit()]);
  const changed = refused.filter((it) => it.status === 412).length;
  if (changed) return tell(`${changed} of ${held.length} queues were changed by somebody else meanwhile, and stay as they are.`, { isBad: true });
  if (refused.length) return tell(refused[0].message, { isBad: true });
  tell("Undone: everybody is held");
}

// ---- the key

find("key-form").onsubmit = async (submit) => {
  submit.preventDefault();
  if (key) return forget();
  key = find("key").value.trim();
  find("key").value = "";
  sessionStorage.setItem(KEY, key);
  await unlock();
};

async function unlock() {
  find("key-form").classList.toggle("unlocked", Boolean(key));
  find("key-go").textContent = key ? "Lock" : "Unlock";
  await Promise.all([read(), audit(), service()]);
  if (key && !find("sale").hidden) await sale.show();
}

function forget(words) {
  key = "";
  sessionStorage.removeItem(KEY);
  for (const part of [customers, lists, dates]) part.leave();
  if (words) tell(words, { isBad: true });
  return unlock();
}

// ---- the sale behind, and who bought

/** Shows one part of the console in place of another. */
async function showPart(name) {
  for (const button of document.querySelectorAll("[data-part]")) {
    const isShown = button.dataset.part === name;
    markCurrent(button, isShown);
    find(button.dataset.part).hidden = !isShown;
  }
  if (name === "sale") await sale.show();
  if (name === "report") await showReport();
}

for (const button of document.querySelectorAll("[data-part]")) button.onclick = () => showPart(button.dataset.part);

async function openCustomer(id) {
  await showPart("customer");
  find("customer-form").elements.userId.focus();
  await customers.open(id);
}

const hasKey = () => Boolean(key);
const sure = asksTwice();
const customers = serving({ ask, tell, sure });
const lists = desk({ ask, tell, openCustomer });
const dates = dating({ ask, tell, sure, books: () => sale.books(), lookAt: lists.choose });
const sale = selling({ ask, maybe, tell, hasKey, openDates: dates.open });

const showReport = reporting({ ask, maybe, element, find, save, tell, showList, auditLine, local, follow, known: () => known, chosen: () => chosen, hasKey });

// ---- for as long as it is open

async function forEver(act, pauseMs) {
  for (;;) {
    await act();
    await pause(pauseMs);
  }
}

await look();
await unlock();
if (chosen) await choose(chosen);
forEver(look, LOOK_MS);
forEver(audit, AUDIT_MS);
forEver(service, SERVICE_MS);
