// The visitor's own reservations, with a code for the door.

import { draw } from "./barcode.js";
import { ask, element, find, say, speak, won } from "./shop.js";

speak();
const STATES = { confirmed: "confirmed", held: "held_ticket", refunded: "refunded", cancelled: "cancelled", expired: "expired_state", partially_refunded: "confirmed" };

async function show() {
  let items = [];
  try {
    ({ items } = await ask("reservations?limit=50"));
  } catch (refusal) {
    if (!(refusal.code ?? "").startsWith("TOKEN")) throw refusal;
  }
  find("none").hidden = items.length > 0;
  find("tickets").className = "";
  find("tickets").replaceChildren(...items.map(ticket));
}

function ticket(reservation) {
  const isGood = reservation.state === "confirmed";
  const card = element("article", undefined, { class: `ticket ${isGood || reservation.state === "held" ? "" : "over"}`, id: reservation.id });
  const words = element("div");
  words.append(
    element("span", say(STATES[reservation.state] ?? reservation.state), { class: "soft" }),
    element("h2", reservation.seats.map((it) => `${it.grade} ${it.number}`).join(", ")),
    element("p", won(reservation.amount), { class: "number" }),
  );
  if (isGood) {
    const back = element("button", say("refund"));
    back.onclick = async () => {
      back.disabled = true;
      await ask(`reservations/${reservation.id}`, { method: "DELETE" }).catch((refusal) => words.append(element("p", refusal.message, { class: "note bad" })));
      await show();
    };
    words.append(back);
  }
  card.append(words);
  if (isGood) {
    const [stub, canvas] = [element("div", undefined, { class: "stub" }), element("canvas", undefined, { role: "img", "aria-label": say("code") })];
    const code = reservation.id.slice(-12).toUpperCase();
    draw(canvas, code);
    stub.append(canvas, element("small", code, { class: "number" }), element("small", say("code")));
    card.append(stub);
  }
  return card;
}

await show();
