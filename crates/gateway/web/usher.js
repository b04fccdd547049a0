// The client of the waiting room: a place in line, kept for as long as it takes.
//
//   import { Usher } from "/usher.js";
//   const usher = new Usher({ queue: "main" });
//   await usher.join();
//   for await (const news of usher.watch()) show(news);
//
// Works with the cookie where the page and the gateway have one origin, and with the token in
// session storage elsewhere. docs/CLIENT.md tells what each call promises.

const PATIENCE_MS = 30_000;
const LONGEST_PAUSE_MS = 30_000;
/** The gateway says something every 15 s; a stream that is silent for longer is dead. */
const SILENCE_MS = 40_000;
/** After a refused stream it is tried again so much later. */
const STREAM_AGAIN_MS = 120_000;
/** A timer that comes so much too late was asleep. */
const SLEPT_MS = 10_000;
const WORKER = "usher-work";

/** A refusal of the gateway or of the service behind it. */
export class UsherError extends Error {
  constructor(status, problem, retryAfterMs) {
    super(problem?.detail ?? problem?.title ?? `status ${status}`);
    this.name = "UsherError";
    this.status = status;
    this.code = problem?.code ?? (status ? "UNKNOWN" : "UNREACHABLE");
    this.problem = problem ?? null;
    this.retryAfterMs = retryAfterMs ?? null;
  }
}

/** It is not this visitor's turn; `place` says where they stand, where they are in line at all. */
export class NotAdmitted extends UsherError {
  constructor(status, problem, retryAfterMs) {
    super(status, problem, retryAfterMs);
    this.name = "NotAdmitted";
    this.place = problem?.place ?? null;
  }
}

const NOT_INSIDE = new Set(["NOT_ADMITTED", "TOKEN_MISSING", "TOKEN_INVALID", "TOKEN_EXPIRED", "QUEUE_MISMATCH"]);
/** The visit is over, or there is no such queue: asking again does not help. */
const ENDS = new Set(["TOKEN_MISSING", "TOKEN_INVALID", "TOKEN_EXPIRED", "QUEUE_UNKNOWN"]);

/** One visitor of one queue. Dispatches `place`, `active`, `paused`, `message`, `store`, `gone`, `work`. */
export class Usher extends EventTarget {
  #token = null;
  #identity;
  #skewMs = 0;
  #last = null;
  #provenUntil = null;

