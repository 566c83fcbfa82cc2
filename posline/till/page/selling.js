// The cart and what becomes of it: codes that are typed or scanned, prices, payment, and the moment of a sale.
//
// A sale is confirmed on the screen once it is on this browser's disk, never before, and never waits for anything else.

import { glance, newId, now } from "./calls.js";
import { QUANTITY_MAX, lineOf, newCart, openLine, replaced, saleRequest, withLine } from "./core/cart.js";
import { isReceipt, pricedLine, readLabel, typed } from "./core/codes.js";
import { MAX_MONEY } from "./core/money.js";
import { CASH, price } from "./core/pricing.js";
import { IdTaken, NowhereWritten } from "./outbox.js";
import { catalogue } from "./shop.js";
import { play } from "./sound.js";
import { cart, cashier, dialog, digits, last, paying, say, selected, shop, terms } from "./state.js";
import { t } from "./texts.js";
import { computed } from "./ui.js";

const UNDO_MAX = 50;
const MEASURED = /^(kg|kilo|kilogram|g|gram|l|litre|liter|ml|m|metre|meter|ft|foot|feet|yd|yard|gaz|sq ?ft)s?$/i;
let past = [];
let store = null;
let outbox = null;
let tab = "";
let ringing = false; // or put aside, or taken up: nobody changes the cart
let meanwhile = []; // what was scanned while a cart was on its way: the next one's

/** Everything a cart comes to just now, paid as far as it is. */
export const sums = computed(() => price(cart.value ?? newCart(""), terms.value, paying.value?.tenders ?? []));

/** Begin with the cart that this tab had, or a new one. */
export function beginSelling(kept, box, tabId, opened) {
  store = kept;
  outbox = box;
  tab = tabId;
  cart.value = opened ?? newCart(newId());
  selected.value = cart.value.lines.length - 1;
}

// -- the cart --------------------------------------------------------------------------------------------------------

/** Put another cart in the place of this one; undo gives this one back. */
export function change(next) {
  if (next === cart.value || ringing) return;
  past = [...past.slice(-UNDO_MAX), cart.value];
  put(next);
}

function put(next) {
  cart.value = next;
  selected.value = Math.min(Math.max(selected.value, 0), next.lines.length - 1);
  void store.keepCart(tab, next.lines.length || next.customer ? next : null).catch(() => {});
}

/** Whether a cart is on its way somewhere; then `work` is done with the next one. */
function later(work) {
  if (ringing) meanwhile.push(work);
  return ringing;
}

/** Do what takes a while with the cart as it stands, one thing at a time. */
export async function withCart(work) {
  if (ringing) return undefined;
  ringing = true;
  try {
    return await work();
  } finally {
    ringing = false;
    meanwhile.splice(0).forEach((each) => each());
  }
}

/** Take the last step back. */
export function undo() {
  if (ringing) return;
  const before = past.pop();
  if (before) {
    paying.value = null;
    put(before);
    selected.value = before.lines.length - 1;
    play("undo");
  }
}

/** A line more, whatever is on the screen. */
export function add(line) {
  if (later(() => add(line))) return;
  last.value = null;
  paying.value = null;
  const before = cart.value;
  change(withLine(before, line));
  selected.value = cart.value.lines.length - 1;
  if (cart.value === before) say("warn", t("too_many_lines"));
  else play("added");
}

export function addProduct(product, quantity = null) {
  if (later(() => addProduct(product, quantity))) return;
  const before = cart.value;
  add(lineOf(product, quantity ?? 1000));
  if (cart.value !== before && quantity === null && MEASURED.test(product.unit ?? "")) dialog.value = { kind: "quantity", index: cart.value.lines.length - 1 };
}

/** Something that is in no catalogue. */
export function addOpen({ sku, name, price: amount, quantity = 1000 }) {
  add(openLine(sku || `open-${newId().slice(0, 8)}`, name, amount, quantity));
}

/** Change a line of the cart; null takes it out. */
export function setLine(index, over) {
  const line = cart.value.lines[index];
  if (!line) return;
  change(replaced(cart.value, index, over && { ...line, ...over }));
}

export function setQuantity(index, thousandths) {
  if (thousandths > QUANTITY_MAX) return;
  setLine(index, thousandths > 0 ? { quantity: thousandths } : null);
}

/** Change what is said of the whole cart: its customer, its discount. */
export function setCart(over) {
  change({ ...cart.value, ...over });
}

/** Begin a new sale without this one. */
export function clearCart() {
  if (ringing) return;
  past = [...past.slice(-UNDO_MAX), cart.value];
  paying.value = null;
  put(newCart(newId()));
}

/** Go on with a cart that was put aside; without one, with a new one in the place of one that was put aside, which undo
 * does not bring back: it waits at all tills. */
export function takeCart(held = newCart(newId())) {
  past = [];
  last.value = null;
  paying.value = null;
  put(held);
}

// -- codes -----------------------------------------------------------------------------------------------------------

/**
 * Do what a text says that was scanned, or typed and ended with Enter. Returns what it came to: "line", "receipt",
 * "choose", "quantity" (that waits for what comes next), "unknown" or "nothing".
 */
