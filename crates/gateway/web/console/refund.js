// Gives a customer's money back: all that is left, some seats, or an amount.

import { once } from "./api.js";
import { element, find, won } from "./dom.js";

/** `after` shows the customer anew. */
export function refunding({ ask, tell, after }) {
  const form = find("refund");
  const money = once(ask);
  /** The payment, and the button that it was chosen by. */
  let chosen = null;
  let isSending = false;

  function open({ reservation, payment, words, from }) {
    money.forget();
    chosen = { payment, from };
    form.reset();
    find("refund-of").textContent = words;
    find("refund-left").textContent = `Paid ${won(payment.amount)}, given back ${won(payment.refundedAmount)}.`;
    form.elements.amount.max = payment.amount - payment.refundedAmount;
    find("refund-seats").replaceChildren(...reservation.seats.map(seat));
    form.hidden = false;
    form.elements.extent[0].focus();
  }

  function seat({ number, grade, price }) {
    const label = element("label", undefined, { class: "choice" });
    const box = element("input", undefined, { type: "checkbox", name: "seat", value: number });
    box.onchange = () => (form.elements.extent.value = "seats");
    label.append(box, `${number} ${grade}, ${won(price)}`);
    return label;
  }

  /** What is asked for; null where nothing is chosen. */
  function part() {
    if (form.elements.extent.value === "rest") return {};
    if (form.elements.extent.value === "amount") return form.elements.amount.value ? { amount: Number(form.elements.amount.value) } : null;
    const seatNumbers = [...form.querySelectorAll("[name=seat]:checked")].map((box) => Number(box.value));
    return seatNumbers.length ? { seatNumbers } : null;
  }

  async function give() {
    const wanted = part();
    if (!wanted) return tell("Choose seats, or say how much.", { isBad: true });
    const { from, payment } = chosen;
    try {
      const back = await money.post(`admin/payments/${payment.id}/refunds`, wanted);
      const free = back.seatNumbers.length ? ` Free again: ${back.seatNumbers.join(", ")}.` : "";
      tell(`${won(back.amount)} given back.${free}`);
    } catch (refusal) {
      return tell(refusal.message, { isBad: true });
    }
    leave();
    await after();
    goBack(from);
  }

  /** To the button that opened the form, or where that is gone to the list that it was in. */
  function goBack(from) {
    const button = [...document.querySelectorAll("#bought-table [data-act]")].find((it) => it.dataset.act === from);
    (button ?? find("bought-table").parentElement).focus();
  }

  function leave() {
    chosen = null;
    form.hidden = true;
    find("refund-seats").replaceChildren();
  }

  form.elements.amount.oninput = () => (form.elements.extent.value = "amount");
  find("refund-no").onclick = () => {
    const { from } = chosen;
    leave();
    goBack(from);
  };
  form.onsubmit = async (submit) => {
    submit.preventDefault();
    if (isSending) return;
    isSending = true;
    await give();
    isSending = false;
  };

  return { open, leave };
}
