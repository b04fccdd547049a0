// Brings the waiting page to life. The server has painted it already; this keeps it true.

import { Usher, randomId } from "./usher.js";
import { Phrases, clock } from "./phrases.js";

const ANNOUNCE_MS = 20_000;
/** A visitor who looks the other way is brought in when so little of the claim is left. */
const LAST_SECONDS = 12;
/** So long before the end of a claim, or in the middle of a short one, the visitor is warned. */
const WARN_SECONDS = 30;
/** Time to read that it is one's turn. */
const TURN_MS = 1_500;

const page = document.querySelector("[data-usher-page]");
const folder = new URL(".", import.meta.url);
const { queue, base, to, opens, identity, challenge: script } = page.dataset;
const slots = Object.fromEntries([...document.querySelectorAll("[data-usher]")].map((it) => [it.dataset.usher, it]));
const usher = new Usher({ queue, base: new URL(base || "/", location.href) });
/** Where a tab tells the others that the visitor leaves by it. */
const tabs = globalThis.BroadcastChannel ? new BroadcastChannel(`${usher.name}:leave`) : null;
const phrases = await Phrases.load(folder, document.documentElement.lang);

const ICONS = { paused: "paused", away: "paused", offline: "paused", limited: "paused", full: "paused", turn: "turn", closed: "over", soldout: "over", expired: "over", left: "over" };
const event = document.querySelector(".brand span")?.textContent;

let state = document.documentElement.dataset.state;
let place = page.dataset.place ? JSON.parse(page.dataset.place) : null;
let opensAt = opens ? new Date(opens) : null;
let deadline = null;
let progress = Number(slots.progress?.getAttribute("value") ?? 0);
let announced = { at: 0, text: "" };
let isEntering = false;
let isLeaving = false;
let turnedAt = null;
let warnAt = null;
let widget = null;
let wantsSound = null;

// ---- what is seen

function put(slot, text) {
  const element = slots[slot];
  if (element && element.textContent !== text) element.textContent = text;
}

/** Hides what holds the slot where there is nothing to say. */
function show(slot, text, holder = slots[slot]?.parentElement) {
  put(slot, text ?? "");
  if (holder) holder.hidden = text === null || text === undefined || text === "";
}

function stateOf(place) {
  if (place.state === "active") return "turn";
  if (place.state === "scheduled") return place.ahead === null ? "draw" : "scheduled";
  if (place.remaining === 0) return "soldout";
  return place.paused ? "paused" : "line";
}

function paint(next) {
  const hasChanged = next !== state;
  state = next;
  document.documentElement.dataset.state = state;
  const time = opensAt ? phrases.instant(opensAt) : "";
  const title = phrases.say(`${["work", "challenge"].includes(state) ? "join" : state}.title`);
  if (slots.challenge) slots.challenge.hidden = state !== "challenge";
  put("title", title);
  put("lead", phrases.say(`${state}.lead`, { time }));
  const isInLine = place && ["line", "paused", "scheduled", "soldout"].includes(state) && place.position !== null;
  const position = isInLine ? phrases.number(place.position) : null;
  show("position", position);
  slots.position?.classList.toggle("long", (position?.length ?? 0) > 5);
  put("ahead", isInLine ? phrases.ahead(place.ahead) : "");
  show("wait", isInLine && state === "line" ? phrases.wait(place.etaSeconds) : null);
  if (isInLine) {
    put("waiting", phrases.count("waiting", place.waiting));
    put("ticket", String(place.ticketNumber));
  }
  const facts = slots.ticket?.closest(".facts");
  if (facts) facts.hidden = !isInLine;
  advance(isInLine && state !== "scheduled");
  show("message", place?.message);
  show("outlook", isInLine && state !== "soldout" ? phrases.outlook(place) : null, slots.outlook);
  act();
  tick();
  document.title = [position, title, event].filter(Boolean).join(" · ");
  document.querySelector('link[rel="icon"]').href = new URL(`icon-${ICONS[state] ?? "line"}.svg`, folder);
  const warning = isInLine && ["unlikely", "uncertain"].includes(place.outlook) && place.remaining ? phrases.say(place.outlook) : "";
  announce(hasChanged, [title, isInLine ? phrases.ahead(place.ahead) : "", warning, place?.message].filter(Boolean).join(". "));
}

/** The bar never goes back, whatever the line does; nor does it after a reload. */
function advance(isShown) {
  if (!slots.progress) return;
  const key = `${usher.name}:${place?.ticketNumber}`;
  const [longest, done] = (stored(key) ?? "").split("/").map(Number);
  const start = Math.max(Number(page.dataset.start) || 0, longest || 0, place?.ahead ?? 0);
  if (isShown && start) {
    progress = Math.max(progress, done || 0, Math.floor(100 * (1 - place.ahead / start)));
    stored(key, `${start}/${progress}`);
    slots.progress.value = Math.max(progress, 2);
  }
  slots.progress.hidden = !(isShown && start);
}

