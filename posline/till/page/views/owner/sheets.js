// Which sheet stands before the owner's page, and those that only show: a receipt, a shift, a customer's book.

import { changed, useAnswer } from "../../following.js";
import { dialog, say, shop } from "../../state.js";
import { date, money, moment, number, plain, quantity, t, time } from "../../texts.js";
import { html, useLayoutEffect, useRef } from "../../ui.js";
import { ShiftFigures } from "../drawer.js";
import { Approve } from "../menus.js";
import { Sheet, close, closer } from "../parts.js";
import { kindName } from "../pay.js";
import { Standing } from "../places.js";
import { Goods, Moves, Product } from "./goods.js";
import { Pair, Unpair } from "./hosting.js";
import { Invite } from "./invite.js";
import { record, useId } from "./record.js";
import { Waiting } from "./table.js";

const SHEETS = { approve: Approve, receipt: Receipt, shift: Shift, closeday: CloseDay, statement: Statement, goods: Goods, moves: Moves, product: Product, invite: Invite, pair: Pair, unpair: Unpair };

export function Dialog() {
  const asked = dialog.value;
  const from = useRef(null);
  const below = useRef(null);
  if (asked) from.current ??= document.activeElement; // now: a sheet takes the focus as soon as it stands
  useLayoutEffect(() => {
    if (asked || !from.current) return;
    if (from.current.isConnected) from.current.focus({ preventScroll: true });
    from.current = null;
  }, [Boolean(asked)]);
  // an approval stands before the sheet that it is for, which keeps what was typed into it
  if (asked?.kind !== "approve") below.current = asked;
  return html`${[below.current, asked?.kind === "approve" ? asked : null].map((each) => each && SHEETS[each.kind] && html`<${SHEETS[each.kind]} key=${each.kind} ...${each} />`)}`;
}

/** A sale as it stands on its receipt, and where it is safe. */
function Receipt({ sale: first }) {
  const found = useAnswer(`/api/sales/${first.id}`);
  const sale = found.value?.id === first.id ? found.value : first;
  const returns = useAnswer(`/api/sales/${first.id}/returns`).value?.returns ?? [];
  return html`<${Sheet} title=${sale.receipt} wide>
    <p class="quiet">${moment(sale.at)} · ${t("till")} <bdi>${sale.label}</bdi>${sale.by ? html` · <bdi>${sale.by}</bdi>` : ""} <${Standing} sale=${sale} /></p>
    ${sale.rung && html`<p class="quiet">${t("rung_at", { at: moment(sale.rung) })}</p>`}
    <table class="o-table"><thead><tr><th scope="col">${t("item")}</th><th scope="col" class="n">${t("quantity")}</th><th scope="col" class="n">${t("total")}</th></tr></thead>
      <tbody>${sale.lines.map((line) => html`<tr key=${line.line}><th scope="row"><bdi>${line.name}</bdi>${line.discount ? html`<small class="less">${t("discount")} ${plain(line.discount)}</small>` : ""}</th><td class="n">${quantity(Math.round(Number(line.quantity) * 1000))} × ${plain(line.price)}</td><td class="n">${plain(line.total)}</td></tr>`)}</tbody></table>
    <dl class="facts">
      ${sale.discount > 0 && html`<div><dt>${t("discount")}</dt><dd>${plain(sale.discount)}</dd></div>`}
      <div><dt>${t("tax_word")}</dt><dd>${plain(sale.tax)}</dd></div>
      ${sale.rounding !== 0 && html`<div><dt>${t("rounding")}</dt><dd>${plain(sale.rounding)}</dd></div>`}
      <div><dt>${t("total")}</dt><dd>${money(sale.total + sale.rounding)}</dd></div>
      ${sale.tenders.map((tender, index) => html`<div key=${index}><dt>${kindName(tender.kind)}${tender.reference ? html` <bdi class="quiet">${tender.reference}</bdi>` : ""}</dt><dd>${plain(tender.amount)}</dd></div>`)}
      ${sale.change > 0 && html`<div><dt>${t("change")}</dt><dd>${plain(sale.change)}</dd></div>`}
    </dl>
    ${returns.length > 0 && html`<h3>${t("returns_and_voids")}</h3><ul class="o-list">${returns.map((each) => html`<li key=${each.id}><span class="grow"><b><bdi>${each.reason}</bdi></b><small>${time(each.at)}${each.by ? html` · <bdi>${each.by}</bdi>` : ""}</small></span><b>${plain(-(each.total + each.rounding))}</b></li>`)}</ul>`}
    <${Safe} durable=${sale.durable} />
  <//>`;
}

