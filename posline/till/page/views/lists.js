// Sheets that list: carts that wait, the last sales with their lights, and how things stand.

import { act, drop, followHolds, followOffice, followSales, places, recall, settleJob } from "../acts.js";
import { approval } from "../people.js";
import { dialog, elsewhere, fiscal, held, printer, reached, refused, sales, say, shop, status, unpaired, waiting, waits } from "../state.js";
import { lineNamed } from "../shop.js";
import { money, moment, number, t, time } from "../texts.js";
import { html, useEffect, useSignal } from "../ui.js";
import { handOver, mayHandOver, saveWaiting, takeOver } from "../hosted.js";
import { Places, Standing, atOffice, hostName } from "./places.js";
import { onPaper } from "./paper.js";
import { resend, giveUp } from "../waiting.js";
import { Choices, Key, Sheet, close } from "./parts.js";
import { alarmText } from "./alarms.js";

export function Carts() {
  useEffect(() => void followHolds(), []);
  const dropping = useSignal(null);
  const take = (each) => async () => {
    close();
    await recall(each);
  };
  if (dropping.value) {
    const each = dropping.value;
    return html`<${Sheet} title=${t("drop_cart", { name: each.name })}><div class="two"><${Key} onPress=${() => (dropping.value = null)}>${t("back")}<//><${Key} kind="danger" onPress=${async () => { close(); await drop(each); }}>${t("drop")}<//></div><//>`;
  }
  return html`<${Sheet} title=${t("carts")}><${Choices} empty=${t("no_carts")} items=${held.value.map((each, index) => ({
    key: each.id, text: each.name, note: `${t("till")} ${each.label} · ${time(each.at)}${each.by ? ` · ${each.by}` : ""} · ${t("items", { n: each.cart.lines.length, count: number(each.cart.lines.length) })}`,
    hint: index < 9 ? String(index + 1) : undefined, pick: take(each), end: money(worth(each.cart)),
  }))} />
  ${held.value.length > 0 && html`<details><summary>${t("drop")}</summary><div class="drops">${held.value.map((each) => html`<${Key} key=${each.id} onPress=${() => (dropping.value = each)}>${each.name}<//>`)}</div></details>`}<//>`;
}

function worth(cart) {
  return (cart.lines ?? []).reduce((sum, line) => sum + Math.round((line.price ?? 0) * Number(line.quantity)), 0);
}

/** The last sales of the shop: each with where it is. */
export function Sales() {
  useEffect(() => void followSales(), []);
  const here = waiting.value.filter((record) => record.kind === "sale" && !record.refused);
  const print = async (sale) => {
    if ((shop.value.printer?.state ?? "off") === "off") return onPaper({ answer: sale, id: sale.id, at: sale.at });
    if (await act("print", "/api/print", { entry: sale.id }, { action: "reprint" })) say("good", t("printing"));
    return undefined;
  };
  return html`<${Sheet} title=${t("last_sales")} wide>
    ${here.length > 0 && html`<h3>${t("in_browser", { n: waits.value, count: number(waits.value) })}</h3><ul class="sale-list">${here.slice(-20).reverse().map((record) => html`<li key=${record.id}>
      <span class="mono">${`R-${record.id.replaceAll("-", "").slice(0, 10).toUpperCase()}`}</span><span class="grow quiet">${time(record.at)} · <bdi>${record.shown.lines.map(lineNamed).join(", ").slice(0, 50)}</bdi></span><b>${money(record.shown.total)}</b><${Places} here small /></li>`)}</ul>`}
    ${sales.value.length === 0 && here.length === 0 && html`<p class="quiet">${t("no_sales")}</p>`}
    <ul class="sale-list">${sales.value.map((sale) => html`<li key=${sale.id}>
      <span class="mono">${sale.receipt}</span><span class="grow quiet">${time(sale.at)} · <bdi>${sale.lines.map(lineNamed).join(", ").slice(0, 50)}</bdi> <${Standing} sale=${sale} /></span><b>${money(sale.total + sale.rounding)}</b><${Places} sale=${sale} small />
      <span class="row-actions"><button type="button" class="small-key" onClick=${() => print(sale)}>${t("reprint")}</button><button type="button" class="small-key" onClick=${() => (dialog.value = { kind: "refund", code: sale.id })}>${t("refund")}</button></span></li>`)}</ul>
  <//>`;
}