function stored(key, value) {
  try {
    if (value !== undefined) sessionStorage.setItem(key, value);
    return sessionStorage.getItem(key);
  } catch {
    return null;
  }
}

/** The one button of this state, and the way out of the line. */
function act() {
  if (slots.action && state !== "login") {
    show("action", state === "turn" ? phrases.say("turn.enter") : null, slots.action);
    slots.action.href = to || location.href;
  }
  if (slots.again) slots.again.hidden = !["expired", "left"].includes(state);
  if (slots.leave) slots.leave.hidden = !["line", "paused", "scheduled", "draw", "soldout", "turn"].includes(state);
  if (slots.wishes) slots.wishes.hidden = !["line", "paused", "scheduled", "draw", "soldout"].includes(state);
}

/** Screen readers hear a change of state at once, and the rest every 20 seconds at most. */
function announce(isUrgent, text) {
  if (text === announced.text || (!isUrgent && Date.now() - announced.at < ANNOUNCE_MS)) return;
  announced = { at: Date.now(), text };
  put("announce", text);
}

/** The clock of a scheduled queue runs by the gateway's time, that of a claim by our own. */
function tick() {
  let left = null;
  if (["scheduled", "draw"].includes(state) && opensAt) left = (opensAt - usher.now()) / 1_000;
  if (state === "turn" && deadline !== null) left = (deadline - performance.now()) / 1_000;
  put("clock_label", phrases.say(state === "turn" ? "turn.left" : "scheduled.left"));
  show("clock", left === null || left < 0 ? null : clock(left));
  if (state !== "turn") return;
  if (left !== null && warnAt !== null && left < warnAt) warn(left);
  bring(left);
}
setInterval(tick, 1_000);
document.addEventListener("visibilitychange", tick);

// ---- what is done

/** To what was asked for; a form is not sent again by itself. */
function enter() {
  if (isEntering) return;
  isEntering = true;
  if (to) location.replace(to + location.hash);
  else location.reload();
}

function turn() {
  turnedAt = performance.now();
  deadline = place.expiresInSeconds === null ? null : turnedAt + place.expiresInSeconds * 1_000;
  warnAt = Math.min(WARN_SECONDS, place.expiresInSeconds / 2);
  ring();
}

/** Once, before the time is over: said aloud, and as loud as it was told that it is one's turn. */
function warn(left) {
  warnAt = null;
  announce(true, `${phrases.say("turn.left")}: ${clock(left)}`);
  ring();
}

/**
 * Enters for a visitor who looks and had the time to read it; for one who looks the other way when they look again, or when
 * little time is left. Judged by what is, each second: a tab that slept does not hear of every change.
 */
function bring(left) {
  const isSeen = turnedAt !== null && !document.hidden && performance.now() - turnedAt >= TURN_MS;
  if (isSeen || (left !== null && left < LAST_SECONDS)) enter();
}

function ring() {
  if (wantsSound) {
    for (const [at, pitch] of [[0, 660], [0.25, 880], [0.5, 1_100]]) {
      const [tone, volume] = [wantsSound.createOscillator(), wantsSound.createGain()];
      tone.frequency.value = pitch;
      volume.gain.setValueAtTime(0.2, wantsSound.currentTime + at);
      volume.gain.exponentialRampToValueAtTime(0.001, wantsSound.currentTime + at + 0.4);
      tone.connect(volume).connect(wantsSound.destination);
      tone.start(wantsSound.currentTime + at);
      tone.stop(wantsSound.currentTime + at + 0.4);
    }
  }
  if (slots.notify?.checked && document.hidden) {
    const shown = new Notification(phrases.say("turn.title"), { body: event ?? "", tag: usher.name });
    shown.onclick = () => window.focus();
  }
}

function wishes() {
  if (slots.sound) slots.sound.onchange = () => (wantsSound = slots.sound.checked ? new AudioContext() : null);
  if (!slots.notify) return;
  if (!("Notification" in window)) slots.notify.parentElement.hidden = true;
  slots.notify.onchange = async () => {
    if (slots.notify.checked) slots.notify.checked = (await Notification.requestPermission()) === "granted";
  };
}

