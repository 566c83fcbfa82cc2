// The drawers of a day: shifts with their X and Z reports, the close of the day, and what went back or out, by whom and
// why.

import { useAnswer } from "../../following.js";
import { dialog, shop } from "../../state.js";
import { money, number, plain, t, time } from "../../texts.js";
import { html } from "../../ui.js";
import { Card, Papers, ReportTable, Waiting } from "./table.js";
import { isToday, shownDay } from "./where.js";

const LIST_MAX = 1000;

export function Drawers() {
  const day = shownDay.value;
  const report = useAnswer(`/api/reports/day/${day}`, { sale: 2000, refund: 1000, status: 15_000 });
  const shifts = useAnswer(`/api/shifts?day=${day}`, { status: 15_000, sale: 30_000 });
  const returns = useAnswer(`/api/refunds?day=${day}&limit=${LIST_MAX}`, { refund: 1000 });
  const cashiers = useAnswer(`/api/reports/cashier?from=${day}&to=${day}`, { sale: 10_000, refund: 5000 });
  return html`<div class="o-grid">
    <div class="o-col"><${Shifts} found=${shifts} /><${DayClose} day=${day} report=${report.value} problem=${report.problem} /><${Cash} report=${report.value} shifts=${shifts.value?.shifts ?? []} /></div>
    <div class="o-col o-wide"><${Card} name="who" title=${t("who_did_what")} more=${html`<${Papers} report="cashier" from=${day} to=${day} />`}>
      ${cashiers.value ? html`<${ReportTable} report=${cashiers.value} caption=${t("who_did_what")} />` : html`<${Waiting} problem=${cashiers.problem} />`}<//>
      <${Returns} found=${returns} /></div>
  </div>`;
}

function Shifts({ found }) {
  const shifts = found.value?.shifts;
  const show = (shift) => (dialog.value = { kind: "shift", shift });
  return html`<${Card} name="shifts" title=${t("shifts")}>
    ${!shifts ? html`<${Waiting} problem=${found.problem} />` : !shifts.length ? html`<p class="quiet o-none">${t("no_shifts")}</p>` : html`<ul class="o-rows">${shifts.map((shift) => html`<li key=${shift.id}><button type="button" class="row-key" onClick=${() => show(shift)}>
      <span class="grow"><b>${t("till")} <bdi>${shift.label}</bdi>${shift.by ? html` · <bdi>${shift.by}</bdi>` : ""}</b>
        <small>${shift.report === "Z" ? t("shift_from_to", { from: shift.opened ? time(shift.opened.at) : "–", to: time(shift.at), number: number(shift.number) }) : t("shift_open_since", { at: time(shift.at), amount: money(shift.float) })}</small></span>
      ${shift.report === "Z" ? html`<span class="end">${plain(shift.net)}<${OverShort} shift=${shift} /></span>` : html`<span class="tag">${t("shift_is_open")}</span>`}
    </button></li>`)}</ul>`}
  <//>`;
}

const byLabel = (list) => list.toSorted((a, b) => a.label.localeCompare(b.label));

/** What was over or short of all that was counted. */
function OverShort({ shift }) {
  const off = Object.values(shift.over_short ?? {}).reduce((sum, amount) => sum + amount, 0);
  if (!shift.over_short || !Object.keys(shift.over_short).length) return null;
  return html`<small class=${off < 0 ? "bad" : off > 0 ? "warn" : "good"}>${off === 0 ? t("counts_right") : t(off < 0 ? "short_by" : "over_by", { amount: plain(Math.abs(off)) })}</small>`;
}

/** Whether the day is closed, and where; this till's may be closed here. */
function DayClose({ day, report, problem }) {
  if (!report) return html`<${Card} name="dayclose" title=${t("day_report")}><${Waiting} problem=${problem} /><//>`;
  const closed = new Set(report.closes.map((close) => close.till));
  const here = closed.has(shop.value.till);
  const till = { label: shop.value.label };
  return html`<${Card} name="dayclose" title=${t("day_report")} more=${html`<${Papers} report="day" path=${`/api/reports/day/${day}`} />`}>
    <p class="due small"><span>${t("net")}</span><output>${money(report.net)}</output></p>
    ${report.tills.length > 0 && html`<ul class="o-facts-list">${byLabel(report.tills).map((each) => html`<li key=${each.till}><span>${t("till")} <bdi>${each.label}</bdi></span><b class=${closed.has(each.till) ? "good" : "quiet"}>${t(closed.has(each.till) ? "till_closed_short" : "till_open_short")}</b></li>`)}</ul>`}
    <p class="quiet">${report.provisional ? t(isToday.value ? "close_hint_today" : "close_hint") : report.closes.length ? t("day_final") : t("day_empty")}</p>
    ${!report.provisional && report.late.length > 0 && html`<p class="warn">${t("odd_late", { n: report.late.length, count: number(report.late.length), amount: money(report.addendum.net) })}</p>`}
    <button type="button" class="key" onClick=${() => (dialog.value = { kind: "closeday", day })}><span class="key-text">${t(here ? "close_day_again" : "close_day", till)}</span></button>
  <//>`;
}

/** Goods that came back and sales that were taken back. */
function Returns({ found }) {
  const refunds = found.value?.refunds;
  return html`<${Card} name="returns" title=${t("returns_and_voids")}>
    ${!refunds ? html`<${Waiting} problem=${found.problem} />` : !refunds.length ? html`<p class="quiet o-none">${t("no_returns")}</p>` : html`<ul class="o-list">${refunds.toReversed().map((each) => html`<li key=${`${each.id}${each.till}`}>
      <span class=${each.kind === "void" ? "tag bad" : "tag"}>${t(each.kind === "void" ? "kind_void" : "kind_refund")}</span>
      <span class="grow"><b><bdi>${each.reason}</bdi></b>
        <small>${time(each.at)} · ${t("till")} ${each.label}${each.by ? html` · <bdi>${each.by}</bdi>` : ""}${each.approved ? html` · ${t("approved_by")} <bdi>${each.approved}</bdi>` : ""}</small>
        <small><bdi class="mono" dir="ltr">${each.sale_receipt ?? ""}</bdi> <bdi>${each.lines.map((line) => line.name).join(", ").slice(0, 90)}</bdi></small></span>
      <span class="o-end"><b>${plain(-(each.total + each.rounding))}</b>${each.restock === false && html`<small>${t("not_restocked")}</small>`}</span></li>`)}</ul>`}
  <//>`;
}

/** Cash put in and taken out: the day's, and by shift. */
function Cash({ report, shifts }) {
  if (!report) return null;
  const rows = shifts.filter((shift) => shift.cash && (shift.cash.in.count || shift.cash.out.count));
  return html`<${Card} name="cash" title=${t("cash_in_out")}>
    <dl class="o-facts two-columns"><div><dt>${t("cash_in")}</dt><dd>${money(report.cash.in.total)} <small>${t("times", { n: report.cash.in.count, count: number(report.cash.in.count) })}</small></dd></div>
      <div><dt>${t("cash_out")}</dt><dd>${money(report.cash.out.total)} <small>${t("times", { n: report.cash.out.count, count: number(report.cash.out.count) })}</small></dd></div></dl>
    ${rows.length > 0 && html`<ul class="o-facts-list">${rows.map((shift) => html`<li key=${shift.id}><span>${t("till")} <bdi>${shift.label}</bdi> · <bdi>${shift.by}</bdi></span><b>${plain(shift.cash.in.total - shift.cash.out.total)}</b></li>`)}</ul>`}
  <//>`;
}
