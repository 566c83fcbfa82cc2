// The whole catalogue in the browser's memory: by SKU, by barcode, and by what is typed so far. No I/O.

import { spellings } from "./codes.js";

// what keyboards for Arabic and Urdu write in several ways, as posline/core/words.py folds it; a test compares the two
const SAME = new Map([..."يیىیكکەہهہةہۃہۂہھہ"].reduce((pairs, c, i, all) => (i % 2 ? pairs : [...pairs, [c, all[i + 1]]]), []));
for (const quiet of "ـ'’‘ʼ`´") SAME.set(quiet, "");
const DROPPED = /[\p{Mn}\p{Me}\p{Cf}]/u;
const KEPT = /[\p{L}\p{N}\p{Mc}]/u;

/** A text as searches compare it: words with one blank between them, no case, no accents, one way to write a letter. */
export function fold(text) {
  if (/^[\x20-\x7e]*$/.test(text)) return text.toLowerCase().replace(/['`]/g, "").replace(/[^a-z0-9]+/g, " ").trim();
  let made = "";
  for (const c of cased(cased(text))) {
    const same = SAME.get(c);
    if (same !== undefined) made += same;
    else if (/\p{Nd}/u.test(c)) made += digit(c);
    else made += KEPT.test(c) ? c : DROPPED.test(c) ? "" : " ";
  }
  return made.replace(/ +/g, " ").trim();
}

/** Without case, as far as letters of one case are others in the other. */
function cased(text) {
  return text.toLowerCase().replaceAll("ß", "ss").replaceAll("ς", "σ").normalize("NFKD");
}

function digit(c) {
  const n = c.codePointAt(0);
  if (n >= 0x6f0 && n <= 0x6f9) return String(n - 0x6f0);
  return n >= 0x660 && n <= 0x669 ? String(n - 0x660) : c;
}

// what may change from a day on; posline/core/products.py has the same
const DATED = ["price", "mrp", "tax", "tax_rate", "third_schedule", "hs_code", "uom", "sro_schedule", "sro_serial"];

/** A product as it is on a business day. */
export function onDay(product, day) {
  if (!Array.isArray(product?.ahead)) return product;
  const now = { ...product };
  const begun = product.ahead.filter((stage) => typeof stage?.from === "string" && stage.from <= day);
  for (const stage of begun.sort((a, b) => (a.from < b.from ? -1 : 1))) {
    for (const name of DATED) {
      if (stage[name] === undefined) continue;
      if (stage[name] === null) delete now[name];
      else now[name] = stage[name];
    }
  }
  return now;
}

/** The business day of a moment, in a shop's zone, counted from when its day starts ("04:00"). */
export function businessDay(ms, zone, dayStart) {
  const [hours, minutes] = (dayStart || "04:00").split(":").map(Number);
  const wall = new Intl.DateTimeFormat("en-CA-u-nu-latn", {
    timeZone: zone || "UTC", hourCycle: "h23", year: "numeric", month: "2-digit", day: "2-digit", hour: "2-digit", minute: "2-digit",
  }).formatToParts(ms);
  const part = (type) => Number(wall.find((each) => each.type === type).value);
  const day = Date.UTC(part("year"), part("month") - 1, part("day"), part("hour"), part("minute")) - (hours * 60 + minutes) * 60_000;
  return new Date(day).toISOString().slice(0, 10);
}

export class Catalogue {
  /** The business day whose prices products have. */
  today = () => "";
  #bySku = new Map();
  #byCode = new Map(); // code -> Set of SKUs
  #rows = []; // {sku, name, words}, in order of names
  #sorted = true;

  get size() {
    return this.#bySku.size;
  }

  /** Take products over, each the current one of its SKU. */
  put(products) {
    const each = new Map(products.map((product) => [product.sku, product]));
    this.drop([...each.keys()]);
    for (const product of each.values()) {
      this.#bySku.set(product.sku, product);
      for (const code of codesOf(product)) {
        const at = this.#byCode.get(code) ?? new Set();
        this.#byCode.set(code, at.add(product.sku));
      }
      const name = fold(product.name);
      const words = ` ${name} ${fold(product.name_ur ?? "")} ${fold(product.sku)} ${codesOf(product).join(" ")} ${fold(product.department ?? "")}`;
      this.#rows.push({ sku: product.sku, name, words, favourite: Boolean(product.favourite) });
    }
    this.#sorted = false;
  }

  /** Products are sold no more. All at once, for the rows are gone through for it: two thousand times would be seconds. */
  drop(skus) {
    const gone = new Set(skus.filter((sku) => this.#bySku.has(sku)));
    if (!gone.size) return;
    for (const sku of gone) {
      for (const code of codesOf(this.#bySku.get(sku))) this.#byCode.get(code)?.delete(sku);
      this.#bySku.delete(sku);
    }
    this.#rows = this.#rows.filter((row) => !gone.has(row.sku));
  }

  clear() {
    this.#bySku.clear();
    this.#byCode.clear();
    this.#rows = [];
  }

  get(sku) {
    return onDay(this.#bySku.get(sku), this.today());
  }

  /** The products that bear a barcode, or the one with this SKU. */
  bearing(code) {
    const skus = new Set(spellings(code).flatMap((same) => [...(this.#byCode.get(same) ?? [])]));
    if (!skus.size && this.#bySku.has(code)) skus.add(code);
    return [...skus].map((sku) => this.get(sku));
  }

  /** All products, in no order, with what will change of them. */
  all() {
    return this.#bySku.values();
  }

  /** The products that have a key of their own, as [place, product], by page and key. */
  favourites() {
    const found = [];
    for (const product of this.#bySku.values()) {
      const match = /^(?:([0-9]+)\/)?([0-9]+)$/.exec(product.favourite ?? "");
      if (match) found.push([Number(match[1] ?? 1) * 1000 + Number(match[2]), this.get(product.sku)]);
    }
    return found.sort((a, b) => a[0] - b[0] || (a[1].sku < b[1].sku ? -1 : 1)).map(([, product]) => product);
  }

  /** At most `limit` products for what is typed so far: first those whose name begins so, then those of whose words one
   * begins with each word typed (what has a key of its own before the rest), and only where there is none, those that hold the letters anywhere. */
  search(text, limit = 40) {
    const wanted = fold(text);
    if (!wanted) return [];
    this.#sort();
    const words = wanted.split(" ").map((word) => ` ${word}`);
    const first = [], second = [], then = [];
    for (const row of this.#rows) {
      if (!words.every((word) => row.words.includes(word))) continue;
      (row.name.startsWith(wanted) ? first : row.favourite ? second : then).push(row.sku);
      if (first.length >= limit) break;
    }
    let found = [...first, ...second, ...then];
    if (!found.length) {
      const letters = wanted.replaceAll(" ", "");
      found = this.#rows.filter((row) => row.words.replaceAll(" ", "").includes(letters)).slice(0, limit).map((row) => row.sku);
    }
    const exact = this.bearing(text.trim()).map((product) => product.sku);
    return [...new Set([...exact, ...found])].slice(0, limit).map((sku) => this.get(sku));
  }

  #sort() {
    if (this.#sorted) return;
    this.#rows.sort((a, b) => (a.name < b.name ? -1 : a.name > b.name ? 1 : 0));
    this.#sorted = true;
  }
}

function codesOf(product) {
  const codes = [...(product.barcodes ?? []), ...(product.barcode ? [product.barcode] : [])];
  return [...new Set(codes)];
}
