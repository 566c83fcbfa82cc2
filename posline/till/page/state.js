// What the page knows, as signals: views read them, and only the modules named beside each change them.

import { computed, signal } from "./ui.js";

// shop.js
export const shop = signal(null); // GET /api/shop, or what was kept of it: who the till is, settings, cashiers
export const products = signal({ size: 0, complete: false }); // how much of the catalogue is here
export const customers = signal([]);

// live.js
export const reached = signal(null); // whether the till process answers; null before it was asked
export const status = signal(null); // GET /api/status
export const elsewhere = signal(null); // another till answers at this address: {label, shop}
export const unpaired = signal(false); // "removed": this device's host does not know it any more; "waiting": its shop has not let it in yet
export const day = signal(null); // the day report of today, for the owner's page
export const fiscal = signal(null); // GET /api/fiscal, where sales are filed
export const printer = signal(null); // GET /api/print, where there is one

// outbox
export const waits = signal(0); // how many records are on this browser's disk alone
export const waiting = signal([]); // ... the first of them, and those that need a person
export const refused = computed(() => waiting.value.filter((record) => record.refused));
export const held = signal([]); // carts that wait at all tills

// selling.js
export const cart = signal(null);
export const last = signal(null); // the sale that was just rung: {id, request, sums, at, answer?}
export const sales = signal([]); // the last sales, newest first, as the till answers them
export const selected = signal(-1); // the line that keys act on
export const autoPrint = signal(false); // whether this browser prints each sale, where the till has no printer

// people.js
export const cashier = signal(null); // {name, role, proven}

// views
export const dialog = signal(null); // {kind, ...} of what stands before the cart; null: the cart itself
export const paying = signal(null); // {kind, tenders: [...]} while somebody pays
export const notice = signal(null); // {tone: "good" | "warn" | "bad", text}

/** Minor digits of the shop's currency. */
export const digits = computed(() => shop.value?.minor_digits ?? 2);

/** What decides on prices, as core/pricing.js asks it. */
export const terms = computed(() => ({
  classes: shop.value?.classes ?? {},
  day: shop.value?.day ?? "9999-12-31",
  tax_by_receipt: shop.value?.tax_by_receipt ?? false,
  cash_unit: shop.value?.cash_unit ?? 0,
}));

let clearing = 0;

/** Say something in passing. It takes no key and no click to go on. */
export function say(tone, text, ms = 6000) {
  const said = { tone, text, n: ++clearing };
  notice.value = said;
  setTimeout(() => {
    if (notice.value?.n === said.n) notice.value = null;
  }, ms);
}
