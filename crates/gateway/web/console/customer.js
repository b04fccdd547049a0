// What one customer has, and what the desk does for them.

import { once } from "./api.js";
import { element, fillTable, find, moments, numbers, offerMore, save, showList, won } from "./dom.js";
import { refunding } from "./refund.js";

/** Lines of one page of a list. */
const LINES = 20;

const seatsOf = (seats) => seats.map(({ number, grade }) => `${number} ${grade}`).join(", ");

/** Gives what shows a customer by id. `sure` asks twice. */
export function serving({ ask, tell, sure }) {
  /** Whose things are shown. */
  let shown = null;
  const money = once(ask);
  const path = () => `admin/users/${shown}`;
  const refund = refunding({ ask, tell, after: again });
  const ledger = paged("ledger", drawLedger);
  const reservations = paged("bought", drawReservations);

  /** A list that grows page by page; what was asked for of somebody else is not drawn. */
  function paged(name, draw) {
    const list = name === "bought" ? "reservations" : name;
    return async function load(cursor = null, before = []) {
      const whose = shown;
      const { value } = await ask("GET", `${path()}/${list}?limit=${LINES}${cursor ? `&cursor=${encodeURIComponent(cursor)}` : ""}`);
      if (whose !== shown) return;
      const items = [...before, ...value.items];
      await draw(items);
      if (whose !== shown) return;
      const table = find(`${name}-table`);
      offerMore(find(`${name}-more`), value.nextCursor, table.parentElement, () => told(() => load(value.nextCursor, items)));
    };
  }

  function drawLedger(items) {
    const columns = ["createdAt", "cause", "amount", "reason", "by", "referenceId"];
    fillTable(find("ledger-table"), columns, items.map((it) => [moments.format(new Date(it.createdAt)), it.cause.replace("_", " "), ...columns.slice(2).map((name) => it[name])]));
  }

  async function drawReservations(items) {
    const [whose, payments] = [shown, await paymentsOf(items)];
    if (whose !== shown) return;
    const rows = items.map((it) => {
      const payment = payments.get(it.id);
      return [moments.format(new Date(it.createdAt)), seatsOf(it.seats), it.state, it.amount, payment?.state.replace("_", " "), payment?.refundedAmount, refundOf(it, payment), it.scheduleId, it.id, it.paymentId];
    });
    fillTable(find("bought-table"), ["createdAt", "seats", "state", "amount", "payment", "givenBack", "refund", "date", "reservation", "paymentId"], rows);
  }

  /** Their payments by reservation, asked for date by date: a customer has few of each. */
  async function paymentsOf(items) {
    const dates = new Set(items.filter((it) => it.paymentId).map((it) => it.scheduleId));
    const pages = await Promise.all([...dates].map((date) => ask("GET", `admin/schedules/${date}/payments?limit=200&userId=${shown}`)));
    return new Map(pages.flatMap(({ value }) => value.items).map((it) => [it.reservationId, it]));
  }

  function refundOf(reservation, payment) {
    if (!payment || payment.refundedAmount >= payment.amount) return null;
    const words = `seats ${reservation.seats.map(({ number }) => number).join(", ")}`;
    const made = element("button", "Refund", { "aria-label": `Refund, ${words}`, "data-act": `refund:${payment.id}` });
    made.onclick = () => refund.open({ reservation, payment, words, from: made.dataset.act });
    return made;
  }

  async function balance() {
    const { value } = await ask("GET", `${path()}/balance`);
    showList("customer-figures", [["In the wallet", won(value.balance)]]);
  }

  const say = (words) => (find("customer-said").textContent = words);

  /** By id, of the person or, where nobody knows any more who it is, of the subject. */
  async function open(id) {
    leave();
    shown = id;
    find("customer-form").elements.userId.value = id;
    find("customer-name").textContent = id;
    try {
      // One refusal is told once.
      await balance();
      await Promise.all([ledger(), reservations()]);
      if (shown !== id) return;
      find("customer-shown").hidden = false;
      say("What this customer has is shown below.");
    } catch (refusal) {
      if (shown !== id) return;
      leave(refusal.message);
      find("customer-form").elements.userId.value = id;
    }
  }

  /** The same customer, as things are now. */
  async function again() {
    await told(() => Promise.all([balance(), ledger(), reservations()]));
  }

  async function told(act) {
    try {
      await act();
    } catch (refusal) {
      const { claims } = refusal.problem ?? {};
      tell([refusal.message, claims && `It is: ${claims.join(", ")}.`].filter(Boolean).join(" "), { isBad: true });
    }
  }

  /** Nobody is shown any more, and nothing of theirs is left in the page. */
  function leave(words = "") {
    shown = null;
    money.forget();
    refund.leave();
    find("customer-shown").hidden = true;
    find("customer-form").reset();
    find("money").reset();
    for (const place of ["customer-name", "customer-figures", "ledger-table", "bought-table"]) find(place).replaceChildren();
    say(words);
  }

  async function move(route) {
    const { amount, reason } = find("money").elements;
    const body = { amount: Number(amount.value), reason: reason.value.trim() };
    if (!body.reason) return tell("Say why: it is in the ledger with the money.", { isBad: true });
    const { balance: now } = await money.post(`${path()}/${route}`, body);
    tell(`${won(body.amount)} ${route === "credits" ? "given" : "put right"}; in the wallet are ${numbers.format(now)}.`);
    find("money").reset();
    await again();
  }

  async function forget() {
    const word = shown.split("-").at(-1);
    const words = "Nobody will be able to tell whose reservations, payments and ledger these are. They stay in the books under an id of their own. This cannot be undone.";
    const answer = await sure({ title: `Forget customer ${shown}`, words, word, act: "Forget" });
    if (!answer) return;
    await ask("DELETE", path());
    leave("Forgotten: nobody can tell any more who it was.");
    find("customer-form").elements.userId.focus();
  }

  find("customer-form").onsubmit = (submit) => {
    submit.preventDefault();
    return open(submit.target.elements.userId.value.trim().toLowerCase());
  };
  let isSending = false;
  find("money").onsubmit = async (submit) => {
    submit.preventDefault();
    if (isSending) return;
    isSending = true;
    await told(() => move(submit.submitter?.value || "credits"));
    isSending = false;
  };
  find("customer-export").onclick = () => told(async () => {
    const id = shown;
    const { value } = await ask("GET", path());
    save(`customer-${id}.json`, "application/json", JSON.stringify(value, null, 2));
    tell("Kept as a file: all that booking has of this customer.");
  });
  find("customer-forget").onclick = () => told(forget);

  return { open, leave };
}
