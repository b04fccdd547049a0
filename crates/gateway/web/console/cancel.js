// The cancellation of a date: asked for twice, followed until everybody has their money, then compared with the books.

import { find, numbers, pause, won } from "./dom.js";

const LOOK_MS = 1_000;

const count = (number, thing) => `${numbers.format(number)} ${thing}${number === 1 ? "" : "s"}`;

/** `books` compares and gives what it found. */
export function cancelling({ ask, tell, sure, books }) {
  /** The one that is followed; an earlier one is left. */
  let turn = 0;

  /** Asks, and gives whether the date is cancelled now. */
  async function cancel(date, name, word) {
    const title = `Cancel ${name}`;
    const words = "Its sale stops at once, holds end, and everybody gets all of their money back. This cannot be undone.";
    const answer = await sure({ title, words, word, act: "Cancel the date", wantsReason: true });
    if (!answer) return false;
    try {
      const { value } = await ask("POST", `admin/schedules/${date.id}/cancellation`, { body: { reason: answer.reason } });
      follow(date, name, value);
      return true;
    } catch (refusal) {
      tell(refusal.message, { isBad: true });
      return false;
    }
  }

  /** Shows how far it has come, until it is done, and then whether the books agree. */
  async function follow(date, name, first = null) {
    const own = ++turn;
    find("cancelling").hidden = false;
    find("cancelling-of").textContent = name;
    for (const place of ["cancelling-said", "cancelling-books"]) say(place, "");
    const isDone = await shownUntilDone(date, first, () => own === turn);
    if (!isDone) return;
    say("cancelling-books", "The books are being compared.");
    const compared = await books().catch(() => null);
    if (own === turn) say("cancelling-books", agreement(compared));
  }

  async function shownUntilDone(date, first, isWanted) {
    let said = first;
    for (;;) {
      if (said) show(said);
      if (said?.state === "done") return true;
      if (said) await pause(LOOK_MS);
      if (!isWanted()) return false;
      try {
        said = (await ask("GET", `admin/schedules/${date.id}/cancellation`)).value;
      } catch (refusal) {
        say("cancelling-said", refusal.message);
        if (refusal.isFinal) return false;
        // Without an answer the date is cancelled all the same, and there may be one soon.
        said = null;
        await pause(LOOK_MS);
      }
      if (!isWanted()) return false;
    }
  }

  function show({ state, reason, requestedBy, done, left }) {
    const bar = find("cancelling-bar");
    const over = done.holdsEnded + done.paymentsRefunded;
    bar.max = Math.max(1, over + left.holds + left.payments);
    bar.value = state === "done" ? bar.max : over;
    const back = `${count(done.paymentsRefunded, "payment")} given back, ${won(done.amountRefunded)}; ${count(done.holdsEnded, "hold")} ended`;
    const rest = state === "done" ? "Everybody has their money" : `${count(left.payments, "payment")} and ${count(left.holds, "hold")} are left`;
    find("cancelling-why").textContent = `${reason} (${requestedBy})`;
    say("cancelling-said", `${rest}: ${back}.`);
  }

  /** What is said again word by word is not read out again. */
  function say(place, words) {
    if (find(place).textContent !== words) find(place).textContent = words;
  }

  function agreement(compared) {
    if (!compared) return "The books could not be compared; see Books.";
    if (compared.clean) return "The books agree: seats, payments, ledger and wallets.";
    return `The books do NOT agree: ${count(compared.differences.length, "difference")}.`;
  }

  /** What is followed no more. */
  function leave() {
    turn += 1;
    find("cancelling").hidden = true;
  }

  return { cancel, follow, leave };
}
