// What is on sale, whether its books agree, and which events are on their way.

import { Refused } from "./api.js";
import { element, find, inWords, list, numbers, pause } from "./dom.js";

/** Among many sales a comparison takes longer than an answer may, and goes on meanwhile. */
const COMPARING_MS = 5_000;

/** `VIP 120000 1 10`, one a line; null where a line is something else, and nothing for an empty text. */
export function sectionsOf(text) {
  const lines = text.split("\n").map((line) => line.trim()).filter(Boolean);
  const parts = lines.map((line) => /^(\S+)\s+(\d+)\s+(\d+)\s+(\d+)$/.exec(line));
  if (parts.includes(null)) return null;
  return parts.map(([, grade, price, from, to]) => ({ grade, price: Number(price), from: Number(from), to: Number(to) }));
}

const plain = (value) => Object.entries(value ?? {}).filter(([, it]) => typeof it !== "object").map(([name, it]) => [inWords(name), typeof it === "number" ? numbers.format(it) : it]);

/** `openDates` shows the dates of a concert. */
export function selling({ ask, maybe, tell, hasKey, openDates }) {
  const unseen = (refusal) => [["", hasKey() && refusal instanceof Refused ? refusal.message : "Shown with an operator's key."]];

  /** Compares until there is an answer, and gives it; null where it is refused. */
  async function books() {
    for (;;) {
      try {
        const said = (await ask("GET", "admin/reconciliation")).value;
        list("books", [["agree", said.clean ? "yes" : "NO"], ...plain(said).filter(([name]) => name !== "clean"), ...plain(said.totals)]);
        return said;
      } catch (refusal) {
        if (!(refusal instanceof Refused)) throw refusal;
        list("books", unseen(refusal));
        if (!refusal.problem?.retryable) return null;
      }
      await pause(COMPARING_MS);
    }
  }

  async function outbox() {
    let said = null;
    try {
      said = (await ask("GET", "admin/outbox")).value;
      list("outbox", plain(said).filter(([name]) => name !== "next cursor"));
    } catch (refusal) {
      if (!(refusal instanceof Refused)) throw refusal;
      list("outbox", unseen(refusal));
    }
    const dead = said?.items ?? said?.deadLetters?.items ?? [];
    find("dead").replaceChildren(...dead.map(deadLetter));
  }

  function deadLetter(event) {
    const [line, again] = [element("li"), element("button", "Send again")];
    line.append(element("b", event.type ?? event.eventType ?? event.id), ` ${event.lastError ?? event.reason ?? ""} `, again);
    again.onclick = async () => {
      try {
        await ask("POST", `admin/outbox/${event.id ?? event.eventId}/redeliveries`);
        tell("On its way again.");
        await outbox();
      } catch (refusal) {
        tell(refusal.message, { isBad: true });
      }
    };
    return line;
  }

  async function concerts() {
    const said = await maybe("GET", "concerts?limit=50");
    find("concerts").replaceChildren(...(said?.items ?? []).map((concert) => {
      const line = element("li");
      line.append(element("b", concert.title), ` ${concert.venue ?? ""} · queue ${concert.queue} `);
      if (!hasKey()) return line;
      const dates = element("button", "Dates", { "data-concert": concert.id, "aria-label": `Dates of ${concert.title}` });
      dates.onclick = () => openDates(concert).catch((refusal) => tell(refusal.message, { isBad: true }));
      line.append(dates);
      return line;
    }));
  }

  find("reconcile").onclick = books;
  find("outbox-go").onclick = outbox;
  find("concert").onsubmit = async (submit) => {
    submit.preventDefault();
    const fields = Object.fromEntries(new FormData(submit.target));
    const sections = sectionsOf(fields.sections);
    if (!sections) return tell("Sections are lines of GRADE PRICE FROM TO.", { isBad: true });
    try {
      const concert = (await ask("POST", "admin/concerts", { body: { title: fields.title, ...(fields.venue && { venue: fields.venue }), queue: fields.queue } })).value;
      const date = { startsAt: new Date(fields.startsAt).toISOString(), ...(sections.length && { sections }) };
      await ask("POST", `admin/concerts/${concert.id}/schedules`, { body: date });
      tell(`${fields.title} is on sale.`);
      submit.target.reset();
      await concerts();
    } catch (refusal) {
      tell(refusal.message, { isBad: true });
    }
  };

  return { show: () => Promise.all([books(), outbox(), concerts()]), books };
}
