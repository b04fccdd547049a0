// Asks twice before what cannot be taken back: one types what it is about.

import { find } from "./dom.js";

/** Gives a function that asks. It gives the reason that was filled in, or null where nothing is to be done. */
export function asksTwice() {
  const dialog = find("sure");
  const form = dialog.querySelector("form");
  const { typed, reason } = form.elements;
  const go = find("sure-go");

  typed.oninput = () => (go.disabled = typed.value.trim() !== find("sure-word").textContent);
  find("sure-no").onclick = () => dialog.close("no");
  form.onsubmit = (submit) => {
    submit.preventDefault();
    dialog.close("yes");
  };

  return function sure({ title, words, word, act, wantsReason = false }) {
    find("sure-title").textContent = title;
    find("sure-words").textContent = words;
    find("sure-word").textContent = word;
    go.textContent = act;
    form.reset();
    go.disabled = true;
    find("sure-why").hidden = !wantsReason;
    reason.required = wantsReason;
    // The key that closes a dialog answers nothing.
    dialog.returnValue = "no";
    dialog.showModal();
    return new Promise((answer) => {
      dialog.onclose = () => answer(dialog.returnValue === "yes" ? { reason: reason.value.trim() } : null);
    });
  };
}
