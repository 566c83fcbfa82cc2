// Whatever else a cashier does: refunds, shifts, cash, customers, carts that wait, printing. Each is asked of the till at
// once, so that its no is heard while the customer stands there; where the till gives no answer it goes into the outbox
// under the same id, and is done when the till is back.

import { Refused, Unreached, ask, complain, glance, newId, now } from "./calls.js";
import { cartOf, saleRequest } from "./core/cart.js";
import { approval, lacks } from "./people.js";
import { answered, takeCart, withCart } from "./selling.js";
import { catalogue } from "./shop.js";
import { play } from "./sound.js";
import { cart, cashier, customers, dialog, fiscal, held, last, printer, reached, sales, say, shop, status, waiting, waits } from "./state.js";
import { t } from "./texts.js";

const AT_ONCE = ["print", "drawer", "time", "setting"]; // what is done now or not at all
const LOOK_MS = 200;
let looking = false;
let moved = false;
let outbox = null;
let store = null;

export function beginActs(kept, box) {
  store = kept;
  outbox = box;
}

/**
 * Do something at the till: the answer, or {waits: true} where it is in the outbox. null where it was given up or
 * refused, which has been said. `action` is what the shop's permissions call it.
 */
export async function act(kind, path, fields, { action = null, shown = {}, method = "POST" } = {}) {
  const body = { id: newId(), ...fields };
  if (cashier.value && kind !== "print") body.by = cashier.value.name;
  let approve;
  const least = action && lacks(action);
  if (least) {
    approve = await approval(t("needs_role", { role: t(`role_${least}`) }));
    if (approve === null) return null;
  }
  try {
    return await ask(path, { method, body: approve ? { ...body, approve } : body });
  } catch (error) {
    if (error instanceof Refused) {
      complain(error);
      play("error");
      return null;
    }
  }
  if (AT_ONCE.includes(kind)) {
    complain(new Unreached(t("unreached"))); // tomorrow nobody wants it
    return null;
  }
  return queued({ id: body.id, kind, path, method, body, till: shop.value.till, at: now(), shown }, approve && { approve });
}

async function queued(record, secret) {
  try {
    await outbox.add(record, { secret });
  } catch (error) {
    complain(error);
    play("error");
    return null;
  }
  say("warn", t("waits_for_till"));
  return { id: record.id, waits: true };
}

// -- carts that wait -------------------------------------------------------------------------------------------------

/** Put the open cart aside; it waits at all tills. Whether it does. */
export async function hold(name = "") {
  return Boolean(await withCart(() => putAside(name)));
}

async function putAside(name) {
  if (!cart.value.lines.length) return false;
  const { id: sale, ...asked } = saleRequest(cart.value, null, "");
  const label = name || cart.value.customer?.name || cart.value.lines[0].name.slice(0, 40);
  const done = await act("hold", "/api/holds", { name: label, cart: asked, sale }, { shown: { name: label } });
  if (!done) return false;
  takeCart();
  void (done.waits ? followOutbox() : followHolds());
  say("good", t("held_as", { name: label }));
  return true;
}

export async function followHolds() {
  const found = await glance("/api/holds");
  if (found) {
    held.value = found.holds;
    await store.keep("holds", found.holds).catch(() => {});
  } else {
    const kept = (await store.kept("holds").catch(() => null)) ?? [];
    const records = await store.everything().catch(() => waiting.value);
    const ended = new Set(records.filter((record) => record.kind === "unhold").map((record) => record.path.split("/")[3]));
    const own = records.filter((record) => record.kind === "hold").map(heldHere);
    held.value = [...kept, ...own].filter((each) => !ended.has(each.id));
  }
}

/** A cart that was put aside while the till did not answer. */
function heldHere({ id, at, body }) {
  return { id, at, name: body.name, cart: body.cart, sale: body.sale, label: shop.value.label, by: body.by ?? "" };
}

/** Look what lies in the outbox. While a week's sales leave it, now and then, and not for each of them. */
export async function followOutbox() {
  moved = true;
  if (looking) return;
  looking = true;
  try {
    for (let again = false; moved; again = true) {
      if (again) await new Promise((resolve) => setTimeout(resolve, LOOK_MS));
      moved = false;
      const found = await store.waiting().catch(() => null);
      if (found) [waits.value, waiting.value] = [found.count, found.records];
      if (reached.value === false) await followHolds();
    }
  } finally {
    looking = false;
  }
}

/** Go on with a cart that was put aside, at this till or another. The one that is open is put aside for it. */
export async function recall(waits) {
  if (cart.value.lines.length && !(await hold())) return;
  await withCart(async () => {
    const done = await act("unhold", `/api/holds/${waits.id}/recall`, {});
    held.value = held.value.filter((each) => each.id !== waits.id);
    if (!done) return followHolds();
    const customer = (id) => customers.value.find((each) => each.customer === id);
    return takeCart(cartOf(waits.cart, waits.sale, waits.id, (sku) => catalogue.get(sku), customer));
  });
}

export async function drop(waits) {
  if (await act("unhold", `/api/holds/${waits.id}/drop`, {})) held.value = held.value.filter((each) => each.id !== waits.id);
}

// -- what was sold ---------------------------------------------------------------------------------------------------

/** The sale that a receipt's code, number, reference or id names, with what is left of each line to be taken back:
 * asked of the till, or, while it does not answer, from what this browser kept. null where nobody knows it. */
