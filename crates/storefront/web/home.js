// The front of the shop: for everybody, in line or not.

import { addressOf, ask, element, find, live, note, put, say } from "./shop.js";

await live(async () => {
  const { items } = await ask("concerts?limit=50");
  const [first, ...others] = items;
  put("title", first?.title ?? say("nothing"));
  note("venue", first?.venue);
  find("go").hidden = !first;
  if (first) find("go").href = addressOf.concert(first.queue, first.id);
  find("concerts").replaceChildren(...others.map((concert) => {
    const card = element("a", undefined, { class: "card", href: addressOf.concert(concert.queue, concert.id) });
    card.append(element("h2", concert.title), element("p", concert.venue ?? "", { class: "soft" }), element("span", say("buy")));
    return card;
  }));
});
