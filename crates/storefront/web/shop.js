// What every page of the shop shares: who visits, how it asks, and what it says.

import { Usher, NotAdmitted, UsherError } from "/usher.js";

export { NotAdmitted, UsherError };

const TEXTS = {
  en: {
    mine: "My tickets", about: "A demonstration. No ticket here is real.", tonight: "On sale now", buy: "Get tickets", stage: "STAGE",
    dates: "Dates", map: "Seat map: arrow keys move, space chooses", closer: "Closer", farther: "Farther", choose: "Choose your seats", sum: "Total",
    hold: "Hold these seats", how_many: "How many", best: "Best together", as_list: "Seats as a list", held: "Held for you", balance: "Your balance",
    pay: "Pay", give_back: "Give back", none: "Nothing yet.", free: "free", held_state: "held", sold: "sold", blocked: "not for sale", yours: "yours",
    seat: "Seat {n}, {grade}, {price}, {state}", seats_left: "{n} of {all} left", charge: "Charge {amount}", most: "At most four seats.",
    faster: "Somebody was faster: seat {n} is gone. We chose the next best for you.", faster_none: "Somebody was faster, and nothing like it is left.",
    over: "Your time inside is over. What you hold can still be paid.", again: "Join the line again", expired: "The hold has ended; the seats are free again.",
    paid: "Paid. Here is your ticket.", confirmed: "Paid", held_ticket: "Held", refunded: "Refunded", cancelled: "Given back", expired_state: "Ended",
    refund: "Refund", go_on: "Go on paying", code: "Show this at the door", lost: "No answer yet; asking again with the same key.", other: "한국어", inside: "{time} left inside",
  },
  ko: {
    mine: "내 티켓", about: "데모입니다. 실제 티켓이 아닙니다.", tonight: "지금 예매 중", buy: "예매하기", stage: "무대",
    dates: "날짜", map: "좌석 배치도: 화살표로 이동, 스페이스로 선택", closer: "확대", farther: "축소", choose: "좌석을 선택하세요", sum: "합계",
    hold: "이 좌석 잡기", how_many: "매수", best: "나란히 좋은 자리", as_list: "좌석 목록", held: "좌석을 잡았습니다", balance: "내 잔액",
    pay: "결제하기", give_back: "좌석 반납", none: "아직 없습니다.", free: "예매 가능", held_state: "선점됨", sold: "판매됨", blocked: "판매하지 않음", yours: "내 좌석",
    seat: "{n}번 좌석, {grade}, {price}, {state}", seats_left: "{all}석 중 {n}석 남음", charge: "{amount} 충전", most: "최대 네 좌석까지입니다.",
    faster: "다른 분이 {n}번 좌석을 먼저 잡았습니다. 다음으로 좋은 자리를 골라 두었습니다.", faster_none: "다른 분이 먼저 잡았고 비슷한 자리가 남아 있지 않습니다.",
    over: "이용 시간이 끝났습니다. 잡아 둔 좌석은 아직 결제할 수 있습니다.", again: "다시 줄 서기", expired: "선점 시간이 끝나 좌석이 풀렸습니다.",
    paid: "결제되었습니다. 티켓입니다.", confirmed: "결제 완료", held_ticket: "선점 중", refunded: "환불됨", cancelled: "반납됨", expired_state: "만료됨",
    refund: "환불", go_on: "이어서 결제", code: "입구에서 보여 주세요", lost: "응답이 없어 같은 키로 다시 요청합니다.", other: "English", inside: "이용 시간 {time} 남음",
  },
};

export const language = localStorage.getItem("shop:language") ?? (navigator.language.startsWith("ko") ? "ko" : "en");
const money = new Intl.NumberFormat(language, { style: "currency", currency: "KRW" });
const moment = new Intl.DateTimeFormat(language, { dateStyle: "full", timeStyle: "short" });
export const number = new Intl.NumberFormat(language);
export const won = (amount) => money.format(amount);
export const when = (text) => moment.format(new Date(text));
export const find = (id) => document.getElementById(id);

export function say(key, values = {}) {
  return (TEXTS[language][key] ?? key).replace(/\{(\w+)\}/g, (whole, name) => values[name] ?? whole);
}

/** Puts the words of the language into the page, and the switch to the other. */
export function speak() {
  document.documentElement.lang = language;
  for (const element of document.querySelectorAll("[data-say]")) element.textContent = say(element.dataset.say);
  for (const element of document.querySelectorAll("[data-label]")) element.setAttribute("aria-label", say(element.dataset.label));
  const button = document.querySelector("[data-language]");
  button.textContent = say("other");
  button.onclick = () => {
    localStorage.setItem("shop:language", language === "ko" ? "en" : "ko");
    location.reload();
  };
}

export const usher = new Usher({ queue: document.documentElement.dataset.queue ?? "main", base: new URL("/", location.href) });

/** Asks the service; gives the value, or throws the refusal. */
export async function ask(path, { json, ...init } = {}) {
  const body = json && { body: JSON.stringify(json), headers: { "content-type": "application/json", ...init.headers } };
  const answer = await usher.fetch(`/api/v1/${path}`, { ...init, ...body });
  if (answer.status === 204 || answer.status === 304) return null;
  const value = await answer.json().catch(() => null);
  if (!answer.ok) throw new UsherError(answer.status, value, null);
  return value;
}

/** Who this visitor is, as the gateway knows them. */
export async function visitor() {
  if (usher.last) return usher.last.userId;
  try {
    const place = await usher.place();
    localStorage.setItem("shop:user", place.userId);
    return place.userId;
  } catch (refusal) {
    const known = localStorage.getItem("shop:user");
    if (known && refusal.code === "TOKEN_EXPIRED") return known;
    throw refusal;
  }
}

export function element(name, text, attributes = {}) {
  const made = document.createElement(name);
  if (text !== undefined) made.textContent = text;
  for (const [attribute, value] of Object.entries(attributes)) made.setAttribute(attribute, value);
  return made;
}

export function clock(ms) {
  const seconds = Math.max(0, Math.ceil(ms / 1_000));
  return `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, "0")}`;
}
