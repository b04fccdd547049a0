// What every part of the console does to the page.

export const numbers = new Intl.NumberFormat("en");
export const moments = new Intl.DateTimeFormat("en", { dateStyle: "medium", timeStyle: "medium" });

export const find = (id) => document.getElementById(id);

export function element(name, text, attributes = {}) {
  const made = document.createElement(name);
  if (text !== undefined) made.textContent = text;
  for (const [attribute, value] of Object.entries(attributes)) made.setAttribute(attribute, value);
  return made;
}

/** Which button of a row is the one that is shown. The attribute without a value says no to those who hear the page. */
export function markCurrent(button, isCurrent) {
  if (isCurrent) button.setAttribute("aria-current", "true");
  else button.removeAttribute("aria-current");
}

/** `salesCloseAt` in words. */
export const inWords = (name) => name.replace(/[A-Z]/g, (letter) => ` ${letter.toLowerCase()}`);

/** Money of the house. */
export const won = (amount) => `${numbers.format(amount)} KRW`;

/** An instant as a field of local time takes it. */
export function local(date) {
  return new Date(date - date.getTimezoneOffset() * 60_000).toISOString().slice(0, 19);
}

export const pause = (ms) => new Promise((done) => setTimeout(done, ms));

/** A file for the one who looks. */
export function save(name, type, text) {
  const link = element("a", undefined, { href: URL.createObjectURL(new Blob([text], { type })), download: name });
  link.click();
  URL.revokeObjectURL(link.href);
}

/** Names and values, one a line. */
export function list(place, pairs) {
  find(place).replaceChildren(...pairs.map(([name, value]) => {
    const line = element("div", undefined, { class: "row" });
    line.append(element("span", name, { class: "soft" }), element("b", String(value), { class: "number" }));
    return line;
  }));
}

/** The same as figures, some of them odd. */
export function showList(place, figures) {
  find(place).replaceChildren(...figures.map(([name, value, isOdd]) => {
    const figure = element("div", undefined, isOdd ? { class: "odd" } : {});
    figure.append(element("span", name, { class: "soft" }), element("b", typeof value === "number" ? numbers.format(value) : value));
    return figure;
  }));
}

/** Puts children in place of others. Who was on a button stays on the same one (`data-act`), or else on what stands around. */
export function redraw(place, children) {
  const had = place.contains(document.activeElement) ? document.activeElement.dataset.act : undefined;
  place.replaceChildren(...children);
  if (had === undefined) return;
  const again = [...place.querySelectorAll("[data-act]")].find((it) => it.dataset.act === had);
  (again ?? place.closest("[tabindex]"))?.focus();
}

/** A table: each row has what stands in its cells, text, number or element. */
export function fillTable(table, columns, rows) {
  const head = element("tr");
  head.append(...columns.map((name) => element("th", inWords(name), { scope: "col" })));
  redraw(table, [head, ...rows.map((cells) => {
    const row = element("tr");
    row.append(...cells.map(cell));
    return row;
  })]);
}

function cell(value) {
  const made = element("td");
  if (value instanceof Node) made.append(value);
  else if (value !== null && value !== undefined) made.textContent = typeof value === "number" ? numbers.format(value) : String(value);
  return made;
}

/** The way to the next page. Who has pressed it for the last one goes on in the list. */
export function offerMore(button, cursor, region, act) {
  if (!cursor && document.activeElement === button) region.focus();
  button.hidden = !cursor;
  button.onclick = act;
}
