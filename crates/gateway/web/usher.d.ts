/** Where a visit stands. */
export interface Place {
  queue: string;
  userId: string;
  state: "waiting" | "active" | "scheduled";
  ticketNumber: number;
  position: number | null;
  ahead: number | null;
  waiting: number;
  etaSeconds: { min: number; max: number } | null;
  paused: boolean;
  message: string | null;
  pollAfterMs: number;
  activeUntil: string | null;
  expiresInSeconds: number | null;
  remaining: number | null;
  outlook: "likely" | "uncertain" | "unlikely" | null;
  /** On `join` alone. */
  token?: string;
  /** The same: until when the token can be used. */
  tokenExpiresAt?: string;
}

/** What `watch` yields. */
export type News =
  | { type: "place" | "active"; place: Place }
  | { type: "paused"; paused: boolean }
  | { type: "message"; message: string | null }
  | { type: "store"; available: boolean; code?: string }
  | { type: "gone"; code: string; detail: string };

/** That a ticket takes part in a draw; docs/LOTTERY.md says how it is checked. */
export interface Proof {
  ticketNumber: number;
  root: string;
  entrants: number;
  path: { side: "left" | "right"; hash: string }[];
  lot: number | null;
}

/** RFC 9457. */
export interface Problem {
  type: string;
  title: string;
  status: number;
  detail: string;
  code: string;
  retryable: boolean;
  requestId: string | null;
  place?: Place;
  [member: string]: unknown;
}

/** A refusal; `status` 0 and `code` `UNREACHABLE` where there was no answer. */
export class UsherError extends Error {
  readonly status: number;
  readonly code: string;
  readonly problem: Problem | null;
  readonly retryAfterMs: number | null;
}

/** It is not this visitor's turn. */
export class NotAdmitted extends UsherError {
  readonly place: Place | null;
}

export interface UsherOptions {
  /** Default `main`. */
  queue?: string;
  /** Where the gateway is; default where this module came from. */
  base?: string | URL;
  /** The identity provider's token, where one is needed to join. */
  identity?: () => string | Promise<string>;
  /** Where a token is kept between loads of the page; `null` keeps it in memory. */
  storage?: Storage | null;
}

export interface FetchOptions extends RequestInit {
  /** Wait in line in place of throwing `NotAdmitted`. */
  wait?: boolean;
  /** How long to repeat; default 30,000. */
  patienceMs?: number;
  /** In place of a random one, for requests that are not safe. */
  idempotencyKey?: string;
}

interface Events {
  place: CustomEvent<{ place: Place }>;
  active: CustomEvent<{ place: Place }>;
  paused: CustomEvent<{ paused: boolean }>;
  message: CustomEvent<{ message: string | null }>;
  store: CustomEvent<{ available: boolean; code?: string }>;
  gone: CustomEvent<{ code: string; detail: string }>;
  /** How much of the proof of work is done, 0 to 1. */
  work: CustomEvent<{ done: number }>;
}

export class Usher extends EventTarget {
  constructor(options?: UsherOptions);
  readonly queue: string;
  readonly base: URL;
  readonly last: Place | null;
  /** Until when the token proves who this visitor is, as it was heard last. */
  readonly provenUntil: Date | null;
  /** Milliseconds since 1970 by the gateway's clock. */
  now(): number;
  join(options?: {
    userId?: string;
    secret?: string;
    /** Shows a challenge by others (Turnstile, hCaptcha, reCAPTCHA) and gives its answer. */
    challenge?: (asked: { siteKey: string }) => Promise<string>;
    signal?: AbortSignal;
  }): Promise<Place>;
  place(options?: { signal?: AbortSignal }): Promise<Place>;
  status(options?: { signal?: AbortSignal }): Promise<Record<string, unknown>>;
  proof(options?: { signal?: AbortSignal }): Promise<Proof>;
  watch(options?: { signal?: AbortSignal }): AsyncGenerator<News, void, undefined>;
  enter(options?: { signal?: AbortSignal }): Promise<Place>;
  leave(options?: { signal?: AbortSignal }): Promise<void>;
  fetch(input: RequestInfo | URL, options?: FetchOptions): Promise<Response>;
  addEventListener<K extends keyof Events>(type: K, listener: (event: Events[K]) => void, options?: AddEventListenerOptions | boolean): void;
}

/** A nonce for a challenge, found in a worker where there is one. */
export function solve(
  work: { challenge: string; bits: number },
  options?: { signal?: AbortSignal; progress?: (done: number) => void },
): Promise<string>;

/** Tries `count` numbers from `from` on as the nonce; `null` where none of them is one. */
export function search(challenge: string, bits: number, from: number, count: number): string | null;

/** SHA-256 as eight 32-bit words. */
export function sha256(bytes: Uint8Array): Int32Array;

/** A random UUID, also on pages without TLS. */
export function randomId(): string;

/** The events of a stream (WHATWG HTML, section 9.2); `alive` is called for every piece. */
export function eventsOf(
  body: ReadableStream<Uint8Array>,
  alive?: () => void,
): AsyncGenerator<{ name: string; data: string; id: string; retry: number }, void, undefined>;

/** The pause after so many failures, in milliseconds: doubles with each, up to half a minute. */
export function backoff(failures: number): number;
