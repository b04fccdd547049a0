// The dates of a concert, for the desk: how each sells, which seats are off sale and why, who has what.

const LISTS = {
  seats: { columns: ["number", "grade", "price", "state", "blockedReason", "reservationId"] },
  buyers: { columns: ["userId", "seatsBought", "seatsHeld", "amount"], hasTable: true },
  reservations: { columns: ["id", "userId", "state", "amount", "createdAt"], hasTable: true },
  payments: { columns: ["id", "userId", "state", "amount", "refundedAmount", "createdAt"], hasTable: true },
};
/** Lines of one page of a list. */
const LINES = 50;

/** `7, 8, 20-25` as numbers; null where it is something else. */
export function numbersOf(text) {
  const parts = text.split(/[\s,]+/).filter(Boolean).map((part) => /^(\d+)(?:-(\d+))?$/.exec(part));
  if (!parts.length || parts.includes(null)) return null;
  return parts.flatMap(([, from, to]) => Array.from({ length: Math.max(0, (to ?? from) - from + 1) }, (_, at) => Number(from) + at));
}

/** Payments of a day for all that is sold through a queue; at most so many of each date. */
const MOST_PAYMENTS = 10_000;
export async function salesOf(maybe, queue, from) {
  const until = new Date(from.getTime() + 86_400_000);
  const found = [];
  const concerts = (await maybe("GET", "admin/concerts?limit=200"))?.items ?? [];
  for (const concert of concerts.filter((it) => it.queue === queue)) {
    const dates = (await maybe("GET", `admin/concerts/${concert.id}/schedules`))?.items ?? [];
    for (const date of dates) {
      for (let cursor = "", seen = 0; cursor !== null && seen < MOST_PAYMENTS; ) {
        const page = await maybe("GET", `admin/schedules/${date.id}/payments?limit=200${cursor && `&cursor=${encodeURIComponent(cursor)}`}`);
        found.push(...(page?.items ?? []));
        seen += 200;
        cursor = page?.nextCursor ?? null;
      }
    }
  }
  return found.filter((it) => new Date(it.createdAt) >= from && new Date(it.createdAt) < until);
}

/** What is shown of a concert, with the functions of the console. */
export function desk({ ask, element, find, save, tell, numbers, moments }) {
  let date = null;
  let list = "seats";

  async function open(concert) {
    const { value } = await ask("GET", `admin/concerts/${concert.id}/schedules`);
    find("dates-of").textContent = concert.title;
    find("dates").hidden = false;
    find("dates-list").replaceChildren(...value.items.map((it) => line(concert, it)));
    if (!value.items.length) find("dates-list").append(element("li", "No dates yet.", { class: "soft" }));
  }

  function line(concert, it) {
    const made = element("li");
    const [opens, closes] = [new Date(it.salesOpenAt), new Date(it.salesCloseAt)];
    const state = it.cancelledAt ? "cancelled" : closes <= Date.now() ? "closed" : opens > Date.now() ? "not open yet" : "on sale";
    const seats = ["sold", "held", "blocked"].filter((kind) => it.seats[kind] !== undefined).map((kind) => `${numbers.format(it.seats[kind])} ${kind}`);
    made.append(element("b", moments.format(new Date(it.startsAt))), ` ${seats.join(", ")} of ${numbers.format(it.seatsTotal)} · ${state}${it.hidden ? ", hidden" : ""} `);
    const look = element("button", "Look", { "data-date": it.id });
    look.onclick = () => choose(it);
    made.append(look);
    if (state === "on sale") {
      const close = element("button", "Close sales");
      close.onclick = () => act(`admin/schedules/${it.id}/closing`, {}, "Sales are closed; what is held can be paid.").then(() => open(concert));
      made.append(close);
    }
    return made;
  }

  async function choose(it) {
    date = it;
    find("desk").hidden = false;
    find("desk-of").textContent = moments.format(new Date(it.startsAt));
    await show();
  }

  /** One page of what is chosen, with a way to the next. */
  async function show(cursor = null, before = []) {
    const { columns, hasTable } = LISTS[list];
    for (const button of document.querySelectorAll("[data-list]")) button.toggleAttribute("aria-current", button.dataset.list === list);
    find("desk-csv").hidden = !hasTable;
    find("blocking").hidden = list !== "seats";
    const page = hasTable ? `?limit=${LINES}${cursor ? `&cursor=${encodeURIComponent(cursor)}` : ""}` : "";
    const { value } = await ask("GET", `admin/schedules/${date.id}/${list}${page}`);
    const items = [...before, ...value.items];
    const head = element("tr");
    head.append(...columns.map((name) => element("th", name.replace(/[A-Z]/g, (letter) => ` ${letter.toLowerCase()}`), { scope: "col" })));
    const rows = items.map((item) => {
      const row = element("tr");
      row.append(...columns.map((name) => element("td", shown(item[name]))));
      return row;
    });
    find("desk-table").replaceChildren(head, ...rows);
    find("desk-more").hidden = !value.nextCursor;
    find("desk-more").onclick = () => show(value.nextCursor, items);
    find("desk-sum").textContent = list === "seats" ? sums(items) : `${numbers.format(items.length)} shown`;
  }

  const shown = (value) => (value === null || value === undefined ? "" : typeof value === "number" ? numbers.format(value) : String(value));

  function sums(items) {
    const count = (state) => items.filter((it) => it.state === state).length;
    return ["available", "held", "sold", "blocked"].map((state) => `${numbers.format(count(state))} ${state}`).join(" · ");
  }

  async function act(path, body, words, undoing = null) {
    try {
      await ask("POST", path, { body });
      tell(words, { undoing });
    } catch (refusal) {
      tell(refusal.message, { isBad: true });
    }
    if (date && !find("desk").hidden) await show();
  }

  const release = (seatNumbers) => act(`admin/schedules/${date.id}/seats/releases`, { seatNumbers }, `On sale again: ${seatNumbers.join(", ")}`);

  for (const button of document.querySelectorAll("[data-list]")) {
    button.onclick = () => {
      list = button.dataset.list;
      show().catch((refusal) => tell(refusal.message, { isBad: true }));
    };
  }
  find("blocking").onsubmit = (submit) => {
    submit.preventDefault();
    const fields = new FormData(submit.target);
    const seatNumbers = numbersOf(fields.get("seats"));
    if (!seatNumbers) return tell("Seats are numbers, as in 7, 8, 20-25.", { isBad: true });
    if (submit.submitter?.value === "free") return release(seatNumbers);
    const reason = fields.get("reason").trim() || "Blocked at the console.";
    return act(`admin/schedules/${date.id}/seats/blocks`, { seatNumbers, reason }, `Off sale: ${seatNumbers.join(", ")}`, () => release(seatNumbers));
  };
  find("desk-csv").onclick = async () => {
    const { value } = await ask("GET", `admin/schedules/${date.id}/${list}?format=csv`, { asText: true });
    save(`${list}-${date.id}.csv`, "text/csv", value);
  };
  return open;
}
