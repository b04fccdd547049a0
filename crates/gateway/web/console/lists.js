// The desk of one date: which seats are off sale and why, who has what, by page or as a file.

import { element, fillTable, find, markCurrent, moments, numbers, offerMore, save } from "./dom.js";

const LISTS = {
  seats: { columns: ["number", "grade", "price", "state", "blockedReason", "reservationId"] },
  buyers: { columns: ["userId", "seatsBought", "seatsHeld", "amount"], isPaged: true },
  reservations: { columns: ["id", "userId", "state", "amount", "createdAt"], isPaged: true, states: ["held", "confirmed", "cancelled", "expired", "refunded"] },
  payments: { columns: ["id", "userId", "state", "amount", "refundedAmount", "createdAt"], isPaged: true, states: ["captured", "partially_refunded", "refunded"] },
};
/** Lines of one page of a list. */
const LINES = 50;

/** `7, 8, 20-25` as numbers; null where it is something else. */
export function numbersOf(text) {
  const parts = text.split(/[\s,]+/).filter(Boolean).map((part) => /^(\d+)(?:-(\d+))?$/.exec(part));
  if (!parts.length || parts.includes(null)) return null;
  return parts.flatMap(([, from, to]) => Array.from({ length: Math.max(0, (to ?? from) - from + 1) }, (_, at) => Number(from) + at));
}

/** Gives what shows the desk of a date. `openCustomer` shows what somebody has. */
export function desk({ ask, tell, openCustomer }) {
  let date = null;
  let list = "seats";
  const filter = find("desk-filter");
  const region = find("desk-table").parentElement;

  async function choose(it) {
    date = it;
    find("desk").hidden = false;
    find("desk-of").textContent = moments.format(new Date(it.startsAt));
    await show();
  }

  /** What is asked for: of the filter, what the list has. */
  function query(more) {
    const { isPaged, states } = LISTS[list];
    if (!isPaged) return "";
    const [state, userId] = [states ? filter.elements.state.value : "", filter.elements.userId.value.trim()];
    const asked = Object.entries({ state, userId, ...more }).filter(([, value]) => value);
    return `?${new URLSearchParams(asked)}`;
  }

  const asking = () => `${date?.id} ${list}`;

  /** One page of what is chosen, with a way to the next. */
  async function show(cursor = null, before = []) {
    const [{ columns, isPaged }, asked] = [LISTS[list], asking()];
    for (const button of document.querySelectorAll("[data-list]")) markCurrent(button, button.dataset.list === list);
    find("desk-csv").hidden = !isPaged;
    filter.hidden = !isPaged;
    find("blocking").hidden = list !== "seats";
    const { value } = await ask("GET", `admin/schedules/${date.id}/${list}${query({ limit: LINES, cursor })}`);
    // Another list was chosen meanwhile.
    if (asked !== asking()) return;
    const items = [...before, ...value.items];
    fillTable(find("desk-table"), columns, items.map((item) => columns.map((name) => (name === "userId" ? customer(item[name]) : item[name]))));
    offerMore(find("desk-more"), value.nextCursor, region, () => told(show(value.nextCursor, items)));
    find("desk-sum").textContent = list === "seats" ? sums(items) : `${numbers.format(items.length)} shown`;
  }

  function customer(id) {
    const made = element("button", id, { class: "link", "aria-label": `Customer ${id}` });
    made.onclick = () => openCustomer(id);
    return made;
  }

  function sums(items) {
    const count = (state) => items.filter((it) => it.state === state).length;
    return ["available", "held", "sold", "blocked"].map((state) => `${numbers.format(count(state))} ${state}`).join(" · ");
  }

  const told = (act) => act.catch((refusal) => tell(refusal.message, { isBad: true }));

  async function act(path, body, words, undoing = null) {
    try {
      await ask("POST", path, { body });
      tell(words, { undoing });
    } catch (refusal) {
      tell(refusal.message, { isBad: true });
    }
    if (date && !find("desk").hidden) await told(show());
  }

  const release = (seatNumbers) => act(`admin/schedules/${date.id}/seats/releases`, { seatNumbers }, `On sale again: ${seatNumbers.join(", ")}`);

  for (const button of document.querySelectorAll("[data-list]")) {
    button.onclick = () => {
      list = button.dataset.list;
      const { states } = LISTS[list];
      filter.elements.state.replaceChildren(element("option", "any", { value: "" }), ...(states ?? []).map((state) => element("option", state.replace("_", " "), { value: state })));
      find("desk-state").hidden = !states;
      told(show());
    };
  }
  filter.onsubmit = (submit) => {
    submit.preventDefault();
    told(show());
  };
  find("blocking").onsubmit = (submit) => {
    submit.preventDefault();
    const fields = new FormData(submit.target);
    const seatNumbers = numbersOf(fields.get("seats"));
    if (!seatNumbers) return tell("Seats are numbers, as in 7, 8, 20-25.", { isBad: true });
    if (submit.submitter?.value === "free") return release(seatNumbers);
    const reason = fields.get("reason").trim() || "Blocked at the console.";
    return act(`admin/schedules/${date.id}/seats/blocks`, { seatNumbers, reason }, `Off sale: ${seatNumbers.join(", ")}`, () => release(seatNumbers));
  };
  find("desk-csv").onclick = () => told((async () => {
    const { value } = await ask("GET", `admin/schedules/${date.id}/${list}${query({ format: "csv" })}`, { asText: true });
    save(`${list}-${date.id}.csv`, "text/csv", value);
  })());

  /** Nothing is shown any more, and nothing of it is left in the page. */
  function leave() {
    date = null;
    filter.reset();
    find("desk").hidden = true;
    find("desk-table").replaceChildren();
  }

  return { choose, leave };
}
