// Dates and seats, for those who are inside. What matters is kept by the service; this page only shows it, so that a reload,
// the back button and a second tab all find the same.

import { addressOf, ask, clock, element, find, here, isNobody, live, note, NotAdmitted, number, put, remember, remembered, say, seatLine, tell, usher, when, why, won } from "./shop.js";
import { follow } from "./feed.js";
import { SeatMap, group } from "./seatmap.js";

const MOST = 4;
const LISTED = 200;

let concert = null;
let dates = [];
let date = null;
let seats = new Map();
let hold = null;
let insideUntil = null;
let listening = null;
const chosen = new Set();

const map = new SeatMap(find("map"), { choose: toggle, meant: (seat) => put("seat", told(seat)), isMine: (seat) => chosen.has(seat.number) || isHeld(seat) });
for (const button of document.querySelectorAll("[data-zoom]")) button.onclick = () => map.zoom(button.dataset.zoom === "in" ? 1.4 : 1 / 1.4);

// ---- dates

async function show() {
  concert ??= await ask(`concerts/${here.id}`);
  put("title", concert.title);
  put("venue", concert.venue ?? "");
  document.title = concert.title;
  remember(here.queue);
  await findHold();
  try {
    ({ items: dates } = await ask(`concerts/${here.id}/schedules`));
    const place = await usher.place();
    insideUntil = place.activeUntil && new Date(place.activeUntil);
  } catch (refusal) {
    return outside(refusal);
  }
  note("over");
  find("rejoin").hidden = true;
  find("dates").replaceChildren(...dates.map(dateButton));
  const wanted = date?.id ?? hold?.scheduleId ?? new URLSearchParams(location.search).get("date");
  const open = dates.find((it) => it.id === wanted) ?? dates.find((it) => !it.cancelled && it.seatsAvailable > 0) ?? dates[0];
  if (open) pick(open);
}

function dateButton(it) {
  const button = element("button", undefined, { "aria-pressed": "false", "data-id": it.id });
  button.append(element("b", when(it.startsAt)), element("span", standing(it), { class: "soft" }));
  button.onclick = () => {
    history.replaceState(null, "", `?date=${it.id}`);
    pick(it);
  };
  return button;
}

function standing(it) {
  if (it.cancelled) return say("cancelled_date");
  if (it.opensInSeconds > 0) return say("opens", { time: when(it.salesOpenAt) });
  if (new Date(it.salesCloseAt) <= usher.now()) return say("closed");
  if (it.seatsAvailable === 0) return say("sold_out");
  return say("seats_left", { n: number.format(it.seatsAvailable), all: number.format(it.seatsTotal) });
}

function pick(it) {
  const isOther = date?.id !== it.id;
  date = it;
  for (const button of find("dates").children) button.setAttribute("aria-pressed", String(button.dataset.id === it.id));
  find("hall").hidden = false;
  if (isOther) {
    chosen.clear();
    seats = new Map();
    note("told");
    choose();
  }
  listen();
}

// ---- seats as they change

/** Follows the seats while somebody looks; a tab that is not seen asks for nothing. */
function listen() {
  listening?.abort();
  if (document.hidden || !date) return;
  listening = new AbortController();
  let isFirst = true;
  const heard = (all) => {
    seats = all;
    for (const taken of [...chosen].filter((it) => seats.get(it)?.state !== "available")) chosen.delete(taken);
    map.show([...seats.values()], isFirst);
    isFirst = false;
    legend();
    choose();
  };
  follow(usher, date.id, heard, listening.signal).catch((refusal) => (refusal instanceof NotAdmitted ? outside(refusal) : note("told", say("trouble", { why: why(refusal) }))));
}
document.addEventListener("visibilitychange", () => document.hidden && listening?.abort());
globalThis.addEventListener("pagehide", () => listening?.abort());

function legend() {
  const grades = new Map([...seats.values()].map((it) => [it.grade, it.price]));
  const kind = (text, name) => {
    const entry = element("span", text);
    entry.prepend(element("i", undefined, { class: name }));
    return entry;
  };
  const lines = [...grades].map(([grade, price]) => element("span", `${grade} ${won(price)}`));
  find("legend").replaceChildren(...lines, kind(say("free"), "free"), kind(say("yours"), "mine"), kind(say("held_state"), "held"), kind(say("sold"), "gone"));
}

function told(seat) {
  const isMine = chosen.has(seat.number) || isHeld(seat);
  const state = isMine ? "yours" : { available: "free", held: "held_state" }[seat.state] ?? seat.state;
  return say("seat", { n: seat.number, grade: seat.grade, price: won(seat.price), state: say(state) });
}

// ---- choosing

const isHeld = (seat) => hold?.scheduleId === date?.id && hold?.seats.some((it) => it.number === seat.number);

function toggle(seat) {
  note("told");
  if (chosen.has(seat.number)) chosen.delete(seat.number);
  else if (chosen.size >= MOST) note("told", say("most"));
  else if (seat.state === "available") chosen.add(seat.number);
  choose();
  put("seat", told(seats.get(seat.number) ?? seat));
}

function choose() {
  const mine = [...chosen].map((it) => seats.get(it)).filter(Boolean);
  mine.sort((one, other) => one.number - other.number);
  find("chosen").replaceChildren(...mine.map(seatLine));
  put("sum", won(mine.reduce((sum, it) => sum + it.price, 0)));
  find("hold").disabled = mine.length === 0;
  list();
  map.draw();
}