/** How things stand: who is linked, what waits where, what a person should look at. */
export function Standings() {
  const { here, till } = places();
  const peers = status.value?.peers ?? [];
  const alarms = status.value?.alarms ?? [];
  useEffect(() => void followOffice(), []);
  return html`<${Sheet} title=${t("state")} wide>
    ${elsewhere.value && html`<p class="alarm bad" role="alert">${t("elsewhere", { label: elsewhere.value.label ?? "", shop: elsewhere.value.shop ?? "" })}</p>`}
    ${unpaired.value && html`<p class="alarm bad" role="alert">${t(unpaired.value === "waiting" ? "unpaired_waiting" : "unpaired")} <a href="/pair">${t(unpaired.value === "waiting" ? "how_it_stands" : "pair_again")}</a></p>`}
    ${shop.value.host && html`<${HandOver} />`}
    ${refused.value.map((record) => html`<${RefusedRecord} key=${record.seq} record=${record} />`)}
    <dl class="facts">
      <div><dt>${t("in_this_browser")}</dt><dd>${number(here)}</dd></div>
      <div><dt>${shop.value.host ? t(atOffice() ? "on_office_only" : "on_host_only", { label: shop.value.host }) : t("on_this_till_only")}</dt><dd>${reached.value === false ? "–" : number(till)}</dd></div>
      <div><dt>${shop.value.host ? hostName() : t("till_program")}</dt><dd>${shop.value.host ? t(reached.value === false || unpaired.value ? "out_of_reach" : "answers") : reached.value === false ? t("not_running") : t("runs")}</dd></div>
      ${fiscal.value?.on && html`<div><dt>${t("fiscal_waiting")}</dt><dd>${number(fiscal.value.counts.queued + fiscal.value.counts.sending)}</dd></div>
        <div><dt>${t("fiscal_look")}</dt><dd>${number(fiscal.value.counts.unknown + fiscal.value.counts.rejected)}</dd></div>
        ${fiscal.value.due && html`<div><dt>${t("fiscal_due")}</dt><dd class=${fiscal.value.overdue ? "bad" : ""}>${moment(fiscal.value.due)}</dd></div>`}`}
    </dl>
    <h3>${t("linked_with")}</h3>
    <ul class="peers">${peers.length ? peers.map((peer) => html`<li key=${peer.name}><span class=${peer.connected && reached.value !== false ? "dot on" : "dot"} aria-hidden="true"></span><bdi class="grow">${peer.name}</bdi><span class="quiet">${peer.connected && reached.value !== false ? (peer.behind ? t("to_send", { n: peer.behind, count: number(peer.behind) }) : t("up_to_date")) : peer.last_seen ? t("last_seen", { at: moment(peer.last_seen) }) : t("never_seen")}</span></li>`) : html`<li class="quiet">${t("no_peers")}</li>`}</ul>
    ${[...(printer.value?.unsure ?? []), ...(printer.value?.lapsed ?? [])].map((job) => html`<div class="alarm" key=${job.id}><b>${t("unsure_job", { name: job.name })}</b><p>${t("unsure_do")}</p>
      <div class="row-actions"><button type="button" class="small-key" onClick=${() => settleJob(job.id, "again")}>${t("print_again")}</button><button type="button" class="small-key" onClick=${() => settleJob(job.id, "drop")}>${t("it_came_out")}</button></div></div>`)}
    ${alarms.length > 0 && html`<h3>${t("alarms")}</h3>${alarms.map((alarm, index) => html`<div class="alarm" key=${index}><b>${alarmText(alarm).title}</b><p>${alarmText(alarm).todo}</p><small class="quiet" dir="ltr">${alarm.detail}</small></div>`)}`}
    <div class="two"><${Key} hint="F2" onPress=${() => (dialog.value = { kind: "sales" })}>${t("last_sales")}<//></div>
    ${shop.value.host && html`<${Lost} />`}
  <//>`;
}

/** Another till of the shop answers, since this phone or tablet was paired again: it may have what waits here. */
function HandOver() {
  const sure = useSignal(false);
  if (!mayHandOver()) return null;
  return html`<div class="alarm"><p>${t("hand_over_why", { label: elsewhere.value.label, old: shop.value.label })}</p>
      <div class="row-actions">${sure.value ? html`<button type="button" class="small-key" onClick=${handOver}>${t("hand_over_sure", { n: waits.value, count: number(waits.value), label: elsewhere.value.label })}</button>` : html`<button type="button" class="small-key" onClick=${() => (sure.value = true)}>${t("hand_over")}</button>`}</div></div>`;
}

/** What to do where the till that hosts this phone or tablet is gone for good. */
function Lost() {
  const file = (event) => event.target.files[0] && takeOver(event.target.files[0]);
  return html`<details><summary>${t(atOffice() ? "office_lost" : "host_lost")}</summary><p>${t(atOffice() ? "office_lost_why" : "host_lost_why")}</p>
      <div class="row-actions">${waits.value > 0 && html`<button type="button" class="small-key" onClick=${saveWaiting}>${t("save_waiting")}</button>`}
      <label class="small-key file">${t("take_over")}<input type="file" accept=".json,application/json" onChange=${file} /></label></div></details>`;
}

/** Something that the till did not take: nothing is lost, and a person decides. */
function RefusedRecord({ record }) {
  const { status: code, detail } = record.refused;
  const approve = async () => {
    const proof = await approval(t("approve_later"));
    if (proof) await resend(record, { approve: proof });
  };
  return html`<div class="alarm bad"><b>${t("refused_title", { what: t(`kind_${record.kind}`), amount: record.shown?.total ? money(record.shown.total) : "", at: moment(record.at) })}</b>
    <p dir="auto">${code === 403 ? t("approve_later") : detail}</p>
    <div class="row-actions">${code === 403 && html`<button type="button" class="small-key" onClick=${approve}>${t("approve")}</button>`}
      <button type="button" class="small-key" onClick=${() => resend(record)}>${t("try_again")}</button>
      <button type="button" class="small-key" onClick=${() => giveUp(record)}>${t("give_up")}</button></div></div>`;
}