function leaving() {
  slots.leave?.addEventListener("submit", (submit) => {
    isLeaving = !slots.sure?.showModal || slots.sure.returnValue === "leave";
    if (isLeaving) return tabs?.postMessage("leaving");
    submit.preventDefault();
    slots.sure.returnValue = "";
    slots.sure.onclose = () => slots.sure.returnValue === "leave" && slots.leave.requestSubmit();
    slots.sure.showModal();
  });
  if (tabs) tabs.onmessage = () => (isLeaving = true);
  slots.language?.querySelector("select").addEventListener("change", () => slots.language.requestSubmit());
  const button = slots.language?.querySelector("button");
  if (button) button.hidden = true;
  slots.action?.addEventListener("click", (click) => {
    if (state === "login") return;
    click.preventDefault();
    enter();
  });
}

// ---- what is heard

function hear(news) {
  if (isEntering) return;
  if (news.type === "gone") return paint(news.code === "QUEUE_UNKNOWN" ? "closed" : isLeaving ? "left" : "expired");
  if (news.type === "store") {
    if (!news.available) return paint(navigator.onLine ? "away" : "offline");
  }
  if (news.type === "message" && place) place.message = news.message;
  if (news.type === "paused" && place) {
    place.paused = news.paused;
    if (news.paused) place.etaSeconds = null;
  }
  if (news.place) {
    const was = place?.state;
    const wasDrawing = state === "draw";
    place = news.place;
    if (place.state === "active" && was !== "active") turn();
    if (wasDrawing && place.position !== null) drawn();
    if (place.state === "scheduled" && was !== "scheduled") schedule();
  }
  if (place) paint(stateOf(place));
}

/** What was drawn for this visitor, where they took part. */
async function drawn() {
  const proof = await usher.proof().catch(() => null);
  if (!proof?.lot) return;
  put("drawn", phrases.say("drawn"));
  show("lot", phrases.say("lot", { lot: String(proof.lot) }));
}

async function schedule() {
  const status = await usher.status().catch(() => null);
  if (status?.opensAt) opensAt = new Date(status.opensAt);
  if (place) paint(stateOf(place));
}

/** Joins where the server left it to us: a puzzle is asked for, or the page was loaded ahead of time. */
async function join() {
  if (document.prerendering) await new Promise((shown) => document.addEventListener("prerenderingchange", shown, { once: true }));
  usher.addEventListener("work", ({ detail }) => {
    if (state !== "work") paint("work");
    slots.progress.hidden = false;
    slots.progress.value = Math.round(detail.done * 100);
  });
  const known = page.dataset.kind === "known";
  const userId = identity === "open" ? stored(`${usher.name}:user`) ?? randomId() : undefined;
  if (userId) stored(`${usher.name}:user`, userId);
  place = known ? await usher.place() : await usher.join({ userId, challenge: script && slots.challenge ? challenge : undefined });
  progress = 0;
  if (place.state === "active") turn();
  paint(stateOf(place));
}

/** Shows a challenge by others, whose scripts speak alike: Turnstile, hCaptcha, reCAPTCHA. */
async function challenge({ siteKey }) {
  paint("challenge");
  widget ??= new Promise((loaded, failed) => {
    const element = Object.assign(document.createElement("script"), { src: script, onload: loaded, onerror: failed });
    document.head.append(element);
  });
  try {
    await widget;
  } catch (cause) {
    widget = null;
    throw cause;
  }
  const others = window.turnstile ?? window.hcaptcha ?? window.grecaptcha;
  if (!others.render) await new Promise((ready) => others.ready(ready));
  const place = document.createElement("div");
  slots.challenge.replaceChildren(place);
  return new Promise((solved) => others.render(place, { sitekey: siteKey, callback: solved }));
}

function refused(refusal) {
  const named = { QUEUE_FULL: "full", QUEUE_CLOSED: "closed", RATE_LIMITED: "limited", TOKEN_EXPIRED: "expired", TOKEN_INVALID: "expired", TOKEN_MISSING: "expired", QUEUE_UNKNOWN: "closed" };
  paint(named[refusal.code] ?? (navigator.onLine ? "away" : "offline"));
  return ["expired", "closed"].includes(state) ? null : Math.max(refusal.retryAfterMs ?? 0, 2_000);
}

async function live() {
  wishes();
  leaving();
  act();
  if (["login", "expired", "closed", "left"].includes(state)) return;
  while (!place) {
    try {
      await join();
    } catch (refusal) {
      const pauseMs = refused(refusal);
      if (pauseMs === null) return;
      await new Promise((done) => setTimeout(done, pauseMs * (1 + Math.random() / 2)));
    }
  }
  if (opens || place.state === "scheduled") schedule();
  paint(stateOf(place));
  for await (const news of usher.watch()) hear(news);
}

await live();