/** Which disks are known to have a sale. */
function Safe({ durable }) {
  const lights = [
    [t("place_till"), durable.here],
    [t("place_tills", { n: durable.tills, count: number(durable.tills) }), durable.tills > 0],
    [t("place_office"), durable.head_office],
  ];
  return html`<ul class="places" aria-label=${t("safe_on")}>${lights.map(([text, on], index) => html`<li key=${index} class=${on ? "on" : ""}><span class="dot" aria-hidden="true"></span><span>${text}</span><span class="unseen">${on ? t("yes") : t("not_yet")}</span></li>`)}</ul>`;
}

/** A shift's figures: the Z report of any till, the X report of this one. */
function Shift({ shift }) {
  const here = shift.report !== "Z" && shift.till === shop.value.till;
  const current = useAnswer(here ? "/api/shifts/current" : null, { sale: 2000, refund: 2000 });
  const shown = shift.report === "Z" ? shift : here ? current.value : null;
  const paper = shift.report === "Z" ? `/api/shifts/${shift.id}?format=html` : "/api/shifts/current?format=html";
  return html`<${Sheet} title=${`${t(shift.report === "Z" ? "z_report" : "x_report")} · ${t("till")} ${shift.label}`}>
    ${shown ? html`<${ShiftFigures} shift=${shown} />
      ${shown.cashiers?.length > 1 && html`<h3>${t("report_cashier")}</h3><ul class="o-facts-list">${shown.cashiers.map((each) => html`<li key=${each.by}><bdi>${each.by || t("nameless")}</bdi><b>${plain(each.net)}</b></li>`)}</ul>`}
      ${shown.duplicates?.length > 0 && html`<p class="warn">${t("odd_duplicates", { n: shown.duplicates.length, count: number(shown.duplicates.length) })} ${t("odd_duplicates_what")}</p>`}
      ${shown.note && html`<p dir="auto">${shown.note}</p>`}
      <a class="key" href=${paper} target="_blank" rel="noopener"><span class="key-text">${t("print")}</span></a>`
    : here ? html`<${Waiting} problem=${current.problem} />`
    : html`<p>${t("shift_open_since", { at: time(shift.at), amount: money(shift.float) })}</p><p class="quiet">${t("x_at_its_till", { label: shift.label })}</p>`}
  <//>`;
}

function CloseDay({ day }) {
  const id = useId();
  const done = async () => {
    const shut = closer();
    const answer = await record(`/api/days/${day}/close`, id.now, {});
    if (!answer) return;
    say("good", t("day_is_closed", { day: date(day), label: shop.value.label }));
    changed("/api/reports/day/", "/api/shifts");
    shut();
  };
  return html`<${Sheet} title=${t("close_day", { label: shop.value.label })}>
    <p>${t("close_day_what", { day: date(day), label: shop.value.label })}</p>
    <p class="quiet">${t("close_day_others", { label: shop.value.label })}</p>
    <div class="two"><button type="button" class="key" onClick=${close}><span class="key-text">${t("back")}</span></button><button type="button" class="key go" data-focus onClick=${done}><span class="key-text">${t("close_day", { label: shop.value.label })}</span></button></div>
  <//>`;
}

/** What a customer took on account and paid of it, the newest first. */
function Statement({ customer }) {
  const found = useAnswer(`/api/customers/${encodeURIComponent(customer.customer)}/statement?limit=1000`, { sale: 5000, refund: 5000 });
  const rows = found.value?.rows.toReversed() ?? [];
  const shown = found.value ?? customer;
  return html`<${Sheet} title=${customer.name} wide>
    <p class="due small"><span>${t("owes_now")}</span><output>${money(shown.balance.account)}</output></p>
    ${shown.phone && html`<p class="quiet"><bdi dir="ltr">${shown.phone}</bdi>${shown.limit ? ` · ${t("limit")} ${money(shown.limit)}` : ""}</p>`}
    ${!found.value ? html`<${Waiting} problem=${found.problem} />` : html`<div class="o-scroll"><table class="o-table"><thead><tr><th scope="col">${t("col_day")}</th><th scope="col">${t("what_it_was")}</th><th scope="col" class="n">${t("amount")}</th><th scope="col" class="n">${t("balance")}</th></tr></thead>
      <tbody>${rows.map((row, index) => html`<tr key=${index}><th scope="row">${moment(row.at)}</th><td>${t(`kind_${row.kind}`)}${row.receipt ? html` <bdi class="mono" dir="ltr">${row.receipt}</bdi>` : ""}${row.book === "credit" ? html` <span class="tag">${t("tender_store_credit")}</span>` : ""}</td><td class="n">${plain(row.amount)}</td><td class="n">${plain(row.balance)}</td></tr>`)}</tbody></table></div>`}
  <//>`;
}
