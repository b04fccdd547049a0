// The red button: every queue is paused by its own rules, and goes back to what they were.

/** How often rules are read again that somebody else changes in the same moment. */
const TRIES = 5;

export function holding({ ask }) {
  /** Gives what takes it back, or nothing for a queue whose rules said so before. */
  async function pause(queue, tries = TRIES) {
    const { value: before, tag } = await ask("GET", `queues/${queue}/policy`);
    if (before.state === "paused") return null;
    try {
      const held = await ask("PUT", `queues/${queue}`, { body: { state: "paused" }, headers: { "if-match": tag } });
      return { queue, before, tag: held.tag };
    } catch (refusal) {
      if (refusal.status !== 412 || tries === 1) throw refusal;
      return pause(queue, tries - 1);
    }
  }

  /** What a queue closed or in recovery does by itself is no rule, so it is not written down as one. */
  function release({ queue, before, tag }) {
    const body = { state: before.state, ...(before.opensAt ? { opensAt: before.opensAt } : {}) };
    return ask("PUT", `queues/${queue}`, { body, headers: { "if-match": tag } });
  }

  async function all(acts) {
    const done = await Promise.allSettled(acts);
    const refused = done.filter((it) => it.status === "rejected").map((it) => it.reason);
    return { done: done.map((it) => it.value).filter(Boolean), refused };
  }

  return {
    hold: (queues) => all(queues.map((queue) => pause(queue))),
    release: (held) => all(held.map(release)),
  };
}
