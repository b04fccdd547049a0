// From the date to the ticket. What matters is kept by the service; this page only shows it, so that a reload, the back
// button and a second tab all find the same.

import { ask, clock, element, find, number, say, speak, usher, visitor, when, won } from "./shop.js";
import { SeatMap } from "./seatmap.js";

const LOOK_MS = 2_000;
const MOST = 4;
const concertId = location.pathname.split("/").at(-1);

let schedule = null;
let seats = [];
let tag = null;
let hold = null;
const chosen = new Set();

speak();
const map = new SeatMap(find("map"), {
  choose: toggle,
  meant: (seat) => (find("seat").textContent = told(seat)),
  isMine: (seat) => chosen.has(seat.number) || hold?.seats.some((it) => it.number === seat.number),
});
document.querySelectorAll("[data-zoom]").forEach((button) => (button.onclick = () => map.zoom(button.dataset.zoom === "in" ? 1.4 : 1 / 1.4)));

// ---- dates and seats

async function open() {
  const concert = await ask(`concerts/${concertId}`);
  find("title").textContent = document.title = concert.title;
  find("venue").textContent = concert.venue ?? "";
  await findHold();
  try {
    const { items } = await ask(`concerts/${concertId}/schedules?available=true`);
    find("dates").replaceChildren(...items.map((date) => {
      const button = element("button", undefined, { "aria-pressed": "false", "data-id": date.id });
      button.append(element("b", when(date.startsAt)), element("span", say("seats_left", { n: number.format(date.seatsAvailable), all: number.format(date.seatsTotal) }), { class: "soft" }));
      button.onclick = () => pick(date.id);
      return button;
    }));
    const wanted = hold?.scheduleId ?? new URLSearchParams(location.search).get("date");
    const first = items.find((it) => it.id === wanted) ?? items[0];
    if (first) await pick(first.id);
  } catch (refusal) {
    outside(refusal);
  }
}

async function pick(id) {
  schedule = id;
  [seats, tag] = [[], null];
  chosen.clear();
  for (const button of find("dates").children) button.setAttribute("aria-pressed", String(button.dataset.id === id));
  find("hall").hidden = false;
  const address = new URL(location.href);
  address.searchParams.set("date", id);
  history.replaceState(null, "", address);
  await look();
}

/** The seats as they are; nothing is sent while nothing changed. */
async function look() {
  if (!schedule || document.hidden) return;
  const asked = schedule;
  try {
    const answer = await usher.fetch(`/api/v1/schedules/${asked}/seats`, { headers: tag ? { "if-none-match": tag } : {}, cache: "no-store" });
    if (answer.status !== 200 || asked !== schedule) return;
    tag = answer.headers.get("etag");
    seats = (await answer.json()).items;
    for (const taken of [...chosen].filter((it) => seats.find((seat) => seat.number === it)?.state !== "available")) chosen.delete(taken);
    map.seats = seats;
    legend();
    choose();
  } catch (refusal) {
    outside(refusal);
  }
}

function legend() {
  const grades = new Map(seats.map((it) => [it.grade, it.price]));
  const line = (text, colour) => {
    const entry = element("span", text);
    const dot = element("i");
    dot.style.background = `var(--${colour})`;
    entry.prepend(dot);
    return entry;
  };
  find("legend").replaceChildren(
    ...[...grades].map(([grade, price]) => element("span", `${grade} ${won(price)}`)),
    line(say("free"), "free"), line(say("yours"), "mine"), line(say("held_state"), "held"), line(say("sold"), "gone"),
  );
}

function told(seat) {
  const state = chosen.has(seat.number) ? "yours" : { available: "free", held: "held_state" }[seat.state] ?? seat.state;
  return say("seat", { n: seat.number, grade: seat.grade, price: won(seat.price), state: say(state) });
}

// ---- choosing

function toggle(seat) {
  if (hold) return;
  if (chosen.has(seat.number)) chosen.delete(seat.number);
  else if (seat.state === "available" && chosen.size < MOST) chosen.add(seat.number);
  else if (chosen.size >= MOST) note(say("most"));
  choose();
  find("seat").textContent = told(seat);
}

function choose() {
  const mine = seats.filter((it) => chosen.has(it.number));
  find("chosen").replaceChildren(...mine.map(line));
  find("sum").textContent = won(mine.reduce((sum, it) => sum + it.price, 0));
  find("hold").disabled = mine.length === 0;
  list();
  map.draw();
}

function line(seat) {
  const made = element("li");
  made.append(element("span", `${seat.grade} ${seat.number}`), element("span", won(seat.price), { class: "number" }));
  return made;
}

/** For those who do not see the map; built when it is opened. */
function list() {
  const place = find("list");
  if (!place.parentElement.open) return;
  place.replaceChildren(...seats.filter((it) => it.state === "available").slice(0, 500).map((seat) => {
    const [label, box] = [element("label"), element("input", undefined, { type: "checkbox" })];
    box.checked = chosen.has(seat.number);
    box.onchange = () => toggle(seat);
    label.append(box, `${seat.grade} ${seat.number} · ${won(seat.price)}`);
    return label;
  }));
}
find("list").parentElement.addEventListener("toggle", list);

