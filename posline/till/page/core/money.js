// Money and quantities, exact: whole minor units, and thousandths of a unit of goods. Knows no language and no browser;
// how an amount looks is texts.js's. The rules are those of posline/core/money.py, held together by a test.

export const MAX_MONEY = 10 ** 12;
export const THOUSAND = 1000;
export const RATE_UNITS = 10_000; // a rate is held as ten-thousandths of a per cent
const QUANTITY = /^(0|[1-9][0-9]{0,5})(?:\.([0-9]{1,3}))?$/;
const RATE = /^(0|[1-9][0-9]{0,2})(?:\.([0-9]{1,4}))?$/;

/** numerator / denominator to the nearest whole, halves away from zero, for BigInts; `denominator` is above 0. */
export function roundHalfUp(numerator, denominator) {
  if (numerator < 0n) return -((-2n * numerator + denominator) / (2n * denominator));
  return (2n * numerator + denominator) / (2n * denominator);
}

/** What a line costs before discounts: price x quantity (in thousandths), rounded half up. */
export function lineTotal(price, thousandths) {
  return Number(roundHalfUp(BigInt(price) * BigInt(thousandths), 1000n));
}

/** So many ten-thousandths of a per cent of an amount, rounded half up. */
export function partOf(amount, units) {
  return Number(roundHalfUp(BigInt(amount) * BigInt(units), BigInt(100 * RATE_UNITS)));
}

/** What is paid in coins for an amount due: the nearest multiple of `unit`, halves up; 0 is exact. */
export function roundCash(due, unit) {
  return unit ? Number(roundHalfUp(BigInt(due), BigInt(unit))) * unit : due;
}

/** Thousandths of a quantity such as "1.5"; null where it is none, or 0. */
export function parseQuantity(text) {
  const match = QUANTITY.exec(text);
  if (!match) return null;
  return Number(match[1]) * THOUSAND + Number((match[2] ?? "").padEnd(3, "0")) || null;
}

/** The shortest decimal: 1500 is "1.5". */
export function formatQuantity(thousandths) {
  const whole = Math.floor(thousandths / THOUSAND);
  const rest = String(thousandths % THOUSAND).padStart(3, "0").replace(/0+$/, "");
  return rest ? `${whole}.${rest}` : String(whole);
}

/** Ten-thousandths of a per cent; null where the text is no rate. */
export function parseRate(text) {
  const match = typeof text === "string" ? RATE.exec(text) : null;
  return match ? Number(match[1]) * RATE_UNITS + Number((match[2] ?? "").padEnd(4, "0")) : null;
}

/** As parseRate, up to 100 per cent. */
export function parsePercent(text) {
  const units = parseRate(text);
  return units === null || units > 100 * RATE_UNITS ? null : units;
}

/** Minor units of an amount as a person types it, "1500" or "12.5"; null where it is none. `digits` are the currency's. */
export function parseAmount(text, digits) {
  const match = /^([0-9]{0,10})(?:\.([0-9]{0,3}))?$/.exec(text.replace(/[,\s]/g, ""));
  if (!match || (!match[1] && !match[2]) || (match[2] ?? "").length > digits) return null;
  const minor = Number(match[1] || 0) * 10 ** digits + Number((match[2] ?? "").padEnd(digits, "0") || 0);
  return minor <= MAX_MONEY ? minor : null;
}

/** Shares that sum to `total` and differ from their exact numerator / denominator by less than 1 (BigInts): the largest
 * remainders are rounded up, of equal ones the earlier. */
export function apportion(numerators, denominator, total) {
  const shares = numerators.map((numerator) => numerator / denominator);
  let left = total - shares.reduce((sum, share) => sum + share, 0n);
  const order = shares.map((_, index) => index);
  order.sort((a, b) => compare(numerators[b] % denominator, numerators[a] % denominator) || a - b);
  for (const index of order) {
    if (left <= 0n) break;
    shares[index] += 1n;
    left -= 1n;
  }
  return shares;
}

function compare(a, b) {
  return a < b ? -1 : a > b ? 1 : 0;
}