export function enter(text) {
  const { quantity, code } = typed(text);
  if (!code) return quantity ? "quantity" : "nothing";
  if (isReceipt(code)) {
    dialog.value = { kind: "refund", code };
    return "receipt";
  }
  const found = catalogue.bearing(code);
  if (found.length === 1) return done(() => addProduct(found[0], quantity));
  if (found.length > 1) return choose(found, quantity);
  const label = readLabel(code, shop.value?.scales ?? [], digits.value);
  const weighed = label && label.codes.map((each) => catalogue.bearing(each)).find((products) => products.length);
  if (weighed) return done(() => addWeighed(weighed[0], label, quantity));
  return "unknown";
}

function done(work) {
  dialog.value = null;
  work();
  return "line";
}

function choose(found, quantity) {
  play("ask");
  dialog.value = { kind: "choose", products: found, quantity };
  return "choose";
}

function addWeighed(product, label, times) {
  if (label.amount !== undefined) add(lineOf(product, 1000, pricedLine(label.amount, product.price)));
  else if (label.quantity !== undefined) add(lineOf(product, Math.min(Math.round((label.quantity * (times ?? 1000)) / 1000), QUANTITY_MAX)));
  else addProduct(product);
}

/** A scanned code: as `enter`, with an ear for what went wrong. What is unknown is asked for by name and price. */
export function scanned(code, quantity = null) {
  if (later(() => scanned(code, quantity))) return "nothing";
  const came = enter(quantity ? `${quantity}*${code}` : code);
  if (came === "unknown") {
    play("unknown");
    dialog.value = { kind: "unknown", code: typed(code).code, quantity: typed(quantity ? `${quantity}*` : "").quantity };
  }
  return came;
}

// -- paying ----------------------------------------------------------------------------------------------------------

/** Begin to pay, in cash unless the customer says otherwise. */
export function pay(kind = CASH) {
  if (!cart.value.lines.length) {
    play("ask");
    return;
  }
  dialog.value = null;
  paying.value = { kind, tenders: [] };
}

/** A part by this kind; what is left is asked for next. */
export function addTender(tender) {
  paying.value = { kind: CASH, tenders: [...paying.value.tenders, tender] };
}

/** What is beyond the limits of a cashier in this cart, so that somebody has to approve it; null where nothing is. The
 * till decides again. */
export function beyondLimits() {
  const limits = shop.value?.settings?.limits?.[cashier.value?.proven ? cashier.value.role : "cashier"];
  if (!limits) return null;
  const { lines } = cart.value;
  const result = sums.value;
  if (limits.discount_percent !== undefined) {
    const most = Number(limits.discount_percent);
    const over = (off, gross) => off * 100 >= gross * most + 100;
    if (over(result.discount, result.subtotal) || result.lines.some((line) => over(line.discount, line.gross))) return "limit_discount";
  }
  if (limits.lower_price === false && lines.some((line) => !line.open && line.price < line.listed)) return "limit_price";
  if (limits.open_items === false && lines.some((line) => line.open)) return "limit_open";
  return null;
}

/**
 * The moment of the sale: `tenders` null is exact cash. Confirmed once it is on a disk. With a limit exceeded somebody
 * has to approve it; where the till cannot be asked, the sale goes through and waits for approval afterwards.
 */
export async function ring(tenders, approve = null) {
  if (!cart.value.lines.length || !shop.value) return false;
  return (await withCart(() => record(tenders, approve))) ?? false;
}

async function record(tenders, approve) {
  const at = now();
  const settled = price(cart.value, terms.value, tenders ?? []);
  if (settled.total > MAX_MONEY || settled.lines.some((line) => line.tax > MAX_MONEY)) {
    play("error");
    say("bad", t("too_much"));
    return false;
  }
  const request = saleRequest(cart.value, tenders, cashier.value?.name ?? "");
  const sale = { id: request.id, kind: "sale", path: "/api/sales", body: request, till: shop.value.till, at };
  const shown = { id: request.id, at, cart: cart.value, sums: settled, tenders, customer: cart.value.customer, by: request.by ?? "" };
  sale.shown = { total: settled.total, lines: cart.value.lines.map(({ name, name_ur, sku, quantity, price: each, discount }) => ({ name, name_ur, sku, quantity, price: each, discount })) };
  try {
    const where = await outbox.add(sale, { cartOf: tab, secret: approve && { approve } });
    rung(shown, where);
    return true;
  } catch (error) {
    if (error instanceof IdTaken) {
      put({ ...cart.value, sale: newId() }); // two carts were to be one sale, and have become two
      return record(tenders, approve);
    }
    if (!(error instanceof NowhereWritten)) throw error;
    play("error");
    dialog.value = { kind: "full", detail: error.message };
    return false;
  }
}

/** A cart that came back after a crash may have been sold just before it: the till knows, by its id. */
export async function forgetSold() {
  const { sale, lines } = cart.value;
  if (!lines.length || !(await glance(`/api/sales/${sale}`))) return;
  if (cart.value.sale === sale && !ringing) {
    past = [];
    put(newCart(newId()));
  }
}

function rung(shown, where) {
  past = [];
  if (where === "till") void store.keepCart(tab, null).catch(() => {}); // no room to say both in one
  // the till may have answered while the disk's own answer was on its way here
  last.value = { ...shown, where, answer: answers.get(shown.id) ?? null };
  paying.value = null;
  dialog.value = null;
  cart.value = newCart(newId());
  selected.value = -1;
  play("paid");
}

const answers = new Map(); // of the last few sales, by id

/** The till said what a sale came to. */
export function answered(id, answer) {
  answers.set(id, answer);
  if (answers.size > 20) answers.delete(answers.keys().next().value);
  if (last.value?.id === id) last.value = { ...last.value, where: "till", answer };
}
