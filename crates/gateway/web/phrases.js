// What is said in the visitor's language. Texts come from the catalogue that the server uses too;
// `Intl` chooses plural forms and writes numbers, and the server follows the same rules.

/** One language: its texts, its plural rule, its numbers. */
export class Phrases {
  constructor(tag, texts) {
    this.tag = tag;
    this.texts = texts;
    this.plural = new Intl.PluralRules(tag);
    this.numbers = new Intl.NumberFormat(`${tag}-u-nu-latn`);
  }

  /** Loads a language from `folder`, the address of the files of the page. */
  static async load(folder, tag) {
    const answer = await fetch(new URL(`text/${tag}.json`, folder));
    if (!answer.ok) throw new Error(`no texts in ${tag}`);
    return new Phrases(tag, await answer.json());
  }

  number(value) {
    return this.numbers.format(value);
  }

  say(key, values = {}) {
    return fill(this.texts[key] ?? "", values);
  }

  /** The form that `count` needs, with it in place of `{n}`. */
  count(key, count, values = {}) {
    const forms = this.texts[key] ?? {};
    const form = forms[this.plural.select(count)] ?? forms.other ?? "";
    return fill(form, { n: this.number(count), ...values });
  }

  ahead(ahead) {
    return ahead === 0 ? this.say("next") : this.count("ahead", ahead);
  }

  /** Whether something will be left, with about how much is left for how many; null where nobody knows. */
  outlook({ remaining, outlook, ahead }) {
    if (!remaining || !outlook) return null;
    const left = this.count("left", remaining);
    const figures = ahead === 0 ? this.say("left.next", { left }) : this.count("left.ahead", ahead, { left });
    return ["unlikely", "uncertain"].includes(outlook) ? `${this.say(outlook)} ${figures}` : figures;
  }

  /** A range of seconds in words that promise no more than is known. */
  wait(eta) {
    if (!eta) return this.say("wait.unknown");
    if (eta.max < 60) return this.say("wait.moment");
    const inHours = eta.max > 90 * 60;
    const [unit, name] = inHours ? [3600, "wait.hours"] : [60, "wait.minutes"];
    const [from, to] = [Math.floor(eta.min / unit), Math.ceil(eta.max / unit)];
    if (from < 1 || from >= to) return this.count(name, to);
    return this.count(`${name}.range`, to, { from: this.number(from) });
  }

  /** An instant as this visitor writes it, with the day where it is not today. */
  instant(date) {
    const isToday = date.toDateString() === new Date().toDateString();
    const form = isToday ? { timeStyle: "short" } : { dateStyle: "medium", timeStyle: "short" };
    return new Intl.DateTimeFormat(`${this.tag}-u-nu-latn`, form).format(date);
  }
}

/** Seconds as a clock shows them: `4:05`, `1:00:00`, `2:03:00:00` with days. */
export function clock(seconds) {
  const whole = Math.max(0, Math.ceil(seconds));
  const parts = [Math.floor(whole / 86400), Math.floor(whole / 3600) % 24, Math.floor(whole / 60) % 60, whole % 60];
  while (parts.length > 2 && parts[0] === 0) parts.shift();
  return parts.map((part, at) => (at ? String(part).padStart(2, "0") : String(part))).join(":");
}

function fill(text, values) {
  return text.replace(/\{(\w+)\}/g, (whole, name) => values[name] ?? whole);
}
