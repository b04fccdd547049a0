// What every page of the shop shares: who visits, how it asks, and how it speaks.

import { NotAdmitted, Usher, UsherError } from "{{gateway}}/usher.js";
import { TEXTS } from "./texts.js";

export { NotAdmitted, UsherError };

/** `/shop/queues/{queue}/concerts/{id}`, or `…/orders/{id}`. */
const [, , , named, , id] = location.pathname.split("/");
export const here = { queue: named ?? "main", id };

// ---- what is remembered

/** What this browser remembers; nothing depends on it. */
export function remembered(key, value) {
  try {
    if (value !== undefined) localStorage.setItem(`shop:${key}`, JSON.stringify(value));
    return JSON.parse(localStorage.getItem(`shop:${key}`));
  } catch {
    return null;
  }
}

/** The queues that this browser came through. */
export const queues = () => remembered("queues") ?? [];
export function remember(queue) {
  if (!queues().includes(queue)) remembered("queues", [...queues(), queue]);
}

export const addressOf = { concert: (queue, concert) => `/shop/queues/${queue}/concerts/${concert}`, order: (queue, order) => `/shop/queues/${queue}/orders/${order}` };

// ---- words

export const language = remembered("language") ?? (navigator.language.startsWith("ko") ? "ko" : "en");
const money = new Intl.NumberFormat(language, { style: "currency", currency: "KRW" });
const moment = new Intl.DateTimeFormat(language, { dateStyle: "full", timeStyle: "short" });
export const number = new Intl.NumberFormat(language);
export const won = (amount) => money.format(amount);
export const when = (text) => moment.format(new Date(text));

export function say(key, values = {}) {
  return (TEXTS[language][key] ?? key).replace(/\{(\w+)\}/g, (whole, name) => values[name] ?? whole);
}

/** Until when this browser opens what was bought: nothing else proves whose it is. */
export const known = (until) => (until ? say("known", { time: when(until) }) : null);

/** Why something was refused. */
export function why(refusal) {
  return TEXTS[language][refusal.code] ?? refusal.message;
}

/** `4:05`. */
export function clock(ms) {
  const seconds = Math.max(0, Math.ceil(ms / 1_000));
  return `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, "0")}`;
}

// ---- elements

export const find = (id) => document.getElementById(id);

export function element(name, text, attributes = {}) {
  const made = document.createElement(name);
  if (text !== undefined) made.textContent = text;
  for (const [attribute, value] of Object.entries(attributes)) made.setAttribute(attribute, value);
  return made;
}

/** Changes a text only where it is another one, so that nobody hears it twice. */
export function put(id, text) {
  const place = find(id);
  if (place.textContent !== text) place.textContent = text;
}

/** Shows a text, or hides its place where there is none. */
export function note(id, text) {
  put(id, text ?? "");
  find(id).hidden = !text;
}

export function seatLine(seat) {
  const line = element("li");
  line.append(element("span", `${seat.grade} ${seat.number}`), element("span", won(seat.price), { class: "number" }));
  return line;
}

// ---- asking

/** The visitor of a queue. */
export function visitor(queue) {
  return new Usher({ queue, base: new URL("{{gateway}}/", location.href) });
}
export const usher = visitor(here.queue);

/** Asks the service; gives the value, or throws the refusal. */
export async function ask(path, { json, by = usher, ...init } = {}) {
  const body = json && { body: JSON.stringify(json), headers: { "content-type": "application/json", ...init.headers } };
  const answer = await by.fetch(`/api/v1/${path}`, { ...init, ...body });
  if (answer.status === 204) return null;
  const value = await answer.json().catch(() => null);
  if (!answer.ok) throw new UsherError(answer.status, value, null);
  return value;
}

/** Whether there is nobody whose things could be asked for: no visit, or one that is forgotten. */
export const isNobody = (refusal) => ["TOKEN_MISSING", "TOKEN_INVALID", "TOKEN_EXPIRED", "QUEUE_UNKNOWN"].includes(refusal.code);

// ---- pages

/** Other tabs of this shop hear of what was done in this one. */
const tabs = globalThis.BroadcastChannel ? new BroadcastChannel("shop") : null;
export const tell = () => tabs?.postMessage("changed");

/** Speaks the visitor's language, shows the page, and shows it again whenever something may have changed meanwhile. */
export async function live(show) {
  document.documentElement.lang = language;
  for (const it of document.querySelectorAll("[data-say]")) it.textContent = say(it.dataset.say);
  for (const it of document.querySelectorAll("[data-label]")) it.setAttribute("aria-label", say(it.dataset.label));
  const button = document.querySelector("[data-language]");
  button.textContent = say("other");
  button.lang = language === "ko" ? "en" : "ko";
  button.onclick = () => {
    remembered("language", button.lang);
    location.reload();
  };
  const again = () => !document.hidden && show().then(() => note("trouble"), failed);
  find("trouble").onclick = again;
  document.addEventListener("visibilitychange", again);
  globalThis.addEventListener("pageshow", (event) => event.persisted && again());
  globalThis.addEventListener("online", again);
  if (tabs) tabs.onmessage = again;
  await show().catch(failed);
}

/** What cannot be shown is said, with a button to try again. */
function failed(refusal) {
  if (!(refusal instanceof UsherError)) throw refusal;
  note("trouble", `${say("trouble", { why: why(refusal) })} ${say("try_again")}`);
}
