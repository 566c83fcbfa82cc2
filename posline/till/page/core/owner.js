// What the owner's page works out from answers of the till: days, hours, which columns are worth showing, how each till
// stands. Pure: knows no browser, no language and no clock.

const DAY_MS = 86_400_000;

/** The day so many days behind another: YYYY-MM-DD, both. */
export function dayAfter(day, days) {
  return new Date(Date.parse(`${day}T00:00:00Z`) + days * DAY_MS).toISOString().slice(0, 10);
}

/** The last `count` days up to `day`, the oldest first. */
export function daysUpTo(day, count) {
  return Array.from({ length: count }, (_, index) => dayAfter(day, index - count + 1));
}

/** Whether a text is a day such as 2026-11-23. */
export function isDay(text) {
  return /^20[0-9]{2}-[0-9]{2}-[0-9]{2}$/.test(text ?? "") && !Number.isNaN(Date.parse(`${text}T00:00:00Z`));
}

/** The hour of the clock, 0 to 23, at a moment in a time zone. */
export function hourAt(ms, zone) {
  return Number(new Intl.DateTimeFormat("en-GB", { hour: "2-digit", hourCycle: "h23", timeZone: zone }).format(new Date(ms)));
}

// -- hours of a day --------------------------------------------------------------------------------------------------

/** How many hours of a business day are behind an hour of the clock. `start` is the hour at which the day begins. */
export function place(hour, start) {
  return (hour - start + 24) % 24;
}

/**
 * The hours to draw for one or several hour reports' rows: from the first to the last in which anything was sold on any
 * of them, at least `least` of them. Each is {hour, values: [{count, net} of each report]}; `through` is an hour that is
 * in it as well, the present one.
 */
export function hoursOf(reports, start, { through = null, least = 8 } = {}) {
  const places = reports.flatMap((rows) => rows.map((row) => place(Number(row.hour), start)));
  if (through !== null && places.length) places.push(place(through, start));
  if (!places.length) return [];
  let first = Math.min(...places);
  let last = Math.max(...places);
  last = Math.min(23, Math.max(last, first + least - 1));
  first = Math.max(0, Math.min(first, last - least + 1));
  return Array.from({ length: last - first + 1 }, (_, index) => {
    const hour = (first + index + start) % 24;
    return { hour, values: reports.map((rows) => rows.find((row) => Number(row.hour) === hour) ?? { count: 0, net: 0 }) };
  });
}

/** What was sold in the whole hours before an hour of the clock, net. */
export function netBefore(rows, hour, start) {
  return rows.filter((row) => place(Number(row.hour), start) < place(hour, start)).reduce((sum, row) => sum + row.net, 0);
}

// -- reports ---------------------------------------------------------------------------------------------------------

/** The columns of a report in which something stands, the first one always, and what it comes to before its parts. */
export function worthShowing(report, wanted = null) {
  const named = (name) => report.columns.find((column) => column.name === name);
  const asked = wanted ? wanted.map(named).filter(Boolean) : netFirst(report.columns);
  return asked.filter((column, index) => index === 0 || wanted?.includes(column.name) || report.rows.some((row) => !empty(row[column.name])));
}

/** A report's columns as a narrow screen wants them, where the last ones are out of sight: what a row is called, how many,
 * the net, the other amounts, and codes that nobody reads at the end. */
function netFirst(columns) {
  const last = columns.some((column) => column.name === "name") ? ["sku", "department"] : ["till"];
  const place = (column) => {
    if (last.includes(column.name) && columns.length > 2) return 4;
    if (column.name === "net") return 2;
    return column.kind === "money" ? 3 : ["returned", "refund_count", "void_count"].includes(column.name) ? 3 : 1;
  };
  return columns.toSorted((a, b) => place(a) - place(b));
}

function empty(value) {
  return value === null || value === undefined || value === "" || Number(value) === 0;
}

/** Ranges of numbers in words: [[3, 5], [8, 8]] is "3–5, 8", and an ellipsis where there are more than `most`. */
export function rangesText(ranges, most = 4) {
  const texts = ranges.slice(0, most).map(([first, last]) => (first === last ? String(first) : `${first}–${last}`));
  return texts.join(", ") + (ranges.length > most ? ", …" : "");
}

/** A text that is read from left to right within any other: a figure with its sign, ranges of numbers. */
export function apart(text) {
  return `\u2066${text}\u2069`;
}

/** What share of the largest each amount is, in per cent, for bars; never below 0. */
export function shares(amounts) {
  const most = Math.max(0, ...amounts);
  return amounts.map((amount) => (most ? Math.max(0, (100 * amount) / most) : 0));
}

// -- tills -----------------------------------------------------------------------------------------------------------

/**
 * The shop's tills, as the day report and the status know them together: those of the shop, this one first, then those
 * that wrote in the day and are no member any more. `own` is {till, label} of the till that answers.
 */
export function tillsOf(report, status, own) {
  const written = new Map((report?.tills ?? []).map((till) => [till.till, till]));
  const closed = new Set((report?.closes ?? []).map((close) => close.till));
  const waits = new Set(report?.waiting_for ?? []);
  const peers = (status?.peers ?? []).filter((peer) => peer.kind === "till" || peer.kind === "hosted");
  const named = [
    { id: own.till, label: own.label, here: true, connected: true, member: true },
    ...peers.map((peer) => ({ id: peer.id, label: peer.name, here: false, connected: peer.connected, member: true, seen: peer.last_seen, behind: peer.behind, why: peer.why, host: peer.host })),
  ];
  const known = new Set(named.map((each) => each.id));
  const gone = [...written.values()].filter((till) => !known.has(till.till)).map((till) => ({ id: till.till, label: till.label, here: false, connected: false, member: false }));
  return [...named, ...gone].map((each) => {
    const till = written.get(each.id);
    return {
      ...each,
      count: till?.count ?? 0,
      total: till?.total ?? 0,
      wrote: Boolean(till),
      missing: till?.missing_count ?? 0,
      receipts: till?.receipts ?? { missing: [], missing_count: 0 },
      unvouched: till?.unvouched ?? { count: 0, amount: 0 },
      closed: closed.has(each.id),
      awaited: waits.has(each.id),
    };
  });
}

/** What of a day a person should hear of: [kind, how many] of duplicates, held, disputed and invalid entries, and what
 * came late. While a till still sells on a day that another one has closed, what it sells is no news. */
export function oddities(report) {
  const found = ["duplicates", "held", "disputed", "invalid"].map((kind) => [kind, report[kind]?.length ?? 0]);
  if (!report.provisional) found.push(["late", report.late?.length ?? 0]);
  return found.filter(([, count]) => count > 0);
}
