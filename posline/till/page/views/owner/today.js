// A day at one glance: what it came to over all tills, when, by what, where, and what a person should look at.

import { apart, dayAfter, hourAt, netBefore, oddities, rangesText, shares, tillsOf } from "../../core/owner.js";
import { useAnswer } from "../../following.js";
import { dialog, shop, status } from "../../state.js";
import { currency, date, money, moment, number, plain, t, time, weekday } from "../../texts.js";
import { html } from "../../ui.js";
import { alarmText } from "../alarms.js";
import { kindName } from "../pay.js";
import { Standing } from "../places.js";
import { HourChart } from "./hours.js";
import { Card, Papers, ReportTable, Waiting, hostName } from "./table.js";
import { go, isToday, shownDay } from "./where.js";

const MONEY_NEWS = { sale: 1000, refund: 1000 };
const HOUR_NEWS = { sale: 4000, refund: 4000 };
const SLOW_NEWS = { sale: 10_000, refund: 10_000 }; // reports that read the whole day
const TOP = 8;
const wide = matchMedia("(min-width: 761px)");

export function Today() {
  const day = shownDay.value;
  const report = useAnswer(`/api/reports/day/${day}`, { ...MONEY_NEWS, status: 15_000 });
  const reportOf = (kind, on = day) => `/api/reports/${kind}?from=${on}&to=${on}`;
  const found = report.value;
  if (!found) return html`<${Waiting} problem=${report.problem} />`;
  // a day on which nothing moved has nothing to divide
  if (!found.sales.count && !found.refunds.count && !found.voids.count) {
    return html`<div class="o-grid"><${Alarms} /><div class="o-col half"><${Net} report=${found} at=${report.at} /></div><div class="o-col half"><${Tills} report=${found} /></div></div>`;
  }
  return html`<div class="o-grid">
    <${Alarms} />
    <${Net} report=${found} at=${report.at} />
    <${Hours} day=${day} reportOf=${reportOf} />
    <div class="o-col"><${Tills} report=${found} /><${Tenders} report=${found} day=${day} /><${Rows} name="tax" path=${reportOf("tax")} columns=${["class", "rate", "tax"]} day=${day} /></div>
    <div class="o-col"><${Cashiers} path=${reportOf("cashier")} day=${day} /><${Rows} name="product" path=${reportOf("product")} columns=${["name", "sold", "net"]} day=${day} limit=${TOP} /></div>
    <div class="o-col last"><${LastSales} day=${day} /><${Rows} name="department" path=${reportOf("department")} columns=${["department", "net"]} day=${day} limit=${TOP} /></div>
  </div>`;
}

/** What the day came to. */
function Net({ report, at }) {
  const { sales, refunds, voids } = report;
  const fact = (name, value, note, tone = "") => html`<div><dt>${name}</dt><dd class=${tone}>${value}${note && html` <small>${note}</small>`}</dd></div>`;
  return html`<${Card} name="net" title=${t("net_all_tills")} kind="o-hero" more=${html`<${Papers} report="day" path=${`/api/reports/day/${report.day}`} />`}>
    <output class="o-net" aria-live="off">${money(report.net)}</output>
    <${Compared} report=${report} at=${at} />
    <dl class="o-facts">
      ${fact(t("sales_word"), number(sales.count))}
      ${fact(t("average"), sales.count ? money(Math.round(sales.total / sales.count)) : "–")}
      ${fact(t("returns_word"), money(refunds.total + voids.total), refunds.count + voids.count ? t("returns_of", { returns: number(refunds.count), voids: number(voids.count) }) : null)}
      ${fact(t("discounts_given"), money(sales.discount))}
      ${fact(t("tax_word"), money(report.tax))}
      ${report.rounding !== 0 && fact(t("rounding"), money(report.rounding))}
      ${report.payments.count > 0 && fact(t("payments_word"), money(report.payments.total), t("payments_count", { n: report.payments.count, count: number(report.payments.count) }))}
    </dl>
    <${Settled} report=${report} />
  <//>`;
}

/** Against the same day a week ago: while the day is not over, up to the last full hour. */
function Compared({ report, at }) {
  const before = dayAfter(report.day, -7);
  const start = Number(shop.value.day_start.slice(0, 2));
  const now = useAnswer(`/api/reports/hour?from=${report.day}&to=${report.day}`, HOUR_NEWS).value;
  const then = useAnswer(`/api/reports/hour?from=${before}&to=${before}`).value;
  if (!now || !then?.rows.length) return null;
  const hour = isToday.value ? hourAt(at || Date.now(), currency.value.zone) : null;
  const sum = (rows) => (hour === null ? rows.reduce((all, row) => all + row.net, 0) : netBefore(rows, hour, start));
  const [mine, theirs] = [sum(now.rows), sum(then.rows)];
  if (!theirs) return null;
  const change = Math.round((100 * (mine - theirs)) / Math.abs(theirs));
  const said = { day: weekday(before), amount: money(theirs), hour: `${String(hour).padStart(2, "0")}:00`, change: apart(`${change > 0 ? "+" : change < 0 ? "−" : ""}${number(Math.abs(change))}%`) };
  return html`<p class=${change < 0 ? "o-than warn" : "o-than good"}>${t(hour === null ? "than_week_ago" : "than_week_ago_by", said)}</p>`;
}

