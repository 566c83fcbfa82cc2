// A report of any kind as a table, by its columns alone; and what a card of the owner's page is made of.

import { apart, worthShowing } from "../../core/owner.js";
import { shop } from "../../state.js";
import { day as dayText, has, money, number, plain, t } from "../../texts.js";
import { html, useRef } from "../../ui.js";
import { kindName } from "../pay.js";

const NUMBERS = new Set(["money", "quantity", "count", "percent"]);

/** A card with its name above it; `more` stands at the end of that line. */
export function Card({ name, title, more, children, kind = "" }) {
  const id = `card-${name}`;
  return html`<section class=${`o-card ${kind}`} aria-labelledby=${id}>
    <header class="o-head"><h2 id=${id}>${title}</h2>${more && html`<span class="o-more">${more}</span>`}</header>
    ${children}
  </section>`;
}

/** The links to a report on paper, and as a file for spreadsheets. */
export function Papers({ report, from, to, path }) {
  const address = path ?? `/api/reports/${report}?from=${from}&to=${to}`;
  const of = (form) => `${address}${address.includes("?") ? "&" : "?"}format=${form}`;
  const what = has(`report_${report}`) ? t(`report_${report}`) : t("day_report");
  return html`<a class="o-link" href=${of("html")} target="_blank" rel="noopener" aria-label=${t("print_what", { what })}>${t("print")}</a>
    <a class="o-link" href=${of("csv")} download aria-label=${t("csv_what", { what })}>${t("csv")}</a>`;
}

/** A value of a report in the language shown. */
export function valueText(column, value) {
  if (value === null || value === undefined) return "";
  if (column.kind === "money") return plain(value);
  if (column.kind === "count") return number(value);
  if (column.kind === "quantity") return number(Number(value));
  if (column.kind === "percent") return apart(`${number(Number(value))}%`);
  return textOf(column.name, value);
}

function textOf(name, value) {
  if (value === "") return t("nameless");
  if (name === "tender") return kindName(value);
  if (name === "hour") return `${value}:00`;
  if (name === "day") return dayText(value);
  if (name === "mode") return has(`mode_${value}`) ? t(`mode_${value}`) : value;
  if (name === "class") return has(`class_${value}`) ? t(`class_${value}`) : (shop.value?.classes?.[value]?.name ?? value);
  return value;
}

function columnTitle(column) {
  return has(`col_${column.name}`) ? t(`col_${column.name}`) : column.title;
}

/** A report. `columns` are those wanted, by name; without them all in which something stands. `limit` cuts it short. */
export function ReportTable({ report, columns = null, limit = null, caption, totals = true, onDay = null }) {
  const shown = worthShowing(report, columns);
  const rows = limit ? report.rows.slice(0, limit) : report.rows;
  const box = useRef(null);
  if (!rows.length) return html`<p class="quiet o-none">${t("nothing_sold")}</p>`;
  const cell = (column) => (NUMBERS.has(column.kind) ? "n" : "");
  const whole = totals && rows.length > 1 && (rows.length === report.rows.length || totals === "always");
  return html`<div class="o-scroll" ref=${box} tabindex="0" role="region" aria-label=${caption}>
    <table class=${shown.length > 4 ? "o-table pinned" : "o-table"}><caption class="unseen">${caption}</caption>
      <thead><tr>${shown.map((column) => html`<th key=${column.name} scope="col" class=${cell(column)}>${columnTitle(column)}</th>`)}</tr></thead>
      <tbody>${rows.map((row, index) => html`<tr key=${index}>${shown.map((column, place) => value(column, row[column.name], place, onDay))}</tr>`)}</tbody>
      ${whole && html`<tfoot><tr>${shown.map((column, place) => (place === 0 ? html`<th key="total" scope="row">${t("all_together")}</th>` : html`<td key=${column.name} class=${cell(column)}>${valueText(column, report.totals[column.name])}</td>`))}</tr></tfoot>`}
    </table></div>`;
}

function value(column, found, place, onDay) {
  const text = valueText(column, found);
  const bad = column.kind === "money" && found < 0;
  const classes = `${NUMBERS.has(column.kind) ? "n" : ""}${bad ? " bad" : ""}`;
  const named = column.kind === "text" ? html`<bdi>${text}</bdi>` : text;
  const inner = onDay && column.name === "day" ? html`<button type="button" class="o-link" onClick=${() => onDay(found)}>${named}</button>` : named;
  return place === 0 ? html`<th key=${column.name} scope="row" class=${classes}>${inner}</th>` : html`<td key=${column.name} class=${classes}>${inner}</td>`;
}

/** A day to choose: it is written as the language writes it, and the browser's own calendar opens on it. */
export function DateField({ value, max, name, label, text, large = false, onPick }) {
  const open = (event) => {
    try {
      event.currentTarget.showPicker();
    } catch {
      // a browser without it has the field's own way
    }
  };
  return html`<label class=${large ? "o-date large" : "o-date"}>${name && html`<span class="o-date-name">${name}</span>`}<b aria-hidden="true">${text ?? dayText(value)}</b>
    <input type="date" value=${value} min="2020-01-01" max=${max} aria-label=${label ?? name} onClick=${open} onChange=${(event) => onPick(event.target.value)} /></label>`;
}

/** What people call a host: a head office that nobody named is just that. */
export function hostName(name) {
  return ["HQ", "head office"].includes(name) ? t("head_office") : name;
}

/** What stands where an answer has not come, or the till said no. */
export function Waiting({ problem }) {
  return html`<p class=${problem ? "warn o-none" : "quiet o-none"}>${problem || t("coming")}</p>`;
}
