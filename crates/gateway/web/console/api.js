// Asks the gateway and the service behind it. The operator's key travels in a header, never in an address.

import { randomId } from "./usher.js";

/** What was answered in place of what was asked for. */
export class Refused extends Error {
  constructor(status, problem) {
    super(problem?.detail ?? `status ${status}`);
    Object.assign(this, { status, code: problem?.code, problem });
  }

  /** Whether it is certain that nothing was done, and that asking again gives the same answer. */
  get isFinal() {
    return this.status < 500 && !this.problem?.retryable;
  }
}

/** `base` is where the gateway's own routes stand; `key` gives the key of the moment. */
export function asking({ base, key }) {
  async function ask(method, path, { body, headers = {}, asText = false } = {}) {
    const all = { accept: "application/json", ...headers };
    if (key()) all.authorization = `Bearer ${key()}`;
    if (body !== undefined) all["content-type"] = "application/json";
    // Queues are the gateway's own; the rest is of the service behind, which stands where it always did.
    const root = path.startsWith("queues") ? base : new URL("/", location.href);
    const answer = await fetch(new URL(`api/v1/${path}`, root), { method, headers: all, body: body && JSON.stringify(body), cache: "no-store", credentials: "omit" });
    const isText = asText && answer.ok;
    const value = answer.status === 204 ? null : isText ? await answer.text() : await answer.json().catch(() => null);
    if (!answer.ok) throw new Refused(answer.status, value);
    return { value, tag: answer.headers.get("etag") };
  }

  /** The same, or null where it is refused. */
  async function maybe(method, path) {
    try {
      return (await ask(method, path)).value;
    } catch (refusal) {
      if (refusal instanceof Refused) return null;
      throw refusal;
    }
  }

  return { ask, maybe };
}

/** Moves money once: what is sent again because no answer came has the key of the first time. */
export function once(ask) {
  let last = null;
  return {
    async post(path, body) {
      const content = JSON.stringify([path, body]);
      if (last?.content !== content) last = { content, key: randomId() };
      try {
        const { value } = await ask("POST", path, { body, headers: { "idempotency-key": last.key } });
        last = null;
        return value;
      } catch (cause) {
        if (cause.isFinal) last = null;
        if (cause instanceof Refused) throw cause;
        throw new Error("No answer came. Press again: it is done once at most.", { cause });
      }
    },
    /** What comes next is another act, whatever it says. */
    forget() {
      last = null;
    },
  };
}