/** Whether the figures can still change, and what is odd about them. */
function Settled({ report }) {
  const label = (id) => report.tills.find((till) => till.till === id)?.label ?? id.slice(0, 6);
  const odd = oddities(report);
  const waits = report.waiting_for.map(label).join(", ");
  const provisional = report.provisional ? t(isToday.value ? "still_selling" : "provisional", { tills: waits }) : report.closes.length ? t("day_final") : t("day_empty");
  return html`<p class="quiet">${provisional}</p>
    ${odd.length > 0 && html`<ul class="o-odd">${odd.map(([kind, count]) => html`<li key=${kind}><b>${t(`odd_${kind}`, { n: count, count: number(count), amount: money(kind === "late" ? report.addendum.net : 0) })}</b> <span>${t(`odd_${kind}_what`)}</span></li>`)}</ul>`}`;
}

function Hours({ day, reportOf }) {
  const before = dayAfter(day, -7);
  const now = useAnswer(reportOf("hour"), HOUR_NEWS);
  const then = useAnswer(reportOf("hour", before)).value;
  const start = Number(shop.value.day_start.slice(0, 2));
  const titles = [isToday.value ? t("day_today") : date(day), `${weekday(before)} ${date(before)}`];
  return html`<${Card} name="hours" title=${t("report_hour")} kind="o-wide" more=${html`<${Papers} report="hour" from=${day} to=${day} />`}>
    ${now.value ? html`<${HourChart} rows=${now.value.rows} before=${then?.rows ?? []} start=${start} through=${isToday.value ? hourAt(Date.now(), currency.value.zone) : null} titles=${titles} />` : html`<${Waiting} problem=${now.problem} />`}
  <//>`;
}

/** By what was paid, each with its share. */
function Tenders({ report, day }) {
  const rows = Object.entries(report.tenders).sort((a, b) => b[1] - a[1]);
  const widths = shares(rows.map(([, amount]) => amount));
  return html`<${Card} name="tender" title=${t("report_tender")} more=${html`<${Papers} report="tender" from=${day} to=${day} />`}>
    ${rows.length ? html`<ul class="o-bars">${rows.map(([kind, amount], index) => html`<li key=${kind}><span class="o-bar-text"><bdi>${kindName(kind)}</bdi><b class=${amount < 0 ? "bad" : ""}>${plain(amount)}</b></span><span class="o-track" aria-hidden="true"><i style=${{ inlineSize: `${widths[index]}%` }}></i></span></li>`)}</ul>` : html`<p class="quiet o-none">${t("nothing_sold")}</p>`}
    ${(report.cash.in.count > 0 || report.cash.out.count > 0) && html`<p class="quiet">${t("cash_moved", { into: money(report.cash.in.total), out: money(report.cash.out.total) })}</p>`}
  <//>`;
}

/** The shop's devices, each with its light. */
export function Tills({ report, all = false }) {
  const tills = tillsOf(report, status.value, shop.value);
  const offices = (status.value?.peers ?? []).filter((peer) => peer.kind === "head office");
  return html`<${Card} name="tills" title=${t("tills")} more=${!all && html`<button type="button" class="o-link" onClick=${() => go("devices")}>${t("section_devices")}</button>`}>
    <ul class="o-tills">
      ${tills.map((till) => html`<${Till} key=${till.id} till=${till} />`)}
      ${offices.map((peer) => html`<li key=${peer.id}><span class=${peer.connected ? "dot on good" : "dot"} aria-hidden="true"></span><span class="grow"><b>${t("head_office")}${peer.name && hostName(peer.name) === peer.name ? html` <bdi>${peer.name}</bdi>` : ""}</b><small>${linkText(peer)}</small></span></li>`)}
      ${!offices.length && html`<li><span class="dot" aria-hidden="true"></span><span class="grow"><b>${t("head_office")}</b><small>${t("no_office")}</small></span></li>`}
    </ul>
  <//>`;
}

function Till({ till }) {
  const notes = [];
  if (till.here) notes.push(t("this_till"));
  else if (!till.member) notes.push(t("till_removed"));
  else notes.push(linkText({ connected: till.connected, behind: till.behind, last_seen: till.seen }));
  if (till.host) notes.push(t("hosted_by", { host: hostName(till.host) }));
  if (till.closed) notes.push(t(isToday.value ? "till_closed_today" : "till_closed"));
  else if (till.awaited && !isToday.value) notes.push(t("till_not_closed"));
  const lost = till.receipts.missing_count;
  return html`<li>
    <span class=${till.connected ? "dot on good" : "dot warn"} aria-hidden="true"></span>
    <span class="grow"><b>${t("till")} <bdi>${till.label}</bdi></b><small>${notes.join(" · ")}</small>
      ${lost > 0 ? html`<small class="warn">${t("receipts_missing", { n: lost, count: number(lost), which: apart(rangesText(till.receipts.missing)) })}</small>` : till.missing > 0 ? html`<small class="warn">${t("entries_missing", { n: till.missing, count: number(till.missing) })}</small>` : null}
      ${!till.connected && till.unvouched.count > 0 && html`<small>${t("unvouched", { n: till.unvouched.count, count: number(till.unvouched.count), amount: money(till.unvouched.amount) })}</small>`}</span>
    <span class="o-end"><b>${plain(till.total)}</b><small>${t("sales_count", { n: till.count, count: number(till.count) })}</small></span>
  </li>`;
}

