// The visitor's own orders, in every queue that this browser came through.

import { addressOf, ask, element, find, isNobody, known, live, note, queues, remembered, say, visitor, when, won } from "./shop.js";

await live(async () => {
  const untils = [];
  const all = await Promise.all(queues().map(async (queue) => {
    const by = visitor(queue);
    try {
      const { items } = await ask("reservations?limit=50", { by });
      if (items.length && by.provenUntil) untils.push(by.provenUntil);
      return items.map((it) => ({ ...it, queue }));
    } catch (refusal) {
      if (!isNobody(refusal)) throw refusal;
      return [];
    }
  }));
  const orders = all.flat().sort((one, other) => other.createdAt.localeCompare(one.createdAt));
  find("none").hidden = orders.length > 0;
  note("known", known(untils.sort((one, other) => one - other)[0]));
  find("orders").replaceChildren(...orders.map(card));
});

function card(order) {
  const about = remembered(`order:${order.id}`);
  const made = element("a", undefined, { class: "card", href: addressOf.order(order.queue, order.id) });
  made.append(
    element("span", say(order.state === "held" ? "held_ticket" : order.state), { class: "soft" }),
    element("h2", about?.title ?? order.seats.map((it) => `${it.grade} ${it.number}`).join(", ")),
    element("p", [about && when(about.startsAt), order.seats.map((it) => `${it.grade} ${it.number}`).join(", ")].filter(Boolean).join(" · "), { class: "soft" }),
    element("p", won(order.amount), { class: "number" }),
    element("span", say(order.state === "held" ? "go_on" : "open")),
  );
  return made;
}