  /**
   * @param {{ queue?: string, base?: string | URL, identity?: () => string | Promise<string>,
   *   storage?: Storage | null }} [options]
   */
  constructor({ queue = "main", base = new URL(".", import.meta.url), identity, storage } = {}) {
    super();
    this.queue = queue;
    this.base = new URL(String(base).replace(/\/*$/, "/"), globalThis.location?.href);
    this.isSameOrigin = this.base.origin === globalThis.location?.origin;
    this.#identity = identity;
    this.storage = storage === undefined ? sessionStorageIfAny() : storage;
    this.name = `usher:${this.base.href}:${queue}`;
    if (!this.isSameOrigin) this.#token = this.storage?.getItem(this.name) ?? null;
  }

  /** The last place that was heard of. */
  get last() {
    return this.#last;
  }

  /** Until when the token proves who this visitor is, as it was heard last; null where it was not heard yet. */
  get provenUntil() {
    return this.#provenUntil;
  }

  /** Milliseconds since 1970 by the gateway's clock. */
  now() {
    return Date.now() + this.#skewMs;
  }

  /**
   * Takes a place, or finds the one there is. Does the work where work is asked for; a challenge by others is the caller's
   * to show: `challenge` gets its `siteKey` and gives the answer.
   */
  async join({ userId, secret, challenge, signal } = {}) {
    const body = { ...(userId && { userId }), ...(secret && { secret }) };
    const headers = { "content-type": "application/json" };
    const identity = await this.#identity?.();
    if (identity) headers.authorization = `Bearer ${identity}`;
    else if (this.#token) headers.authorization = `Bearer ${this.#token}`;
    for (;;) {
      try {
        const place = await this.#patiently(() => this.#ask("POST", "tokens", { body: JSON.stringify(body), headers, signal }), signal);
        this.#keep(place.token);
        this.#proven(place.tokenExpiresAt);
        return this.#heard("place", place);
      } catch (refusal) {
        const { proofOfWork: work, siteKey } = refusal.problem ?? {};
        if (siteKey && challenge) {
          body.challenge = await challenge({ siteKey });
          continue;
        }
        if (!work) throw refusal;
        const solved = (done) => this.#tell("work", { done });
        body.proof = { challenge: work.challenge, nonce: await solve(work, { signal, progress: solved }) };
      }
    }
  }

  /** Asks once where this visitor stands. */
  async place({ signal } = {}) {
    const place = await this.#ask("GET", "tokens/me", { signal });
    return this.#heard("place", place);
  }

  /** What everybody sees of the queue. */
  async status({ signal } = {}) {
    return this.#ask("GET", "", { signal });
  }

  /** What proves the own part in a draw, with the own lot. */
  async proof({ signal } = {}) {
    return this.#patiently(() => this.#ask("GET", "lottery/proof", { signal }), signal);
  }

  /** Gives the place up. What proves who one is stays, but where an identity provider says it. */
  async leave({ signal } = {}) {
    const answer = await this.#patiently(() => this.#send("DELETE", "tokens/me", { signal }), signal);
    this.#keep(answer.headers.get("x-usher-token"));
    this.#proven(answer.headers.get("x-usher-token-expires"));
    this.#last = null;
  }

  /** Waits until it is this visitor's turn, and shows up. */
  async enter({ signal } = {}) {
    if (this.#last?.state === "active") return this.place({ signal });
    for await (const news of this.watch({ signal })) {
      if (news.type === "gone") throw new NotAdmitted(410, news);
      if (news.place?.state === "active") return this.place({ signal });
    }
    throw signal?.reason ?? new DOMException("aborted", "AbortError");
  }

  /**
   * News of the place for as long as it lasts. All tabs share one stream; where streams are refused
   * it is polled; after sleep the truth comes first.
   */
  async *watch({ signal } = {}) {
    const stop = new AbortController();
    const stopped = signal ? AbortSignal.any([signal, stop.signal]) : stop.signal;
    const news = new Mailbox();
    const heard = (item) => {
      if (item.place) this.#last = { ...this.#last, ...item.place };
      news.put(item);
      this.#tell(item.type, item);
    };
    const work = share(this.name, heard, (tell, woken) => this.#follow(tell, woken, stopped), () => this.place({ signal: stopped }), stopped);
    work.catch((cause) => news.fail(cause)).finally(() => news.close());
    try {
      for await (const item of news) {
        yield item;
        if (item.type === "gone") return;
      }
    } finally {
      stop.abort();
    }
  }

  /**
   * `fetch` as this visitor. Repeats what was told to be repeated and, with one `Idempotency-Key`,
   * what may have been lost. Throws `NotAdmitted`, or waits with `{ wait: true }`.
   */
  async fetch(input, { wait = false, patienceMs = PATIENCE_MS, idempotencyKey, ...init } = {}) {
    const request = new Request(input, init);
    const isSafe = ["GET", "HEAD", "OPTIONS"].includes(request.method);
    const headers = new Headers(request.headers);
    headers.set("x-usher-queue", this.queue);
    const shown = headers.has("authorization") ? null : this.#token;
    if (shown) headers.set("authorization", `Bearer ${shown}`);
    if (!isSafe && !headers.has("idempotency-key")) headers.set("idempotency-key", idempotencyKey ?? randomId());
    const body = isSafe ? undefined : await request.arrayBuffer();
    const send = async () => {
      const answer = await reached(() => fetch(request.url, { ...init, method: request.method, headers, body, signal: init.signal, credentials: this.#credentials() }));
      const refusal = await this.#refusal(answer.status === 202 || answer.ok ? null : answer.clone());
      if (refusal instanceof NotAdmitted || refusal?.problem?.retryable) throw refusal;
      // A token whose visit is over is replaced by each answer, unless it was by a join meanwhile.
      const fresh = answer.headers.get("x-usher-token");
      if (fresh && shown && shown === this.#token) this.#keep(fresh);
      this.#proven(answer.headers.get("x-usher-token-expires"));
      return answer;
    };
    for (;;) {
      try {
        return await this.#patiently(send, init.signal, patienceMs);
      } catch (refusal) {
        const isWaiting = refusal instanceof NotAdmitted && refusal.code === "NOT_ADMITTED";
        if (!(wait && isWaiting)) throw refusal;
        await this.enter({ signal: init.signal });
      }
    }
  }

  /** Stream while it may be, polls while not; ends with `gone`. */
  async #follow(tell, woken, signal) {
    let lastId = null;
    let streamAt = 0;
    let failures = 0;
    let isCut = false;
    while (!signal.aborted) {
      let pauseMs = 0;
      try {
        if (this.now() >= streamAt && typeof ReadableStream === "function") {
          const end = await this.#stream(tell, woken, signal, lastId, () => (failures = 0));
          lastId = end.lastId;
          if (end.isGone) return;
          pauseMs = end.isWoken ? 0 : spread(end.retryMs);
          if (end.isWoken) tell({ type: "place", place: await this.place({ signal }) });
        } else {
          const place = await this.place({ signal });
          failures = 0;
          tell({ type: place.state === "active" ? "active" : "place", place });
          pauseMs = place.pollAfterMs;
        }
      } catch (refusal) {
        if (signal.aborted) return;
        if (ENDS.has(refusal.code)) return tell({ type: "gone", code: refusal.code, detail: refusal.message });
        // Who is between may take requests and let no stream through, without a word: the second time is no accident.
        const isStream = refusal.isStream || (refusal.isUnanswered && (isCut || failures > 0));
        if (isStream) {
          streamAt = this.now() + STREAM_AGAIN_MS;
          isCut = true;
        } else {
          failures += 1;
          tell({ type: "store", available: false, code: refusal.code });
          pauseMs = Math.max(refusal.retryAfterMs ?? 0, backoff(failures));
        }
      }
      await pause(pauseMs, signal, woken);
    }
  }

  /** One connection of server-sent events, until it ends, is silent for too long, or we wake up. */
  async #stream(tell, woken, signal, lastId, opened) {
    const cut = new AbortController();
    const whole = AbortSignal.any([signal, cut.signal]);
    const headers = { accept: "text/event-stream", ...(lastId && { "last-event-id": lastId }) };
    let silence = setTimeout(() => cut.abort(), SILENCE_MS);
    let answer;
    try {
      answer = await this.#send("GET", "tokens/me/events", { headers, signal: whole });
    } catch (refusal) {
      clearTimeout(silence);
      // One that keeps the head of the answer back is no stream either.
      if (cut.signal.aborted && !signal.aborted) throw Object.assign(new UsherError(0, null, null), { isStream: true });
      if (refusal.status && !ENDS.has(refusal.code)) refusal.isStream = refusal.code !== "STORE_UNAVAILABLE";
      refusal.isUnanswered = refusal.status === 0;
      throw refusal;
    }
    opened();
    const end = { lastId, isGone: false, isWoken: false, retryMs: 3_000 };
    const wake = woken(() => {
      end.isWoken = true;
      cut.abort();
    });
    try {
      for await (const event of eventsOf(answer.body, () => {
        clearTimeout(silence);
        silence = setTimeout(() => cut.abort(), SILENCE_MS);
        tell({ type: "alive" });
      })) {
        if (event.retry) end.retryMs = event.retry;
        if (event.id) end.lastId = event.id;
        if (!event.name) continue;
        const data = JSON.parse(event.data || "null");
        const isPlace = event.name === "place" || event.name === "active";
        tell({ type: event.name, ...(isPlace ? { place: data } : data) });
        if (event.name === "gone") end.isGone = true;
      }
    } catch (cause) {
      if (signal.aborted) throw cause;
    } finally {
      clearTimeout(silence);
      wake();
      cut.abort();
    }
    return end;
  }

  async #ask(method, path, init) {
    const answer = await this.#send(method, path, init);
    return answer.status === 204 ? null : answer.json();
  }

  async #send(method, path, { headers = {}, ...init } = {}) {
    const url = new URL(`api/v1/queues/${this.queue}${path && `/${path}`}`, this.base);
    const all = { accept: "application/json", ...(this.#token && { authorization: `Bearer ${this.#token}` }), ...headers };
    const answer = await reached(() => fetch(url, { method, headers: all, credentials: this.#credentials(), cache: "no-store", ...init }));
    const refusal = await this.#refusal(answer);
    if (refusal) throw refusal;
    return answer;
  }

  #credentials() {
    return this.isSameOrigin ? "same-origin" : "include";
  }

  /** The refusal that an answer is, if it is one; corrects our clock by the way. */
  async #refusal(answer) {
    const date = Date.parse(answer?.headers.get("date") ?? "");
    if (date) this.#skewMs = Math.abs(date - Date.now()) > 2_000 ? date - Date.now() : 0;
    if (!answer || answer.ok) return null;
    const problem = await answer.json().catch(() => null);
    const seconds = Number(answer.headers.get("retry-after"));
    const retryAfterMs = Number.isFinite(seconds) && answer.headers.has("retry-after") ? seconds * 1_000 : null;
    const Kind = NOT_INSIDE.has(problem?.code) ? NotAdmitted : UsherError;
    return new Kind(answer.status, problem, retryAfterMs);
  }

  /** Repeats what was not answered or may be repeated, until `patienceMs` are over. */
  async #patiently(act, signal, patienceMs = PATIENCE_MS) {
    const end = Date.now() + patienceMs;
    for (let failures = 1; ; failures += 1) {
      try {
        return await act();
      } catch (refusal) {
        const isOurs = refusal instanceof UsherError && !(refusal instanceof NotAdmitted);
        const mayHelp = isOurs && (refusal.status === 0 || refusal.problem?.retryable);
        const pauseMs = Math.max(refusal.retryAfterMs ?? 0, backoff(failures));
        if (!mayHelp || Date.now() + pauseMs > end || signal?.aborted) throw refusal;
        await pause(spread(pauseMs), signal);
      }
    }
  }

  #keep(token) {
    if (this.isSameOrigin) return;
    this.#token = token ?? null;
    if (token) this.storage?.setItem(this.name, token);
    else this.storage?.removeItem(this.name);
  }

  #proven(until) {
    if (until) this.#provenUntil = new Date(until);
  }

  #heard(type, place) {
    this.#last = place;
    this.#tell(place.state === "active" ? "active" : type, { place });
    return place;
  }

  #tell(type, detail) {
    this.dispatchEvent(new CustomEvent(type, { detail }));
  }
}

/** Turns a request that got no answer at all into a typed error. */
async function reached(send) {
  try {
    return await send();
  } catch (cause) {
    if (cause.name === "AbortError") throw cause;
    throw new UsherError(0, null, null);
  }
}

// ---- tabs

/**
 * One tab follows for all of them: whoever holds the lock. The others hear it on a channel, and ask
 * for themselves when it is silent for too long: it may be frozen.
 */
async function share(name, heard, follow, ask, signal) {
  const woken = wakeUps(signal);
  if (!globalThis.navigator?.locks || !globalThis.BroadcastChannel) return follow(onlyNews(heard), woken, signal);
  const channel = new BroadcastChannel(name);
  let last = null;
  let isLeader = false;
  let heardAt = Date.now();
  channel.onmessage = ({ data }) => {
    if (data === "hello") return isLeader && last && channel.postMessage(last);
    heardAt = Date.now();
    onlyNews(heard)(data);
  };
  channel.postMessage("hello");
  const look = async () => {
    if (isLeader || Date.now() - heardAt < SILENCE_MS) return;
    heardAt = Date.now();
    await ask().then((place) => heard({ type: place.state === "active" ? "active" : "place", place }), (refusal) => {
      if (ENDS.has(refusal.code)) heard({ type: "gone", code: refusal.code, detail: refusal.message });
    });
  };
  const timer = setInterval(look, 5_000);
  const wake = woken(() => {
    heardAt = 0;
    look();
  });
  try {
    await navigator.locks.request(name, { signal }, async () => {
      isLeader = true;
      await follow((news) => {
        if (news.place) last = news;
        channel.postMessage(news);
        onlyNews(heard)(news);
      }, woken, signal);
    });
  } catch (cause) {
    if (!signal.aborted) throw cause;
  } finally {
    clearInterval(timer);
    wake();
    channel.close();
  }
}

function onlyNews(heard) {
  return (news) => news.type !== "alive" && heard(news);
}

/** Calls back when the page is seen again, the network is back, or the clock jumped. */
function wakeUps(signal) {
  const callbacks = new Set();
  const ring = () => callbacks.forEach((callback) => callback());
  let tickedAt = Date.now();
  const tick = setInterval(() => {
    const lateMs = Date.now() - tickedAt - 5_000;
    tickedAt = Date.now();
    if (lateMs > SLEPT_MS && !globalThis.document?.hidden) ring();
  }, 5_000);
  const seen = () => !document.hidden && Date.now() - tickedAt > SLEPT_MS && ring();
  globalThis.document?.addEventListener("visibilitychange", seen, { signal });
  globalThis.addEventListener?.("pageshow", (event) => event.persisted && ring(), { signal });
  globalThis.addEventListener?.("online", ring, { signal });
  signal.addEventListener("abort", () => clearInterval(tick), { once: true });
  return (callback) => {
    callbacks.add(callback);
    return () => callbacks.delete(callback);
  };
}

/** What was put in comes out in order, for one reader. */
class Mailbox {
  #items = [];
  #wake = null;
  #end = null;

  put(item) {
    this.#items.push(item);
    this.#wake?.();
  }

  fail(cause) {
    this.#end ??= { cause };
    this.#wake?.();
  }

  close() {
    this.#end ??= {};
    this.#wake?.();
  }

  async *[Symbol.asyncIterator]() {
    for (;;) {
      while (this.#items.length) yield this.#items.shift();
      if (this.#end?.cause) throw this.#end.cause;
      if (this.#end) return;
      await new Promise((wake) => (this.#wake = wake));
    }
  }
}

// ---- server-sent events

/** The events of a stream (WHATWG HTML, section 9.2); `alive` is called for every piece. */
export async function* eventsOf(body, alive = () => {}) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    alive();
    text += value.replaceAll("\r\n", "\n");
    for (let end = text.indexOf("\n\n"); end >= 0; end = text.indexOf("\n\n")) {
      yield eventOf(text.slice(0, end));
      text = text.slice(end + 2);
    }
  }
}

function eventOf(block) {
  const event = { name: "", data: "", id: "", retry: 0 };
  for (const line of block.split("\n")) {
    const [, field, value] = /^(\w+): ?(.*)$/.exec(line) ?? [];
    if (field === "event") event.name = value;
    else if (field === "data") event.data += (event.data && "\n") + value;
    else if (field === "id") event.id = value;
    else if (field === "retry") event.retry = Number(value) || 0;
  }
  return event;
}

// ---- pauses

/** Doubles with each failure, up to half a minute. */
export function backoff(failures) {
  return Math.min(LONGEST_PAUSE_MS, 500 * 2 ** Math.min(failures, 10));
}

/** Up to a quarter longer, so that a crowd does not come back as one. */
function spread(ms) {
  return ms * (1 + Math.random() / 4);
}

function pause(ms, signal, woken) {
  return new Promise((done) => {
    const end = () => {
      clearTimeout(timer);
      unwake?.();
      signal?.removeEventListener("abort", end);
      done();
    };
    const timer = setTimeout(end, ms);
    const unwake = woken?.(end);
    signal?.addEventListener("abort", end, { once: true });
    if (signal?.aborted) end();
  });
}

// ---- proof of work

/**
 * A `nonce` such that SHA-256 of `challenge:nonce` begins with `bits` zero bits. In a worker; where
 * there is none, in slices that leave the page alive. `progress` hears the part of the work that
 * usually suffices, 0 to 1.
 */
export function solve({ challenge, bits }, { signal, progress = () => {} } = {}) {
  const expected = 2 ** bits;
  const tell = (tried) => progress(1 - Math.exp(-tried / expected));
  let worker;
  try {
    worker = new Worker(import.meta.url, { type: "module", name: WORKER });
  } catch {
    return solveInSlices(challenge, bits, signal, tell);
  }
  return new Promise((resolve, reject) => {
    const end = (act) => {
      worker.terminate();
      act();
    };
    signal?.addEventListener("abort", () => end(() => reject(signal.reason)), { once: true });
    worker.onerror = () => end(() => solveInSlices(challenge, bits, signal, tell).then(resolve, reject));
    worker.onmessage = ({ data }) => (data.nonce === undefined ? tell(data.tried) : end(() => resolve(data.nonce)));
    worker.postMessage({ challenge, bits });
  });
}

async function solveInSlices(challenge, bits, signal, tell) {
  for (let from = 0; ; from += 2_000) {
    signal?.throwIfAborted();
    const nonce = search(challenge, bits, from, 2_000);
    if (nonce !== null) return nonce;
    tell(from);
    await new Promise((done) => setTimeout(done));
  }
}

/** Tries `count` numbers from `from` on. */
export function search(challenge, bits, from, count) {
  const encoder = new TextEncoder();
  for (let nonce = from; nonce < from + count; nonce += 1) {
    if (zeroBits(sha256(encoder.encode(`${challenge}:${nonce}`))) >= bits) return String(nonce);
  }
  return null;
}

function zeroBits(words) {
  let bits = 0;
  for (const word of words) {
    bits += Math.clz32(word);
    if (word) break;
  }
  return bits;
}

const [ROUNDS, START] = (() => {
  // The first 32 bits of the fractions of cube and square roots of the first primes (FIPS 180-4).
  const primes = [];
  for (let number = 2; primes.length < 64; number += 1) if (primes.every((prime) => number % prime)) primes.push(number);
  const fraction = (root) => ((root - Math.floor(root)) * 2 ** 32) | 0;
  return [Int32Array.from(primes, (it) => fraction(Math.cbrt(it))), Int32Array.from(primes.slice(0, 8), (it) => fraction(Math.sqrt(it)))];
})();
const SCHEDULE = new Int32Array(64);

/** SHA-256 as eight words. The one of the browser answers later, which costs more than the hash. */
export function sha256(bytes) {
  const padded = new Uint8Array((bytes.length + 72) & ~63);
  padded.set(bytes);
  padded[bytes.length] = 0x80;
  const view = new DataView(padded.buffer);
  view.setUint32(padded.length - 4, bytes.length * 8);
  const state = START.slice();
  for (let at = 0; at < padded.length; at += 64) block(view, at, state);
  return state;
}

function block(view, at, state) {
  const w = SCHEDULE;
  for (let i = 0; i < 16; i += 1) w[i] = view.getInt32(at + i * 4);
  for (let i = 16; i < 64; i += 1) {
    const [x, y] = [w[i - 15], w[i - 2]];
    const small = ((x >>> 7) | (x << 25)) ^ ((x >>> 18) | (x << 14)) ^ (x >>> 3);
    const large = ((y >>> 17) | (y << 15)) ^ ((y >>> 19) | (y << 13)) ^ (y >>> 10);
    w[i] = (w[i - 16] + small + w[i - 7] + large) | 0;
  }
  let [a, b, c, d, e, f, g, h] = state;
  for (let i = 0; i < 64; i += 1) {
    const one = ((e >>> 6) | (e << 26)) ^ ((e >>> 11) | (e << 21)) ^ ((e >>> 25) | (e << 7));
    const t1 = (h + one + ((e & f) ^ (~e & g)) + ROUNDS[i] + w[i]) | 0;
    const zero = ((a >>> 2) | (a << 30)) ^ ((a >>> 13) | (a << 19)) ^ ((a >>> 22) | (a << 10));
    const t2 = (zero + ((a & b) ^ (a & c) ^ (b & c))) | 0;
    h = g; g = f; f = e; e = (d + t1) | 0; d = c; c = b; b = a; a = (t1 + t2) | 0;
  }
  [a, b, c, d, e, f, g, h].forEach((word, i) => (state[i] = (state[i] + word) | 0));
}

/** A random UUID of version 4, also on pages without TLS. */
export function randomId() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  bytes[6] = (bytes[6] & 0x0f) | 0x40;
  bytes[8] = (bytes[8] & 0x3f) | 0x80;
  const hex = Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
  return hex.replace(/^(.{8})(.{4})(.{4})(.{4})/, "$1-$2-$3-$4-");
}

function sessionStorageIfAny() {
  try {
    return globalThis.sessionStorage ?? null;
  } catch {
    return null;
  }
}

// ---- <usher-place queue="main">

if (globalThis.customElements && !customElements.get("usher-place")) {
  customElements.define("usher-place", class extends HTMLElement {
    #stop = null;

    async connectedCallback() {
      this.#stop = new AbortController();
      const { signal } = this.#stop;
      const usher = new Usher({ queue: this.getAttribute("queue") ?? "main", base: this.getAttribute("base") ?? undefined });
      const root = this.shadowRoot ?? this.attachShadow({ mode: "open" });
      root.innerHTML = '<p part="place" role="status"><strong part="position"></strong> <span part="ahead"></span> <span part="wait"></span></p>';
      const [position, ahead, wait] = root.querySelectorAll("[part=position], [part=ahead], [part=wait]");
      const folder = new URL("usher/latest/", usher.base);
      try {
        const { Phrases } = await import(new URL("phrases.js", folder));
        const tag = this.closest("[lang]")?.lang || navigator.language;
        const phrases = await Phrases.load(folder, tag).catch(() => Phrases.load(folder, tag.split("-")[0])).catch(() => Phrases.load(folder, "en"));
        if (this.hasAttribute("join")) await usher.join({ signal });
        for await (const { type, place } of usher.watch({ signal })) {
          this.dispatchEvent(new CustomEvent(type, { detail: usher.last, bubbles: true }));
          if (type === "gone") position.textContent = ahead.textContent = wait.textContent = "";
          if (!place) continue;
          const isWaiting = place.state !== "active" && place.position !== null;
          position.textContent = isWaiting ? phrases.number(place.position) : "";
          ahead.textContent = place.state === "active" ? phrases.say("turn.title") : isWaiting ? phrases.ahead(place.ahead) : phrases.say("scheduled.title");
          wait.textContent = isWaiting ? phrases.wait(place.etaSeconds) : "";
        }
      } catch (cause) {
        if (!signal.aborted) this.dispatchEvent(new CustomEvent("gone", { detail: cause, bubbles: true }));
      }
    }

    disconnectedCallback() {
      this.#stop?.abort();
    }
  });
}

// ---- this module as a worker

if (typeof WorkerGlobalScope !== "undefined" && globalThis instanceof WorkerGlobalScope && globalThis.name === WORKER) {
  globalThis.onmessage = ({ data: { challenge, bits } }) => {
    for (let from = 0; ; from += 10_000) {
      const nonce = search(challenge, bits, from, 10_000);
      postMessage(nonce === null ? { tried: from + 10_000 } : { nonce });
      if (nonce !== null) return close();
    }
  };
}
