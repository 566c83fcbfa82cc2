// The cashier's screen: the cart on one side, what to do with it on the other, and a quiet line above that says how things
// stand. Every button shows its key.

import { hold, places, reprint, set } from "../acts.js";
import { addProduct, pay, sums } from "../selling.js";
import { catalogue } from "../shop.js";
import { cart, cashier, dialog, elsewhere, fiscal, held, last, notice, paying, products as shelf, reached, refused, selected, shop, status, unpaired } from "../state.js";
import { LANGUAGES, currency, language, money, named, number, plain, t } from "../texts.js";
import { speak } from "../people.js";
import { computed, html, signal, useLayoutEffect } from "../ui.js";
import { EMPTY_KEYS, Entry, Lines, Sums, entryField } from "./basket.js";
import { Key, useLanguage } from "./parts.js";
import { Done, Pay } from "./pay.js";
import { Dialog } from "./dialogs.js";
import { Paper, onPaper } from "./paper.js";
import { atOffice } from "./places.js";

const clock = signal(Date.now());
setInterval(() => (clock.value = Date.now()), 10_000);

/** The keys of the cart: what they are called, which key they are, what they do. One list for buttons, keyboard and help. */
export const KEYS = [
  { key: "F2", text: "quantity", run: () => open("quantity", { index: selected.value }), needs: "line" },
  { key: "F3", text: "customer", run: () => open("customer") },
  { key: "F4", text: "discount", run: () => open("discount", { index: selected.value }), needs: "line" },
  { key: "F6", text: "hold", run: () => void hold(), needs: "line" },
  { key: "F7", text: "carts", run: () => open("carts"), count: () => held.value.length },
  { key: "F8", text: "refund", run: () => open("refund") },
  { key: "F9", text: "reprint", run: () => void reprint(onPaper) },
  { key: "F10", text: "more", run: () => open("more"), count: () => refused.value.length },
];

function open(kind, more = {}) {
  dialog.value = { kind, ...more };
}

/** What a key of the keyboard does while the cart is in front. */
export function press(event) {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const idle = !dialog.value && !paying.value;
  if (idle && !event.target.closest?.("input, select, textarea")) {
    // the focus is on a button, or nowhere: what is typed is meant for the cart all the same
    if (EMPTY_KEYS[event.key] && !entryField()?.value) {
      event.preventDefault();
      EMPTY_KEYS[event.key]();
      return;
    }
    if (event.key.length === 1 && event.key !== " ") entryField()?.focus();
  }
  const found = KEYS.find((each) => each.key === event.key);
  if (found && idle) {
    event.preventDefault();
    if (found.needs !== "line" || cart.value.lines.length) found.run();
  } else if (event.key === "F12" && idle) {
    event.preventDefault();
    pay();
  } else if (event.key === "F1") {
    event.preventDefault();
    if (!dialog.value) open("help");
  } else if (event.key === "Escape") {
    if (dialog.value) dialog.value.end ? dialog.value.end(null) : (dialog.value = null);
    else if (paying.value) paying.value = null;
    else return;
    event.preventDefault();
  } else if (event.key === "/" && idle && !entryField()?.value) {
    event.preventDefault();
    open("more");
  }
}

export function Till() {
  useLanguage();
  useLayoutEffect(() => {
    if (!dialog.value && !paying.value) entryField()?.focus();
  }, [dialog.value, paying.value, Boolean(shop.value)]);
  if (!shop.value) return html`<main class="wait"><p>${unpaired.value ? html`${t(unpaired.value === "waiting" ? "unpaired_waiting" : "unpaired")} <a href="/pair">${t(unpaired.value === "waiting" ? "how_it_stands" : "pair_again")}</a>` : reached.value === false ? t("never_reached") : ""}</p></main>`;
  return html`<div class="till">
    <${Bar} />
    <main>
      <section class="basket" aria-label=${t("cart")}><${Entry} /><${Offers} /><${CustomerStrip} />${last.value && !cart.value.lines.length ? html`<${Done} />` : html`<${Lines} /><${Sums} />`}</section>
      <section class="side">
        ${paying.value ? html`<${Pay} />` : html`<${Side} />`}
      </section>
    </main>
    <${Notice} />
    <${Dialog} />
    <${Paper} />
  </div>`;
}

