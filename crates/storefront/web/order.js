// One order, from the hold to the ticket and back. It opens whatever became of the visit, because what is held can be paid
// until its own time is over.

import { draw } from "./barcode.js";
import { addressOf, ask, clock, element, find, here, isNobody, known, live, note, put, remember, remembered, say, seatLine, tell, usher, when, why, won } from "./shop.js";

const LOOK_MS = 1_500;
const about = remembered(`order:${here.id}`);

let order = null;
let isBusy = false;

async function show() {
  if (isBusy) return;
  try {
    order = await ask(`reservations/${here.id}`);
    remember(here.queue);
  } catch (refusal) {
    if (!isNobody(refusal) && refusal.status !== 404) throw refusal;
    return note("strange", say("strange"));
  }
  await paint();
}

async function paint() {
  const isHeld = order.state === "held" && new Date(order.holdExpiresAt) > usher.now();
  const state = order.state === "held" && !isHeld ? "expired" : order.state;
  const isGood = ["confirmed", "partially_refunded"].includes(state);
  document.documentElement.dataset.state = state;
  put("state", say(isHeld ? "held" : isGood ? "paid" : `${state}_long`));
  for (const [id, isShown] of [["paying", isHeld], ["ticket", isGood], ["again", !isHeld && !isGood && about]]) find(id).hidden = !isShown;
  if (about) find("again").href = addressOf.concert(here.queue, about.concert);
  note("what", about ? `${about.title} · ${when(about.startsAt)}` : null);
  document.title = [say("order"), about?.title].filter(Boolean).join(" · ");
  find("seats").replaceChildren(...order.seats.map(seatLine));
  find("seats").hidden = isGood;
  if (isGood) ticket();
  note("known", isGood ? known(usher.provenUntil) : null);
  tick();
  if (isHeld) await money();
}

function ticket() {
  const code = order.id.slice(-12).toUpperCase();
  put("ticket_title", about?.title ?? say("order"));
  note("ticket_when", about ? [when(about.startsAt), about.venue].filter(Boolean).join(" · ") : null);
  put("ticket_seats", order.seats.map((it) => `${it.grade} ${it.number}`).join(", "));
  put("ticket_amount", won(order.amount));
  put("code", code);
  find("bars").setAttribute("aria-label", `${say("code")}: ${code}`);
  draw(find("bars"), code);
}

// ---- paying

async function money() {
  const { balance } = await ask(`users/${order.userId}/balance`);
  put("due", won(order.amount));
  put("balance", won(balance));
  const missing = order.amount - balance;
  find("charge").hidden = missing <= 0;
  put("charge", say("charge", { amount: won(missing) }));
  find("charge").onclick = () => act(() => charge(missing));
  find("pay").disabled = missing > 0;
}

/** The money is there at once, or a provider says so later. */
async function charge(amount) {
  const charges = `users/${order.userId}/balance/charges`;
  let charged = await ask(charges, { method: "POST", json: { amount } });
  while (charged.state === "pending") {
    note("told", say("pending"));
    await new Promise((done) => setTimeout(done, LOOK_MS));
    charged = await ask(`${charges}/${charged.chargeId}`);
  }
  note("told", charged.state === "failed" ? say("charge_failed") : null);
}

/** A hold lasts longer, once: whoever is slow at a keyboard is not late by that. */
async function extend() {
  const once = () => remembered(`extended:${order.id}`, true);
  try {
    await ask(`reservations/${order.id}/extensions`, { method: "POST", json: {}, idempotencyKey: `extend-${order.id}` });
    once();
  } catch (refusal) {
    if (["ALREADY_EXTENDED", "EXTENSION_REFUSED"].includes(refusal.code)) once();
    throw refusal;
  }
}

/** One key for one hold, also after a reload and in another tab: whatever gets lost, it is paid once. */
async function pay() {
  const isSlow = setTimeout(() => note("told", say("lost")), 4 * LOOK_MS);
  try {
    await ask("payments", { method: "POST", json: { reservationId: order.id }, idempotencyKey: `pay-${order.id}` });
  } finally {
    clearTimeout(isSlow);
  }
}

/** Does one thing at a time, says why it failed, and shows what is true afterwards. */
async function act(what) {
  if (isBusy) return;
  isBusy = true;
  const buttons = [...document.querySelectorAll("#paying button, #longer button, #refund")];
  for (const button of buttons) button.disabled = true;
  note("told");
  try {
    await what();
  } catch (refusal) {
    // What the order shows next says it better.
    if (!["ALREADY_PAID", "HOLD_EXPIRED"].includes(refusal.code)) note("told", why(refusal));
  }
  for (const button of buttons) button.disabled = false;
  isBusy = false;
  tell();
  await show();
}

find("pay").onclick = () => act(pay);
find("longer").firstElementChild.onclick = () => act(extend);
find("back").onclick = () => act(() => ask(`reservations/${order.id}`, { method: "DELETE" }));
find("refund").onclick = () => find("sure").showModal();
find("sure").onclose = () => find("sure").returnValue === "refund" && act(() => ask(`reservations/${order.id}`, { method: "DELETE" }));

function tick() {
  const leftMs = order?.state === "held" ? new Date(order.holdExpiresAt) - usher.now() : 0;
  const isLate = leftMs > 0 && leftMs < 60_000;
  note("hurry", isLate ? say("warn") : null);
  find("longer").hidden = !isLate || remembered(`extended:${order.id}`);
  if (order?.state !== "held") return;
  put("left", clock(leftMs));
  if (leftMs <= 0 && document.documentElement.dataset.state === "held" && !isBusy) paint();
}
setInterval(tick, 500);

await live(show);
