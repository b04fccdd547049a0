// The form of a date: a further one of a concert, or what is to be changed of one that there is.

import { element, find, local } from "./dom.js";
import { sectionsOf } from "./sale.js";

const INSTANTS = ["startsAt", "salesOpenAt", "salesCloseAt"];
const NAMES = [...INSTANTS, "maxSeatsPerUser"];
const CHANGED = "Somebody else changed the date meanwhile. It is shown now; nothing of yours was put in force.";

const shown = (name, value) => (value === null || value === undefined ? "" : INSTANTS.includes(name) ? local(new Date(value)) : String(value));
const written = (name, text) => (text === "" ? null : INSTANTS.includes(name) ? new Date(text).toISOString() : Number(text));

/** What seats of each grade cost; a grade may have more than one price. */
function pricesOf(seats) {
  const prices = new Map();
  for (const { grade, price } of seats) prices.set(grade, (prices.get(grade) ?? new Set()).add(price));
  return prices;
}

/** Changes a date unless somebody else did since it was as `tag` says; the way back is offered. `after` shows the dates anew. */
export function changing({ ask, tell }, after) {
  return async function change(id, tag, body, { words, back = null, undone = `Undone: ${words}` }) {
    let refusal = null;
    try {
      const changed = await ask("PATCH", `admin/schedules/${id}`, { body, headers: { "if-match": tag } });
      const undo = () => change(id, changed.tag, back, { words: undone });
      tell(words, { undoing: back ? undo : null });
    } catch (cause) {
      refusal = cause;
      tell(cause.status === 412 ? CHANGED : cause.message, { isBad: true });
    }
    if (!refusal || refusal.status === 412) await after();
    return !refusal;
  };
}

/** Gives what opens the form for a new date of a concert, and for one that there is. */
export function dateForm({ ask, tell }, { change, after }) {
  const form = find("date");
  let concert = null;
  /** The date that is edited, with its tag and prices, as it was read, and the fields as they were then. */
  let read = null;
  let before = new Map();
  let isSending = false;

  const fields = () => [...NAMES.map((name) => form.elements[name]), ...find("date-prices").querySelectorAll("input")];

  function open(title, go, isNew) {
    find("date-title").textContent = title;
    find("date-go").textContent = go;
    find("date-sections").hidden = !isNew;
    find("date-prices").hidden = isNew;
    for (const name of INSTANTS.slice(1)) form.elements[name].required = !isNew;
    form.hidden = false;
    form.elements.startsAt.focus();
  }

  function openNew(of) {
    [concert, read] = [of, null];
    form.reset();
    find("date-prices").replaceChildren();
    open(`Another date of ${of.title}`, "Put on sale", true);
  }

  async function openEdit(date, name) {
    await readAgain(date.id);
    open(`Edit ${name}`, "Put in force", false);
  }

  /** The date first: what changes between the two answers has another tag then. */
  async function readAgain(id) {
    const { value, tag } = await ask("GET", `admin/schedules/${id}`);
    const seats = await ask("GET", `admin/schedules/${id}/seats`);
    read = { id, tag, value, prices: pricesOf(seats.value.items) };
    for (const name of NAMES) form.elements[name].value = shown(name, value[name]);
    find("date-prices").replaceChildren(...[...read.prices].map(priceField));
    before = new Map(fields().map((field) => [field, field.value]));
  }

  function priceField([grade, prices]) {
    const label = element("label", `Price of ${grade} in KRW`);
    const isOne = prices.size === 1;
    const field = element("input", undefined, { type: "number", min: 0, max: 100_000_000, "data-grade": grade, ...(isOne ? { required: "" } : { placeholder: [...prices].join(", ") }) });
    if (isOne) [field.value] = prices;
    label.append(field);
    return label;
  }

  /** What was changed, and what it was; null for the latter where several prices became one. */
  function changes() {
    const changed = fields().filter((field) => field.value !== before.get(field));
    const [body, back, prices] = [{}, {}, changed.filter((field) => field.dataset.grade)];
    for (const { name, value } of changed.filter((field) => !field.dataset.grade)) {
      body[name] = written(name, value);
      back[name] = read.value[name] ?? null;
    }
    if (!prices.length) return { body, back };
    body.prices = prices.map(({ dataset, value }) => ({ grade: dataset.grade, price: Number(value) }));
    const known = prices.map(({ dataset }) => [dataset.grade, [...read.prices.get(dataset.grade)]]);
    back.prices = known.map(([grade, [price]]) => ({ grade, price }));
    return { body, back: known.every(([, all]) => all.length === 1) ? back : null };
  }

  async function add() {
    const sections = sectionsOf(form.elements.sections.value);
    if (!sections) return tell("Sections are lines of GRADE PRICE FROM TO.", { isBad: true });
    const filled = NAMES.filter((name) => form.elements[name].value !== "");
    const body = Object.fromEntries(filled.map((name) => [name, written(name, form.elements[name].value)]));
    try {
      await ask("POST", `admin/concerts/${concert.id}/schedules`, { body: { ...body, ...(sections.length && { sections }) } });
    } catch (refusal) {
      return tell(refusal.message, { isBad: true });
    }
    tell(`Another date of ${concert.title} is on sale.`);
    close();
    await after();
  }

  async function save() {
    const { body, back } = changes();
    const names = [...Object.keys(body).filter((name) => name !== "prices"), ...(body.prices ?? []).map(({ grade }) => `price of ${grade}`)];
    if (!names.length) return tell("Nothing is changed.");
    const { id, tag } = read;
    const told = names.join(", ");
    const isDone = await change(id, tag, body, { words: `In force: ${told}`, back, undone: `Undone: ${told}` });
    if (isDone) return close();
    // What was typed stays where it was refused, but not where the date is another now.
    const now = await ask("GET", `admin/schedules/${id}`);
    if (now.tag !== tag) await readAgain(id);
  }

  function close() {
    form.hidden = true;
    find("dates-new").focus();
  }

  find("date-no").onclick = close;
  form.onsubmit = async (submit) => {
    submit.preventDefault();
    if (isSending) return;
    isSending = true;
    try {
      await (read ? save() : add());
    } catch (cause) {
      tell(cause.message, { isBad: true });
    } finally {
      isSending = false;
    }
  };

  return { openNew, openEdit };
}
