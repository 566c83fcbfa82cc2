// The open cart: what was scanned so far, as plain data that is never changed in place, so that undo is the cart before,
// and what is written down while somebody types is always a whole one. Becomes the body of POST /api/sales.

import { formatQuantity, lineTotal } from "./money.js";
import { reduction } from "./pricing.js";

export const LINES_MAX = 500;
export const QUANTITY_MAX = 999_999_999; // thousandths

/** A new cart. Its `sale` is the id under which it will be recorded, made before anything is asked of the till. */
export function newCart(id) {
  return { sale: id, lines: [], customer: null, discount: 0, discount_percent: "", discount_reason: "", hold: null };
}

/** What a line keeps of a product, so that a price that changes in the middle of a sale does not change the sale. */
export function lineOf(product, quantity, over = {}) {
  return {
    sku: product.sku, name: product.name, name_ur: product.name_ur ?? "", unit: product.unit ?? "",
    quantity, price: product.price, listed: product.price,
    tax: product.tax || (product.third_schedule ? "third_schedule" : ""), rate: product.tax_rate ?? null,
    mrp: product.mrp ?? null, printed: product.third_schedule === true,
    discount: 0, discount_percent: "", reason: "", open: false,
    ...over,
  };
}

/** A line for something that is in no catalogue. */
export function openLine(sku, name, price, quantity) {
  return { ...lineOf({ sku, name, price }, quantity), open: true };
}

/** The cart with a line more; the same goods at the same price, scanned again straight away, are counted up. */
export function withLine(cart, line) {
  const last = cart.lines.at(-1);
  if (last && same(last, line) && last.quantity + line.quantity <= QUANTITY_MAX) {
    return replaced(cart, cart.lines.length - 1, { ...last, quantity: last.quantity + line.quantity });
  }
  return cart.lines.length >= LINES_MAX ? cart : { ...cart, lines: [...cart.lines, line] };
}

function same(a, b) {
  const plain = (line) => !line.discount && !line.discount_percent && line.quantity % 1000 === 0;
  return a.sku === b.sku && a.price === b.price && a.name === b.name && plain(a) && plain(b);
}

/** The cart with another line in this place; null takes it out. */
export function replaced(cart, index, line) {
  const lines = line ? cart.lines.with(index, line) : cart.lines.toSpliced(index, 1);
  return { ...cart, lines };
}

/** The body of POST /api/sales, with every price resolved. `tenders` null is exact cash. */
export function saleRequest(cart, tenders, by) {
  const body = { id: cart.sale, lines: cart.lines.map(requestLine) };
  if (tenders) body.tenders = tenders.map(({ kind, amount, reference }) => (reference ? { kind, amount, reference } : { kind, amount }));
  if (by) body.by = by;
  if (cart.customer) body.customer = cart.customer.id;
  if (cart.discount_percent) body.discount_percent = cart.discount_percent;
  else if (cart.discount) body.discount = reduction(cart, cart.lines.reduce((sum, line) => sum + costOf(line), 0));
  if (cart.discount_reason) body.discount_reason = cart.discount_reason;
  if (cart.hold) body.hold = cart.hold;
  return body;
}

function costOf(line) {
  const gross = lineTotal(line.price, line.quantity);
  return gross - reduction(line, gross);
}

function requestLine(line) {
  const made = { sku: line.sku, quantity: formatQuantity(line.quantity), price: line.price };
  if (line.open) made.name = line.name;
  if (line.discount_percent) made.discount_percent = line.discount_percent;
  else if (line.discount) made.discount = reduction(line, lineTotal(line.price, line.quantity));
  if (line.reason) made.reason = line.reason;
  return made;
}

/** A cart from what `saleRequest` made of it, put aside by this page or another program. `product(sku)` and
 * `customer(id)` look up what it names. */
export function cartOf(request, id, hold, product, customer) {
  const lines = (request.lines ?? []).map((asked) => {
    const known = product(asked.sku);
    const quantity = Math.round(Number(asked.quantity) * 1000) || 1000;
    const over = { discount: asked.discount ?? 0, discount_percent: String(asked.discount_percent ?? ""), reason: asked.reason ?? "" };
    if (!known) return { ...openLine(asked.sku, asked.name ?? asked.sku, asked.price ?? 0, quantity), ...over };
    return lineOf(known, quantity, { ...over, price: asked.price ?? known.price });
  });
  const whole = { discount: request.discount ?? 0, discount_percent: String(request.discount_percent ?? ""), discount_reason: request.discount_reason ?? "" };
  const named = request.customer ? (customer(request.customer) ?? { id: request.customer, name: request.customer }) : null;
  return { ...newCart(id), lines, ...whole, customer: named, hold };
}