function Side() {
  return html`
    <${Favourites} />
    <div class="actions">${KEYS.map((each) => html`<${Key} key=${each.key} hint=${each.key} onPress=${each.run} disabled=${each.needs === "line" && !cart.value.lines.length}>
      ${t(each.text)}${each.count?.() ? html` <span class="count">${number(each.count())}</span>` : ""}<//>`)}</div>
    <button type="button" class="key total" onClick=${() => pay()} disabled=${!cart.value.lines.length} aria-keyshortcuts="F12">
      <span class="key-text"><small>${t("pay")}</small><output>${money(sums.value.payable)}</output></span><span class="hints"><kbd>+</kbd><kbd>F12</kbd></span></button>`;
}

// -- the line above --------------------------------------------------------------------------------------------------

function Bar() {
  const other = LANGUAGES.find((each) => each !== language.value);
  const time = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit", timeZone: currency.value.zone }).format(clock.value);
  return html`<header class="bar">
    <span class="brand"><span class="mark" aria-hidden="true"></span><h1 dir="auto">${shop.value.shop}</h1><span class="tag">${t("till")} ${shop.value.label}</span></span>
    <${Chip} />
    <span class="grow"></span>
    <button type="button" class="quiet-key" onClick=${() => open("signin")}>${cashier.value ? html`<bdi>${cashier.value.name}</bdi>` : t("no_cashier")}</button>
    ${!shop.value.host && html`<a class="quiet-key" href="/owner">${t("owner_page")}</a>`}
    <button type="button" class="quiet-key" lang=${other} onClick=${() => speak(other)}>${t("other_language")}</button>
    <time class="clock">${time}</time>
  </header>`;
}

/** How things stand, in a few quiet words; details a key away. */
function Chip() {
  const { here, till, linked, oldest } = places();
  const words = [];
  let tone = "good";
  if (reached.value === false) {
    words.push(t("chip_alone"));
    tone = "warn";
  } else {
    words.push(linked ? t("chip_linked", { n: linked, count: number(linked) }) : t("chip_by_itself"));
  }
  if (here) words.push(t("chip_here", { n: here, count: number(here) }) + age(oldest));
  if (till && reached.value !== false && status.value.peers.length) words.push(t(atOffice() ? "chip_office" : "chip_till", { n: till, count: number(till) }));
  const filing = fiscal.value?.on ? fiscal.value.counts : null;
  const unfiled = filing ? filing.queued + filing.sending + filing.unknown + filing.rejected : 0;
  if (unfiled) words.push(t("chip_fiscal", { n: unfiled, count: number(unfiled) }) + age(fiscal.value.oldest));
  if (unpaired.value) {
    words.unshift(t(unpaired.value === "waiting" ? "chip_waiting" : "chip_unpaired"));
    tone = "bad";
  }
  if (refused.value.length || elsewhere.value) {
    words.unshift(t("chip_refused", { n: refused.value.length, count: number(refused.value.length) }));
    tone = "bad";
  }
  const alarms = status.value?.alarms?.length ?? 0;
  return html`<button type="button" class=${`chip ${tone}`} onClick=${() => open("state")} aria-label=${`${t("state")}: ${words.join(", ")}`}>
    <span class="dot" aria-hidden="true"></span>${words.join(" · ")}${alarms > 0 && html` <span class="count">${number(alarms)}</span>`}</button>`;
}

/** How long something waits, once that is worth a word. */
function age(since) {
  const minutes = since ? Math.floor((clock.value - Date.parse(since)) / 60_000) : 0;
  if (minutes < 2) return "";
  const [key, n] = minutes < 120 ? ["minutes", minutes] : minutes < 2880 ? ["hours", Math.floor(minutes / 60)] : ["days", Math.floor(minutes / 1440)];
  return ` (${t(key, { n, count: number(n) })})`;
}

/** What the shop has not settled yet, or the till cannot know by itself: asked for quietly, beside the cart. */
function Offers() {
  if (reached.value !== true || cart.value.lines.length || last.value) return null;
  if (status.value?.clock === "suspect" && !shop.value.host) {
    return html`<div class="offer warn" role="status"><span>${t("clock_suspect")}</span><${Key} onPress=${() => open("clock")}>${t("which_day")}<//></div>`;
  }
  const { currency: code, settings, manager } = shop.value;
  if (code !== "PKR" || !manager || settings.rounding !== null) return null;
  return html`<div class="offer" role="group" aria-label=${t("offer_rounding")}><span>${t("offer_rounding")}</span>${[100, 500, 1000, 0].map(
    (unit) => html`<${Key} key=${unit} onPress=${() => void set("rounding", unit)}>${unit ? money(unit) : t("no_rounding")}<//>`,
  )}</div>`;
}

function CustomerStrip() {
  const { customer } = cart.value;
  if (!customer) return null;
  const owes = customer.balance?.account ?? 0;
  return html`<p class="customer"><b><bdi>${customer.name}</bdi></b> <span class="quiet" dir="ltr">${customer.phone ?? ""}</span>${owes !== 0 && html` <span class="tag">${t("owes", { amount: money(owes) })}</span>`}</p>`;
}

function Notice() {
  return html`<div class="notice-place" aria-live="assertive">${notice.value && html`<p class=${`notice ${notice.value.tone}`} role="status">${notice.value.text}</p>`}</div>`;
}

// -- keys for goods --------------------------------------------------------------------------------------------------

const favourites = computed(() => {
  void shelf.value; // worked out anew when the catalogue moves
  return catalogue.favourites();
});

function Favourites() {
  if (!favourites.value.length) return html`<div class="favourites none"><p class="quiet">${t("no_favourites")}</p></div>`;
  return html`<div class="favourites" role="group" aria-label=${t("favourites")}>${favourites.value.slice(0, 60).map(
    (product) => html`<button type="button" class="good-key" key=${product.sku} onClick=${() => { addProduct(product); entryField()?.focus(); }}><bdi>${named(product)}</bdi><b>${plain(product.price)}</b></button>`,
  )}</div>`;
}
