// The front of the shop.

import { ask, element, find, say, speak } from "./shop.js";

speak();
const { items } = await ask("concerts?limit=50");
const [first] = items;
if (first) {
  find("title").textContent = first.title;
  find("venue").textContent = first.venue ?? "";
  find("go").href = `/shop/concerts/${first.id}`;
  find("go").hidden = false;
}
find("concerts").append(...items.slice(1).map((concert) => {
  const card = element("a", undefined, { class: "card", href: `/shop/concerts/${concert.id}` });
  card.append(element("h2", concert.title), element("p", concert.venue ?? "", { class: "soft" }), element("span", say("buy")));
  return card;
}));