export async function findSale(code) {
  const wanted = code.trim();
  try {
    const scanned = /^PLR?1:|^R-/i.test(wanted) ? (await ask(`/api/scan?code=${encodeURIComponent(wanted)}`)).receipt : null;
    const sale = await ask(`/api/sales/${encodeURIComponent(scanned?.id ?? wanted)}`);
    const returns = await ask(`/api/sales/${sale.id}/returns`);
    return { ...sale, lines: sale.lines.map((line, index) => ({ ...line, left: returns.lines[index].left })) };
  } catch (error) {
    if (error instanceof Refused) return waitingSale(wanted);
  }
  return (await keptSale(wanted)) ?? waitingSale(wanted);
}

async function keptSale(wanted) {
  const prefix = /^R-/i.test(wanted) ? wanted.slice(2).toLowerCase() : null;
  const found = await store.find((sale) => sale.id === wanted || sale.receipt === wanted.toUpperCase() || (prefix && sale.id.replaceAll("-", "").startsWith(prefix)));
  return found && { ...found, lines: found.lines.map((line) => ({ ...line, left: line.quantity })), unchecked: true };
}

/** A sale that is in this browser's outbox still. */
async function waitingSale(wanted) {
  const prefix = /^R-/i.test(wanted) ? wanted.slice(2).toLowerCase() : null;
  const record = (await store.everything().catch(() => waiting.value)).find((each) => each.kind === "sale" && (each.id === wanted || (prefix && each.id.replaceAll("-", "").startsWith(prefix))));
  if (!record) return null;
  const lines = record.shown.lines.map((line, index) => ({ ...line, line: index + 1, quantity: String(line.quantity / 1000), left: String(line.quantity / 1000), total: 0 }));
  return { id: record.id, receipt: null, at: record.at, total: record.shown.total, lines, tenders: record.body.tenders ?? [], unchecked: true };
}

/** The last sales of the shop, newest first. */
export async function followSales() {
  const found = await glance("/api/sales?order=newest&limit=30");
  if (found) sales.value = found.sales;
  else if (!sales.value.length) sales.value = await store.done(30).catch(() => []);
}

/** News of a sale of any till. */
export function heardSale(sale) {
  const rest = sales.value.filter((each) => each.id !== sale.id);
  const place = sales.value.findIndex((each) => each.id === sale.id);
  sales.value = (place >= 0 ? sales.value.map((each) => (each.id === sale.id ? sale : each)) : [sale, ...rest]).slice(0, 30);
  held.value = held.value.filter((each) => each.sale !== sale.id);
  if (last.value?.id === sale.id) answered(sale.id, sale);
  void store.heard(sale).catch(() => {});
}

/** The lights of the sale that is shown, and of the last ones where those are on the screen. */
export async function followLights() {
  const { durable, id } = last.value?.answer ?? {};
  if (id && !(durable.head_office && durable.tills)) {
    const sale = await glance(`/api/sales/${id}`);
    if (sale) heardSale(sale);
  }
  if (dialog.value?.kind === "sales") await followSales();
}

/** What is to be filed, and how the printer does: asked now and then, where the shop has either. */
export async function followOffice() {
  if (shop.value?.fiscal?.on) fiscal.value = (await glance("/api/fiscal?limit=1")) ?? fiscal.value;
  if ((shop.value?.printer?.state ?? "off") !== "off") printer.value = (await glance("/api/print")) ?? printer.value;
}

/** Decide on a receipt of which it is not known whether it came out: "again" or "drop". */
export async function settleJob(job, what) {
  if (await act("print", "/api/print", { job, do: what }, { action: "reprint" })) await followOffice();
}

/** Settle something for the whole shop. */
export async function set(name, value) {
  return act("setting", `/api/settings/${name}`, { value }, { action: "settings", method: "PUT", shown: { name } });
}

/** Somebody looked at a calendar: this is the time. */
export async function sayTime(time) {
  return act("time", "/api/time", { time }, { action: "settings", shown: { name: time } });
}

// -- paper -----------------------------------------------------------------------------------------------------------

/** Print a receipt once more: by the till's printer, or by the browser where there is none or the till is not running.
 * `paper(what)` puts it on paper by the browser. */
export async function reprint(paper) {
  const shown = last.value;
  const newest = shown ?? sales.value.find((sale) => sale.till === shop.value?.till);
  if (!newest) return;
  const printer = shop.value?.printer?.state ?? "off";
  if (printer === "off" || (shown && !shown.answer)) {
    paper(shown ?? { answer: newest, id: newest.id, at: newest.at });
    return;
  }
  const done = await act("print", "/api/print", { entry: newest.id }, { action: "reprint" });
  if (done) say("good", t("printing"));
}

/** Open the drawer without a sale. */
export async function openDrawer(reason) {
  return act("drawer", "/api/drawer", { reason }, { action: "drawer" });
}

/** How many records lie where, for the quiet line at the top; `oldest` is when the first of those in this browser was
 * rung. */
export function places() {
  const here = waits.value;
  const oldest = waiting.value[0]?.at ?? null;
  const till = status.value?.waiting ?? 0;
  const linked = (status.value?.peers ?? []).filter((peer) => peer.connected).length;
  return { here, till, linked, oldest };
}
