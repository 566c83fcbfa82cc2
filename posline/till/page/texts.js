// Every word, number and amount that is shown, in the language of whoever stands at the till. The words themselves are
// in texts/; both languages are loaded, so that switching needs nothing.

import { computed, signal } from "./ui.js";
import { formatQuantity } from "./core/money.js";
import en from "./texts/en.js";
import ownerEn from "./texts/owner-en.js";
import ownerUr from "./texts/owner-ur.js";
import ur from "./texts/ur.js";

const TEXTS = { en: { ...en, ...ownerEn }, ur: { ...ur, ...ownerUr } };
const LOCALES = { en: "en-PK", ur: "ur-PK-u-nu-latn" };
export const LANGUAGES = Object.keys(TEXTS);
export const language = signal("en");
export const direction = computed(() => (language.value === "ur" ? "rtl" : "ltr"));
/** What amounts are in: its code and how many digits it has behind the point. */
export const currency = signal({ code: "PKR", digits: 2, zone: "Asia/Karachi" });

const formats = computed(() => {
  const locale = LOCALES[language.value];
  const { code, digits, zone } = currency.value;
  const money = { style: "currency", currency: code, currencyDisplay: "narrowSymbol", minimumFractionDigits: digits, maximumFractionDigits: digits, trailingZeroDisplay: "stripIfInteger" };
  return {
    money: new Intl.NumberFormat(locale, money),
    plain: new Intl.NumberFormat(locale, { minimumFractionDigits: digits, maximumFractionDigits: digits, trailingZeroDisplay: "stripIfInteger" }),
    number: new Intl.NumberFormat(locale, { maximumFractionDigits: 3 }),
    short: new Intl.NumberFormat(locale, { notation: "compact", maximumFractionDigits: 1 }),
    time: new Intl.DateTimeFormat(locale, { hour: "2-digit", minute: "2-digit", timeZone: zone, hourCycle: "h23" }),
    day: new Intl.DateTimeFormat(locale, { weekday: "short", day: "numeric", month: "short", timeZone: "UTC" }),
    weekday: new Intl.DateTimeFormat(locale, { weekday: "short", timeZone: "UTC" }),
    date: new Intl.DateTimeFormat(locale, { day: "numeric", month: "short", timeZone: "UTC" }),
    moment: new Intl.DateTimeFormat(locale, { day: "numeric", month: "short", hour: "2-digit", minute: "2-digit", timeZone: zone, hourCycle: "h23" }),
    plural: new Intl.PluralRules(locale),
  };
});

/** The text called `key`, with {name} filled in; where it has forms by number, the one for `n`. */
export function t(key, values = {}) {
  let found = TEXTS[language.value][key] ?? TEXTS.en[key];
  if (found === undefined) return key;
  if (typeof found === "object") found = found[formats.value.plural.select(values.n ?? 0)] ?? found.other;
  return found.replaceAll(/\{(\w+)\}/g, (_, name) => values[name] ?? "");
}

/** Whether there is a text called `key`. */
export function has(key) {
  return key in TEXTS.en;
}

/** An amount in minor units: Rs 1,234.50, and Rs 1,234 where it is whole. */
export function money(minor) {
  return formats.value.money.format(minor / 10 ** currency.value.digits);
}

/** As money, without the currency's sign: for columns that say it above. */
export function plain(minor) {
  return formats.value.plain.format(minor / 10 ** currency.value.digits);
}

/** An amount in as few figures as it takes, for a chart: 12.5K. */
export function short(minor) {
  return formats.value.short.format(minor / 10 ** currency.value.digits);
}

export function number(n) {
  return formats.value.number.format(n);
}

/** A quantity in thousandths, with its unit where it is not counted by the piece. */
export function quantity(thousandths, unit = "") {
  const text = number(Number(formatQuantity(thousandths)));
  return unit && !/^(piece|pcs?|each|ea)$/i.test(unit) ? `${text} ${unit}` : text;
}

export function time(iso) {
  return formats.value.time.format(new Date(iso));
}

export function moment(iso) {
  return formats.value.moment.format(new Date(iso));
}

export function day(text) {
  return formats.value.day.format(new Date(`${text}T00:00:00Z`));
}

/** A day by its name alone, and by its number and month. */
export function weekday(text) {
  return formats.value.weekday.format(new Date(`${text}T00:00:00Z`));
}

export function date(text) {
  return formats.value.date.format(new Date(`${text}T00:00:00Z`));
}

/** A product's or a line's name in the language shown. */
export function named(product) {
  return (language.value === "ur" && product.name_ur) || product.name;
}
