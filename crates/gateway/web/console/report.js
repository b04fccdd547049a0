// The sale on one page, afterwards: from what is kept of each minute, the audit log, and the payments.

import { salesOf } from "./dates.js";

/** How often the time that visitors were told was kept. */
export const shareOf = (told) => (told?.promises ? `${((100 * told.promisesKept) / told.promises).toFixed(1)} %` : "–");

/** Times that were counted in buckets, of as many minutes as one likes. */
export class Spread {
  constructor(minutes) {
    this.counts = new Map();
    for (const { upTo, count } of minutes.flat()) this.counts.set(upTo, (this.counts.get(upTo) ?? 0) + count);
    this.count = [...this.counts.values()].reduce((all, it) => all + it, 0);
  }

  /** Within so many units this share of all lay: never less than it was, and at most half more. Null for what is above all bounds. */
  told(share) {
    const bounds = [...this.counts.keys()].sort((one, other) => (one ?? Infinity) - (other ?? Infinity));
    let left = Math.max(1, Math.ceil(this.count * share));
    return bounds.find((upTo) => (left -= this.counts.get(upTo)) <= 0) ?? null;
  }
}

/** Seconds in words, as a bound. */
export function waited(seconds) {
  if (seconds === null) return "–";
  if (seconds < 120) return `≤ ${seconds} s`;
  return seconds < 7_200 ? `≤ ${(seconds / 60).toFixed(0)} min` : `≤ ${(seconds / 3_600).toFixed(1)} h`;
}

/** What happened in each minute, from totals of a life of the queue; those of a life that is older than `from` were not all of it. */
function differences(kept, from) {
  return kept.map((it, at) => {
    const before = kept[at - 1]?.epoch === it.epoch ? kept[at - 1] : { joined: 0, admitted: 0, noShows: 0 };
    const since = at === 0 && it.epoch / 1_000 < from ? it : before;
    return { ...it, came: it.joined - since.joined, entered: it.admitted - since.admitted, stayedAway: it.noShows - since.noShows };
  });
}

/** The page, with the functions of the console. Gives what shows it. */
export function reporting({ ask, maybe, element, find, save, tell, showList, auditLine, local, follow, known, chosen, hasKey }) {
  const charts = Object.fromEntries(["waiting", "active", "admitted", "waited", "failed", "sold"].map((name) => [name, follow(find(`report-${name}`))]));
  const queueOf = () => find("report-queue").value;
  const begin = () => new Date(`${find("report-day").value}T00:00:00`);
  const path = () => `queues/${queueOf()}/minutes?from=${begin().toISOString()}&count=1440`;

  async function show() {
    const before = queueOf() || chosen();
    find("report-queue").replaceChildren(...known().map((it) => element("option", it.queue)));
    if (before) find("report-queue").value = before;
    if (!find("report-day").value) find("report-day").value = local(new Date()).slice(0, 10);
    const [queue, from] = [queueOf(), begin()];
    const [page, changes, sold] = await Promise.all([
      maybe("GET", path()),
      hasKey() ? maybe("GET", `queues/${queue}/audit?limit=200`) : null,
      hasKey() ? salesOf(maybe, queue, from) : [],
    ]);
    const minutes = differences(page?.items ?? [], from);
    find("report-about").textContent = page ? `${queue}, ${find("report-day").value}, ${minutes.length} minutes` : "Shown with an operator's key.";
    showList("report-figures", figures(minutes, sold));
    draw(minutes, sold);
    const day = (changes?.items ?? []).filter((it) => Math.abs(new Date(it.at) - from - 43_200_000) <= 43_200_000);
    find("report-audit").replaceChildren(...day.map(auditLine));
  }

  function figures(minutes, sold) {
    const sum = (name) => minutes.reduce((all, it) => all + it[name], 0);
    const most = (name) => Math.max(0, ...minutes.map((it) => it[name]));
    const waits = new Spread(minutes.map((it) => it.waits));
    return [
      ["Came", sum("came")], ["Let in", sum("entered")],
      ...[["Half waited", 0.5], ["9 of 10 waited", 0.9], ["99 of 100 waited", 0.99]].map(([name, share]) => [name, waits.count ? waited(waits.told(share)) : "–"]),
      ["Kept promises", shareOf({ promises: sum("promises"), promisesKept: sum("promisesKept") })],
      ["Did not show up", sum("stayedAway")], ["Most away at their turn", most("parked")], ["Most back again", most("returned")],
      ["Longest line", most("waiting")], ["Most inside", most("active")], ["Most let in by minute", most("entered")],
      ["Sold", sold.length], ["Given back", sold.filter((it) => it.refundedAmount > 0).length],
      ["Answers of the service", sum("answered")], ["Errors of the service", sum("failed"), sum("failed") > 0],
    ];
  }

  function draw(minutes, sold) {
    const points = (value) => minutes.map((it) => ({ at: Date.parse(it.at), value: value(it), limit: null }));
    charts.waiting.show(points((it) => it.waiting));
    charts.active.show(points((it) => it.active));
    charts.admitted.show(points((it) => it.entered));
    charts.waited.show(points((it) => it.waitSeconds?.p90 ?? 0));
    charts.failed.show(points((it) => it.failed));
    charts.sold.show(points((it) => sold.filter((one) => Date.parse(one.createdAt) <= Date.parse(it.at) + 60_000).length));
  }

  /** As the gateway writes it, so that a file from here and one by curl are the same. */
  async function keep(ending, type) {
    try {
      const { value } = await ask("GET", path(), { headers: { accept: type }, asText: true });
      save(`${queueOf()}-${find("report-day").value}.${ending}`, type, value);
    } catch (refusal) {
      tell(refusal.message, { isBad: true });
    }
  }

  find("report-form").onsubmit = (submit) => {
    submit.preventDefault();
    show();
  };
  find("report-json").onclick = () => keep("json", "application/json");
  find("report-csv").onclick = () => keep("csv", "text/csv");
  find("report-print").onclick = () => print();
  return show;
}
