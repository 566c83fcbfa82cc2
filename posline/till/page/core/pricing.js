// What a cart comes to: discounts, the tax that comes on top of prices, cash rounding, change. The till prices each sale
// again by the same rules (posline/core/pricing.py) and has the last word; a test holds the two together.

import { RATE_UNITS, apportion, lineTotal, parsePercent, parseRate, partOf, roundCash, roundHalfUp } from "./money.js";

export const CASH = "cash";
export const ACCOUNT = "account"; // udhaar: what others leave unpaid

/**
 * The sums of a cart under `terms` {classes, day, tax_by_receipt, cash_unit}, paid with `tenders` [{kind, amount}] or,
 * with none, exactly in cash. Amounts are whole minor units. `due` is what is still to be paid, `change` what goes back.
 */
export function price(cart, terms, tenders = []) {
  const lines = cart.lines.map((line) => {
    const gross = lineTotal(line.price, line.quantity);
    const discount = reduction(line, gross);
    return { line, gross, discount, cost: gross - discount, tax: 0, top: 0 };
  });
  const wholeDiscount = shareWhole(cart, lines);
  const kinds = new Set(tenders.filter((t) => t.amount || t.kind === ACCOUNT).map((t) => t.kind));
  if (!kinds.size) kinds.add(CASH);
  putTaxes(lines, terms, kinds);
  const sum = (pick) => lines.reduce((total, line) => total + pick(line), 0);
  const total = sum((line) => line.cost + line.top);
  const rounding = cashRounding(tenders, total, terms.cash_unit);
  const payable = total + rounding;
  const paid = tenders.reduce((all, tender) => all + tender.amount, 0);
  return {
    lines: lines.map((each) => ({ gross: each.gross, discount: each.gross - each.cost, tax: each.tax, total: each.cost + each.top })),
    subtotal: sum((line) => line.gross),
    discount: sum((line) => line.gross - line.cost),
    wholeDiscount,
    tax: sum((line) => line.tax),
    total,
    rounding,
    payable,
    paid,
    due: Math.max(0, payable - paid),
    change: tenders.length ? Math.max(0, paid - payable) : 0,
  };
}

/** The discount that a line or a cart asks for, as an amount: no more than `gross`, should it have become less since. */
export function reduction(asked, gross) {
  if (asked.discount_percent) return partOf(gross, parsePercent(asked.discount_percent) ?? 0);
  return Math.min(asked.discount || 0, gross);
}

function shareWhole(cart, lines) {
  const whole = lines.reduce((total, line) => total + line.cost, 0);
  const discount = reduction(cart, whole);
  if (!discount) return 0;
  const numerators = lines.map((line) => BigInt(line.cost) * BigInt(discount));
  apportion(numerators, BigInt(whole), BigInt(discount)).forEach((share, index) => {
    lines[index].cost -= Number(share);
  });
  return discount;
}

function putTaxes(lines, terms, kinds) {
  const groups = new Map();
  for (const line of lines) {
    const found = rateOf(line.line, terms, kinds);
    if (!found) continue;
    const [numerator, denominator] = taxFraction(found.mode, BigInt(found.rate), line);
    const key = `${found.mode} ${found.rate} ${denominator}`;
    const group = groups.get(key) ?? { mode: found.mode, denominator, members: [] };
    group.members.push([line, numerator]);
    groups.set(key, group);
  }
  for (const { mode, denominator, members } of groups.values()) {
    const numerators = members.map(([, numerator]) => numerator);
    const taxes = terms.tax_by_receipt
      ? apportion(numerators, denominator, roundHalfUp(numerators.reduce((a, b) => a + b, 0n), denominator))
      : numerators.map((numerator) => roundHalfUp(numerator, denominator));
    members.forEach(([line], index) => {
      line.tax = Number(taxes[index]);
      if (mode === "exclusive") line.top = line.tax;
    });
  }
}

/** {mode, rate in ten-thousandths of a per cent} of a line; null where it has no tax. */
function rateOf(line, terms, kinds) {
  const known = terms.classes[line.tax];
  let rate = line.rate || null;
  let mode = "inclusive";
  if (parseRate(line.tax) !== null) {
    rate = line.tax;
  } else if (known) {
    mode = known.mode ?? "inclusive";
    const dated = datedRate(known.rates, terms.day, kinds);
    if (rate === null || dated === null) rate = dated; // what is exempt stays so
  }
  return rate === null ? null : { mode: line.printed ? "printed" : mode, rate: parseRate(rate) };
}

function datedRate(rates, day, kinds) {
  const held = rates.filter((rate) => (rate.from ?? "") <= day).sort((a, b) => ((a.from ?? "") < (b.from ?? "") ? -1 : 1));
  const last = held.at(-1);
  if (!last) return null;
  const found = new Set([...kinds].map((kind) => last.by_tender?.[kind] ?? last.rate));
  return found.size === 1 ? [...found][0] : last.rate;
}

function taxFraction(mode, rate, { line, cost }) {
  const whole = BigInt(100 * RATE_UNITS);
  if (mode === "exclusive") return [BigInt(cost) * rate, whole];
  if (mode === "printed") {
    return [BigInt(line.mrp ?? line.price) * BigInt(line.quantity) * rate, 1000n * (whole + rate)];
  }
  return [BigInt(cost) * rate, whole + rate];
}

/** What is added to the total so that its part in cash can be paid in coins. Cards, wallets and udhaar are exact. */
function cashRounding(tenders, total, unit) {
  if (!unit || tenders.some((tender) => tender.kind === ACCOUNT)) return 0;
  if (tenders.length && !tenders.some((tender) => tender.kind === CASH)) return 0;
  const others = tenders.filter((tender) => tender.kind !== CASH);
  const inCash = total - others.reduce((sum, tender) => sum + tender.amount, 0);
  return inCash > 0 ? roundCash(inCash, unit) - inCash : 0;
}
