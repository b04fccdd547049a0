// The seats of a date as they change: a stream of changes, and where streams are refused the whole list while its tag is another.

import { backoff, eventsOf } from "{{gateway}}/usher.js";
import { NotAdmitted } from "./shop.js";

const LOOK_MS = 2_000;
/** After a refused stream it is tried again so much later. */
const STREAM_AGAIN_MS = 60_000;

/** Tells `heard` all seats by number whenever some changed, until `signal` is aborted. Throws when the visit is over. */
export async function follow(usher, schedule, heard, signal) {
  const address = `/api/v1/schedules/${schedule}/seats`;
  let known = { seats: new Map(), version: null, tag: null };
  let streamAt = 0;
  let failures = 0;
  while (!signal.aborted) {
    let pauseMs = LOOK_MS;
    try {
      if (Date.now() >= streamAt) known = await stream(usher, address, known, heard, signal);
      else known = await look(usher, address, known, heard, signal);
      failures = 0;
    } catch (refusal) {
      if (signal.aborted) return;
      if (refusal instanceof NotAdmitted || refusal.status === 404) throw refusal;
      failures += 1;
      if (refusal.status) streamAt = Date.now() + STREAM_AGAIN_MS;
      pauseMs = Math.max(LOOK_MS, backoff(failures));
    }
    await new Promise((done) => setTimeout(done, pauseMs));
  }
}

async function stream(usher, address, known, heard, signal) {
  const headers = { accept: "text/event-stream", ...(known.version && { "last-event-id": known.version }) };
  const answer = await usher.fetch(`${address}/events`, { headers, signal, cache: "no-store", patienceMs: 0 });
  if (!answer.ok) throw Object.assign(new Error(`status ${answer.status}`), { status: answer.status });
  let { seats, version } = known;
  for await (const event of eventsOf(answer.body)) {
    if (event.name === "gone") throw Object.assign(new Error("gone"), { status: 404 });
    if (event.name !== "seats" && event.name !== "delta") continue;
    const told = JSON.parse(event.data);
    if (event.name === "seats") seats = new Map();
    for (const seat of told.items) seats.set(seat.number, seat);
    version = told.version;
    heard(seats);
  }
  return { seats, version, tag: null };
}

async function look(usher, address, known, heard, signal) {
  const headers = known.tag ? { "if-none-match": known.tag } : {};
  const answer = await usher.fetch(address, { headers, signal, cache: "no-store" });
  if (answer.status === 304) return known;
  if (!answer.ok) throw Object.assign(new Error(`status ${answer.status}`), { status: answer.status });
  const { items, version } = await answer.json();
  const seats = new Map(items.map((it) => [it.number, it]));
  heard(seats);
  return { seats, version, tag: answer.headers.get("etag") };
}
