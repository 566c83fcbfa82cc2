// What a cashier types or scans: a quantity before it, the label of a scale, the number of a receipt, a product's code.
// Pure; scales' labels are read as posline/core/scales.py reads them.

import { formatQuantity, lineTotal, parseQuantity, roundHalfUp } from "./money.js";

const RECEIPT = /^[A-Z0-9]{1,6}-[0-9]{1,10}-[0-9A-Z]{4}$/i;
const REFERENCE = /^R-[0-9A-F]{10}$/i;
const TABLES = {
  twoMinus: [0, 2, 4, 6, 8, 9, 1, 3, 5, 7], three: [0, 3, 6, 9, 2, 5, 8, 1, 4, 7],
  fivePlus: [0, 5, 1, 6, 2, 7, 3, 8, 4, 9], fiveMinus: [0, 5, 9, 4, 8, 3, 7, 2, 6, 1],
};

/** Figures as a Western keyboard has them, for what was typed on an Urdu one; control characters are dropped. */
export function plainText(text) {
  return [...text].map((c) => {
    const n = c.codePointAt(0);
    if (n >= 0x06f0 && n <= 0x06f9) return String(n - 0x06f0);
    if (n >= 0x0660 && n <= 0x0669) return String(n - 0x0660);
    return n < 0x20 || (n >= 0x7f && n < 0xa0) ? "" : c;
  }).join("");
}

/** {quantity (thousandths or null), code}: "3*8901" is three of 8901, "3*" waits for what comes next. */
export function typed(text) {
  const clean = plainText(text).trim();
  const match = /^([0-9]*\.?[0-9]*)\s*[*x×]\s*(.*)$/i.exec(clean);
  if (match && match[1]) {
    const padded = match[1].startsWith(".") ? `0${match[1]}` : match[1].replace(/^0+(?=[0-9])/, "").replace(/\.$/, "");
    const quantity = parseQuantity(padded);
    if (quantity) return { quantity, code: match[2].trim() };
  }
  return { quantity: null, code: clean };
}

/** Whether a code is that of a receipt: its QR code, its number, or the reference of one that the page printed alone. */
export function isReceipt(code) {
  return /^PLR?1:/i.test(code) || RECEIPT.test(code) || REFERENCE.test(code);
}

/** What a receipt that has no number yet carries instead, and by which its sale is found later. */
export function reference(id) {
  return `R-${id.replaceAll("-", "").slice(0, 10).toUpperCase()}`;
}

/** The spellings of a barcode: 12 digits and the same 13 with a 0 before them are one code. */
export function spellings(code) {
  if (/^[0-9]{12}$/.test(code)) return [code, `0${code}`];
  if (/^0[0-9]{12}$/.test(code)) return [code, code.slice(1)];
  return [code];
}

// -- labels of scales ------------------------------------------------------------------------------------------------

/** {codes, quantity?, amount?} by the first of `patterns` [{pattern, value}] that a barcode fits; null where none does. */
export function readLabel(barcode, patterns, minorDigits = 2) {
  const code = barcode.length === 12 ? `0${barcode}` : barcode;
  if (!/^[0-9]{13}$/.test(code) || checkDigit(code.slice(0, 12)) !== Number(code[12])) return null;
  for (const pattern of patterns) {
    const label = fitted(code, pattern, minorDigits);
    if (label) return label;
  }
  return null;
}

function fitted(code, { pattern, value: says }, minorDigits) {
  const decimals = (pattern.match(/D/g) ?? []).length;
  const places = pattern.replaceAll(/[{}]/g, "").replaceAll("D", "N");
  let item = "", value = "", check = "", bare = "";
  for (let i = 0; i < places.length; i++) {
    const place = places[i], digit = code[i];
    if (place === ".") item += digit;
    else if (place === "N") value += digit;
    else if (place === "C") check = digit;
    else if (place !== "*" && place !== digit) return null;
    bare += "NC*".includes(place) ? "0" : digit;
  }
  if (check && valueCheckDigit(value) !== Number(check)) return null;
  const codes = [...new Set([item, item.replace(/^0+(?=.)/, ""), `${bare}${checkDigit(bare)}`])];
  const number = Number(value);
  if (!number) return { codes };
  if (says === "price") return { codes, amount: Number(roundHalfUp(BigInt(number) * 10n ** BigInt(minorDigits), 10n ** BigInt(decimals))) };
  return { codes, quantity: Math.floor((number * 1000) / 10 ** decimals) };
}

/** The check digit behind the first 12 digits of an EAN-13. */
export function checkDigit(digits) {
  const sum = [...digits].reduce((all, digit, index) => all + Number(digit) * (index % 2 ? 3 : 1), 0);
  return (10 - (sum % 10)) % 10;
}

function valueCheckDigit(value) {
  const f = [...value].map(Number);
  const t = TABLES;
  if (f.length === 4) return (3 * (t.twoMinus[f[0]] + t.twoMinus[f[1]] + t.three[f[2]] + t.fiveMinus[f[3]])) % 10;
  const sum = t.fivePlus[f[0]] + t.twoMinus[f[1]] + t.fiveMinus[f[2]] + t.fivePlus[f[3]] + t.twoMinus[f[4]];
  return t.fiveMinus.indexOf((10 - (sum % 10)) % 10);
}

const TRIED_MAX = 1000; // quantities, as the till tries

/** {quantity, price, discount} of a line that costs exactly the `amount` on a label, for goods at `price` a kilogram. */
export function pricedLine(amount, price) {
  const quantity = price ? Number((BigInt(amount) * 1000n) / BigInt(price)) : 0;
  if (quantity <= 0 || quantity > 999_999_999) return { quantity: 1000, price: amount, discount: 0 };
  for (const near of [quantity, quantity + 1]) {
    if (lineTotal(price, near) === amount) return { quantity: near, price, discount: 0 };
  }
  for (let less = quantity; less >= quantity - Math.min(Math.floor(quantity / 100), TRIED_MAX) && less > 0; less--) {
    const dearer = Number(roundHalfUp(BigInt(amount) * 1000n, BigInt(less)));
    if (lineTotal(dearer, less) === amount) return { quantity: less, price: dearer, discount: 0 };
  }
  const dearer = Number(-((-BigInt(amount) * 1000n) / BigInt(quantity)));
  const up = lineTotal(dearer, quantity) < amount ? dearer + 1 : dearer;
  return { quantity, price: up, discount: lineTotal(up, quantity) - amount };
}

/** A quantity as a line shows it. */
export { formatQuantity };