function note(text, where = "told") {
  find(where).textContent = text ?? "";
  find(where).hidden = !text;
}

async function take(wish) {
  note(null);
  find("hold").disabled = find("best").disabled = true;
  try {
    show(await ask("reservations", { method: "POST", json: { scheduleId: schedule, ...wish } }));
  } catch (refusal) {
    if (refusal.code === "SEAT_TAKEN") await next(wish, refusal.problem.conflicts ?? []);
    else if (!outside(refusal)) note(refusal.message);
  } finally {
    find("best").disabled = false;
    await look();
  }
}

/** Somebody was faster: says which, and chooses the nearest that are free of the same grade. */
async function next(wish, conflicts) {
  tag = null;
  const taken = conflicts.map((it) => it.seatNumber);
  const grade = seats.find((it) => it.number === wish.seatNumbers?.[0])?.grade;
  await look();
  const kept = (wish.seatNumbers ?? []).filter((it) => !taken.includes(it));
  const free = seats.filter((it) => it.state === "available" && it.grade === grade && !kept.includes(it.number));
  free.sort((one, other) => Math.abs(one.number - taken[0]) - Math.abs(other.number - taken[0]));
  chosen.clear();
  [...kept, ...free.slice(0, taken.length).map((it) => it.number)].forEach((it) => chosen.add(it));
  note(free.length ? say("faster", { n: taken.join(", ") }) : say("faster_none"));
  choose();
}

find("hold").onclick = () => take({ seatNumbers: [...chosen] });
find("best").onclick = () => take({ count: Number(find("count").value) });

// ---- paying

async function findHold() {
  try {
    const { items } = await ask("reservations?limit=20");
    const held = items.find((it) => it.state === "held");
    if (held) show(held);
  } catch (refusal) {
    if (!(refusal.code ?? "").startsWith("TOKEN")) throw refusal;
  }
}

function show(reservation) {
  hold = reservation;
  chosen.clear();
  find("choosing").hidden = true;
  find("paying").hidden = find("hall").hidden = false;
  find("mine").replaceChildren(...hold.seats.map(line));
  find("due").textContent = won(hold.amount);
  money();
  map.draw();
}

async function money() {
  const { balance } = await ask(`users/${await visitor()}/balance`);
  find("balance").textContent = won(balance);
  const missing = hold ? hold.amount - balance : 0;
  find("charge").hidden = missing <= 0;
  find("charge").textContent = say("charge", { amount: won(missing) });
  find("pay").disabled = missing > 0;
  find("charge").onclick = async () => {
    find("charge").disabled = true;
    try {
      await ask(`users/${await visitor()}/balance/charges`, { method: "POST", json: { amount: missing } });
      note(null, "refused");
    } catch (refusal) {
      note(refusal.message, "refused");
    }
    find("charge").disabled = false;
    await money();
  };
}

/** One key for one hold, also after a reload: whatever gets lost, it is paid once. */
find("pay").onclick = async () => {
  find("pay").disabled = true;
  note(null, "refused");
  try {
    await ask("payments", { method: "POST", json: { reservationId: hold.id }, idempotencyKey: `pay-${hold.id}` });
    location.assign(`/shop/mine#${hold.id}`);
  } catch (refusal) {
    if (refusal.code === "ALREADY_PAID") return location.assign(`/shop/mine#${hold.id}`);
    if (refusal.code === "HOLD_EXPIRED") return ended();
    note(refusal.status ? refusal.message : say("lost"), "refused");
    await money();
  }
};

find("back").onclick = async () => {
  await ask(`reservations/${hold.id}`, { method: "DELETE" });
  ended(null);
};

function ended(text = say("expired")) {
  hold = null;
  find("paying").hidden = true;
  find("choosing").hidden = false;
  note(text);
  tag = null;
  return look();
}

setInterval(() => {
  if (!hold) return;
  const leftMs = new Date(hold.holdExpiresAt) - usher.now();
  find("left").textContent = clock(leftMs);
  if (leftMs <= 0) ended();
}, 500);

/** The visit is over: looking ends, paying does not. */
function outside(refusal) {
  const isOver = ["NOT_ADMITTED", "TOKEN_EXPIRED", "TOKEN_MISSING", "TOKEN_INVALID"].includes(refusal.code);
  if (isOver) {
    find("lease").replaceChildren(say("over"), " ");
    const again = element("form", undefined, { method: "post", action: `/usher/join?to=${encodeURIComponent(location.pathname)}` });
    again.append(element("button", say("again")));
    find("lease").append(again);
    find("lease").hidden = false;
    schedule = null;
  }
  return isOver;
}

await open();
setInterval(look, LOOK_MS);
document.addEventListener("visibilitychange", look);
