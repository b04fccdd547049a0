// The dates of a concert: how each sells, and what an operator does about it.

import { cancelling } from "./cancel.js";
import { element, find, local, moments, numbers, redraw } from "./dom.js";
import { changing, dateForm } from "./edit.js";

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

function stateOf({ cancelledAt, salesOpenAt, salesCloseAt }) {
  if (cancelledAt) return "cancelled";
  if (new Date(salesCloseAt) <= Date.now()) return "closed";
  return new Date(salesOpenAt) > Date.now() ? "not open yet" : "on sale";
}

/** Gives what shows the dates of a concert. `lookAt` shows the desk of one, `sure` asks twice, `books` compares. */
export function dating({ ask, tell, sure, books, lookAt }) {
  let concert = null;
  const change = changing({ ask, tell }, again);
  const form = dateForm({ ask, tell }, { change, after: again });
  const cancellation = cancelling({ ask, tell, sure, books });

  async function open(other) {
    if (other !== concert) find("date").hidden = true;
    concert = other;
    const { value } = await ask("GET", `admin/concerts/${other.id}/schedules`);
    if (other !== concert) return;
    find("dates-of").textContent = concert.title;
    find("dates").hidden = false;
    const lines = value.items.map(line);
    redraw(find("dates-list"), lines.length ? lines : [element("li", "No dates yet.", { class: "soft" })]);
  }

  /** As they are now. */
  async function again() {
    if (concert) await told(() => open(concert));
  }

  async function told(act) {
    try {
      await act();
    } catch (refusal) {
      tell(refusal.message, { isBad: true });
    }
  }

  function line(it) {
    const made = element("li");
    const [when, state] = [moments.format(new Date(it.startsAt)), stateOf(it)];
    const seats = ["sold", "held", "blocked"].filter((kind) => it.seats[kind] !== undefined).map((kind) => `${numbers.format(it.seats[kind])} ${kind}`);
    made.append(element("b", when), ` ${seats.join(", ")} of ${numbers.format(it.seatsTotal)} · ${state}${it.hidden ? ", hidden" : ""} `);
    const offer = (name, words, act, attributes = {}) => {
      const button = element("button", words, { "aria-label": `${words}, ${when}`, "data-act": `${name}:${it.id}`, ...attributes });
      button.onclick = () => told(act);
      made.append(button, " ");
    };
    offer("look", "Look", () => lookAt(it), { "data-date": it.id });
    if (it.cancelledAt) {
      offer("cancel", "Cancellation", () => cancellation.follow(it, when));
      return made;
    }
    offer("edit", "Edit", () => form.openEdit(it, when));
    offer("hide", it.hidden ? "Show to visitors" : "Hide", () => hide(it));
    if (state !== "closed") offer("close", "Close sales", () => close(it));
    offer("cancel", "Cancel date", () => cancel(it, when), { class: "danger" });
    return made;
  }

  function hide({ id, hidden, version }) {
    const words = hidden ? "Visitors see the date again." : "The date is hidden; what is held can be paid.";
    return change(id, `"${version}"`, { hidden: !hidden }, { words, back: { hidden } });
  }

  async function close({ id, salesOpenAt, salesCloseAt }) {
    const { tag } = await ask("POST", `admin/schedules/${id}/closing`, { body: {} });
    const undo = () => change(id, tag, { salesOpenAt, salesCloseAt }, { words: "Undone: sales are closed" });
    tell("Sales are closed; what is held can be paid.", { undoing: undo });
    await again();
  }

  async function cancel(it, when) {
    // As it is typed on every keyboard.
    const word = local(new Date(it.startsAt)).slice(0, 16).replace("T", " ");
    if (await cancellation.cancel(it, `${concert.title}, ${when}`, word)) await again();
  }

  find("dates-new").onclick = () => form.openNew(concert);

  /** Nothing is shown any more. */
  function leave() {
    concert = null;
    for (const place of ["dates", "date"]) find(place).hidden = true;
    cancellation.leave();
  }

  return { open, leave };
}