/** How a device is linked, in words. */
function linkText(peer) {
  if (peer.connected) return peer.behind ? t("linked_behind", { n: peer.behind, count: number(peer.behind) }) : t("linked");
  const seen = peer.last_seen ? t("last_seen", { at: moment(peer.last_seen) }) : t("never_seen");
  return peer.behind ? `${seen} · ${t("lacks", { n: peer.behind, count: number(peer.behind) })}` : seen;
}

/** What a person should look at, in plain words: open where there is room. */
export function Alarms({ calm = false }) {
  const alarms = status.value?.alarms ?? [];
  if (!alarms.length) return calm ? html`<${Card} name="alarms" title=${t("alarms")}><p class="good o-none">${t("all_well")}</p><//>` : null;
  return html`<${Card} name="alarms" title=${t("alarms")} kind="o-full o-alarms">
    <ul>${alarms.map((alarm, index) => {
      const { title, todo } = alarmText(alarm);
      return html`<li key=${`${alarm.kind}${index}`}><details class="alarm" open=${wide.matches}><summary><b>${title}</b></summary>
        <p>${todo}</p><details><summary>${t("alarm_detail")}</summary><p class="quiet" dir="auto">${alarm.detail}</p><p class="quiet" dir="auto">${alarm.do}</p></details></details></li>`;
    })}</ul><//>`;
}

/** Who sold how much, and what each took back, voided and gave off. */
function Cashiers({ path, day }) {
  const found = useAnswer(path, SLOW_NEWS);
  const rows = found.value?.rows.toSorted((a, b) => b.net - a.net) ?? [];
  const notes = (row) => [
    t("sales_count", { n: row.count, count: number(row.count) }),
    row.refund_count ? `${t("refunds_count", { n: row.refund_count, count: number(row.refund_count) })} ${plain(row.refunds)}` : "",
    row.void_count ? `${t("voids_count", { n: row.void_count, count: number(row.void_count) })} ${plain(row.voids)}` : "",
    row.discount ? `${t("discount")} ${plain(row.discount)}` : "",
  ].filter(Boolean).join(" · ");
  return html`<${Card} name="cashier" title=${t("report_cashier")} more=${html`<${Papers} report="cashier" from=${day} to=${day} />`}>
    ${!found.value ? html`<${Waiting} problem=${found.problem} />` : !rows.length ? html`<p class="quiet o-none">${t("nothing_sold")}</p>` : html`<ul class="o-list">${rows.map((row) => html`<li key=${row.cashier}><span class="grow"><b><bdi>${row.cashier || t("nameless")}</bdi></b><small>${notes(row)}</small></span><span class="o-end"><b>${plain(row.net)}</b></span></li>`)}</ul>`}
  <//>`;
}

/** A report of the day, cut to what matters at a glance. */
function Rows({ name, path, columns, day, limit = null }) {
  const found = useAnswer(path, SLOW_NEWS);
  const title = t(`report_${name}`);
  const more = found.value?.rows.length > limit && limit ? html`<button type="button" class="o-link" onClick=${() => go("reports")}>${t("all_of_it")}</button>` : null;
  return html`<${Card} name=${name} title=${title} more=${html`${more}<${Papers} report=${name} from=${day} to=${day} />`}>
    ${found.value ? html`<${ReportTable} report=${found.value} columns=${columns} limit=${limit} caption=${title} totals=${name !== "product"} />` : html`<${Waiting} problem=${found.problem} />`}
  <//>`;
}

/** Receipts as they come. */
function LastSales({ day }) {
  const found = useAnswer(`/api/sales?day=${day}&order=newest&limit=${TOP}`, MONEY_NEWS);
  const sales = found.value?.sales ?? [];
  return html`<${Card} name="last" title=${t("last_sales")}>
    ${sales.length ? html`<ul class="o-rows">${sales.map((sale) => html`<li key=${`${sale.id}${sale.till}`}><button type="button" class="row-key" onClick=${() => (dialog.value = { kind: "receipt", sale })}>
      <span class="grow"><b class="mono" dir="ltr">${sale.receipt}</b><small>${time(sale.at)}${sale.by ? html` · <bdi>${sale.by}</bdi>` : ""} · ${t("items", { n: sale.lines.length, count: number(sale.lines.length) })} <${Standing} sale=${sale} /></small></span>
      <span class="end">${plain(sale.total + sale.rounding)}</span></button></li>`)}</ul>` : html`<p class="quiet o-none">${found.value ? t("nothing_sold") : t("coming")}</p>`}
  <//>`;
}