/** For those who do not see the map, by grade; made when it is opened. */
function list() {
  const place = find("list");
  if (!place.parentElement.open) return;
  const free = group([...seats.values()].filter((it) => it.state === "available"));
  const shown = new Map([...place.children].map((it) => [it.dataset.grade, it]));
  place.replaceChildren(...[...free].map(([grade, all]) => {
    const part = shown.get(grade) ?? element("fieldset", undefined, { "data-grade": grade, "data-shown": LISTED });
    const lines = all.slice(0, Number(part.dataset.shown)).map(listed);
    const hasFocus = part.contains(document.activeElement) && document.activeElement.value;
    part.replaceChildren(element("legend", `${grade} · ${won(all[0].price)}`), ...lines);
    if (lines.length < all.length) part.append(more(part));
    if (hasFocus) part.querySelector(`[value="${hasFocus}"]`)?.focus();
    return part;
  }));
}
find("list").parentElement.addEventListener("toggle", list);

function listed(seat) {
  const [label, box] = [element("label"), element("input", undefined, { type: "checkbox", value: seat.number })];
  box.checked = chosen.has(seat.number);
  box.onchange = () => toggle(seat);
  label.append(box, ` ${seat.grade} ${seat.number} `);
  return label;
}

function more(part) {
  const button = element("button", say("more"));
  button.onclick = () => {
    part.dataset.shown = Number(part.dataset.shown) + LISTED;
    list();
  };
  return button;
}

// ---- holding

async function take(wish) {
  note("told");
  find("hold").disabled = find("best").disabled = true;
  try {
    const held = await ask("reservations", { method: "POST", json: { scheduleId: date.id, ...wish } });
    remembered(`order:${held.id}`, { concert: concert.id, title: concert.title, venue: concert.venue, startsAt: date.startsAt });
    tell();
    // Who comes back from the order chooses anew: these are held.
    chosen.clear();
    location.assign(addressOf.order(here.queue, held.id));
  } catch (refusal) {
    if (refusal.code === "SEAT_TAKEN") await offerNext(wish.seatNumbers ?? [], refusal.problem.conflicts ?? []);
    else if (!(refusal instanceof NotAdmitted)) note("told", why(refusal));
    else outside(refusal);
  } finally {
    find("best").disabled = false;
    find("hold").disabled = chosen.size === 0;
  }
}

/** Somebody was faster: says which seats are gone, and chooses the nearest that are free, of the same grade first. Where it was
 *  oneself, in another tab, that is said instead. */
function offerNext(wanted, conflicts) {
  if (!wanted.length) return note("told", say("none_left"));
  const taken = conflicts.map((it) => it.seatNumber);
  const gone = seats.get(taken[0]) ?? { number: taken[0] };
  for (const it of conflicts) seats.set(it.seatNumber, { ...seats.get(it.seatNumber), state: it.reason === "sold" ? "sold" : "held" });
  const kept = wanted.filter((it) => !taken.includes(it));
  const own = conflicts.filter((it) => it.reason === "yours").map((it) => it.seatNumber);
  if (own.length) {
    for (const it of taken) chosen.delete(it);
    choose();
    note("told", say("yours_already", { n: own.join(", ") }));
    return findHold();
  }
  const free = [...seats.values()].filter((it) => it.state === "available" && !kept.includes(it.number));
  const far = (it) => (it.grade === gone.grade ? 0 : 1_000_000) + Math.abs(it.number - gone.number);
  free.sort((one, other) => far(one) - far(other));
  const next = free.slice(0, taken.length).map((it) => it.number);
  chosen.clear();
  for (const it of [...kept, ...next]) chosen.add(it);
  map.show([...seats.values()], false);
  choose();
  note("told", say(next.length ? "faster" : "faster_none", { n: taken.join(", ") }));
}

find("hold").onclick = () => take({ seatNumbers: [...chosen] });
find("best").onclick = () => take({ count: Number(find("count").value) });

async function findHold() {
  try {
    const { items } = await ask("reservations?limit=20");
    hold = items.find((it) => it.state === "held") ?? null;
  } catch (refusal) {
    if (!isNobody(refusal)) throw refusal;
  }
  find("holding").hidden = !hold;
  if (hold) find("go_on").href = addressOf.order(here.queue, hold.id);
  tick();
}

// ---- time

/** The visit is over: looking ends, paying does not. */
function outside(refusal) {
  if (!(refusal instanceof NotAdmitted)) throw refusal;
  listening?.abort();
  date = insideUntil = null;
  find("hall").hidden = true;
  find("dates").replaceChildren();
  note("inside");
  note("over", say("over"));
  find("rejoin").hidden = false;
  find("rejoin").action = `{{gateway}}/usher/join?queue=${here.queue}&to=${encodeURIComponent(location.pathname)}`;
}

function tick() {
  if (hold) {
    const leftMs = new Date(hold.holdExpiresAt) - usher.now();
    put("holding_left", say("you_hold", { time: clock(leftMs) }));
    if (leftMs <= 0) {
      hold = null;
      find("holding").hidden = true;
      map.draw();
    }
  }
  if (!insideUntil) return;
  const leftMs = insideUntil - usher.now();
  note("inside", say("inside", { time: clock(leftMs) }));
  note("hurry", leftMs < 60_000 ? say("warn") : null);
  if (leftMs <= 0) outside(new NotAdmitted(410, { code: "TOKEN_EXPIRED" }, null));
}
setInterval(tick, 1_000);

await live(show);
