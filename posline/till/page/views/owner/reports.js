// Every report over any span of days: on the screen, on paper, or as a file.

import { dayAfter, isDay } from "../../core/owner.js";
import { useAnswer } from "../../following.js";
import { number, t } from "../../texts.js";
import { html, signal } from "../../ui.js";
import { Card, DateField, Papers, ReportTable, Waiting } from "./table.js";
import { go, pick, today } from "./where.js";

const KINDS = ["days", "product", "department", "tender", "tax", "cashier", "hour", "till"];
const ROWS_MAX = 500; // on the screen; a month of a supermarket has thousands of products
const kind = signal("days");
const span = signal(null); // [first, last] as somebody chose; null: the last seven days

function toDay(day) {
  pick(day);
  go("today");
}

function spans() {
  const last = today.value;
  return [
    ["span_day", last, last], ["span_yesterday", dayAfter(last, -1), dayAfter(last, -1)], ["span_week", dayAfter(last, -6), last],
    ["span_month", `${last.slice(0, 8)}01`, last], ["span_last_month", ...monthBefore(last)],
  ];
}

function monthBefore(day) {
  const last = dayAfter(`${day.slice(0, 8)}01`, -1);
  return [`${last.slice(0, 8)}01`, last];
}

export function Reports() {
  const [from, to] = span.value ?? [dayAfter(today.value, -6), today.value];
  const found = useAnswer(`/api/reports/${kind.value}?from=${from}&to=${to}`, to === today.value ? { sale: 15_000, refund: 15_000 } : {});
  const title = t(`report_${kind.value}`);
  const set = (first, last) => {
    if (isDay(first) && isDay(last)) span.value = first <= last ? [first, last] : [last, first];
  };
  return html`<div class="o-reports">
    <div class="o-choose" role="group" aria-label=${t("which_report")}>${KINDS.map((each) => html`<button type="button" key=${each} class=${each === kind.value ? "tab on" : "tab"} aria-pressed=${each === kind.value} onClick=${() => (kind.value = each)}>${t(`report_${each}`)}</button>`)}</div>
    <div class="o-span">
      ${spans().map(([name, first, last]) => html`<button type="button" key=${name} class=${from === first && to === last ? "tab on" : "tab"} aria-pressed=${from === first && to === last} onClick=${() => set(first, last)}>${t(name)}</button>`)}
      <${DateField} name=${t("from_day")} value=${from} max=${today.value} onPick=${(day) => set(day, to)} />
      <${DateField} name=${t("to_day")} value=${to} max=${today.value} onPick=${(day) => set(from, day)} />
    </div>
    <${Card} name="report" title=${title} more=${html`<${Papers} report=${kind.value} from=${from} to=${to} />`}>
      ${found.value ? html`<${ReportTable} report=${found.value} caption=${title} onDay=${toDay} limit=${ROWS_MAX} totals="always" />
        ${found.value.rows.length > ROWS_MAX && html`<p class="quiet">${t("first_rows", { shown: number(ROWS_MAX), count: number(found.value.rows.length) })}</p>`}` : html`<${Waiting} problem=${found.problem} />`}
    <//>
  </div>`;
}
