// Who owes the shop, and whom it owes.

import { useAnswer } from "../../following.js";
import { dialog } from "../../state.js";
import { money, number, plain, t } from "../../texts.js";
import { html, useSignal } from "../../ui.js";
import { Card, Waiting } from "./table.js";

const LIST_MAX = 1000;

export function Credit() {
  const found = useAnswer(`/api/customers?owing=1&limit=${LIST_MAX}`, { sale: 10_000, refund: 10_000 });
  const text = useSignal("");
  const all = found.value?.customers;
  if (!all) return html`<${Waiting} problem=${found.problem} />`;
  const owed = all.reduce((sum, each) => sum + Math.max(0, each.balance.account), 0);
  const owing = all.filter((each) => each.balance.account > 0).length;
  const credit = all.reduce((sum, each) => sum + Math.max(0, each.balance.credit - Math.min(0, each.balance.account)), 0);
  const wanted = text.value.trim().toLowerCase();
  const shown = all.filter((each) => !wanted || each.name.toLowerCase().includes(wanted) || (each.phone ?? "").replace(/\D/g, "").includes(wanted.replace(/\D/g, "") || "\n"));
  return html`<div class="o-narrow">
    <${Card} name="credit" title=${t("section_credit")} kind="o-hero">
      <output class="o-net">${money(owed)}</output>
      <p class="quiet">${t("owed_by", { n: owing, count: number(owing) })}${all.length === LIST_MAX ? ` ${t("and_more")}` : ""}</p>
      ${credit > 0 && html`<p class="quiet">${t("shop_owes", { amount: money(credit) })}</p>`}
    <//>
    <${Card} name="owing" title=${t("who_owes")}>
      ${all.length > 8 && html`<label class="field"><span>${t("name_or_phone")}</span><input type="search" value=${text.value} dir="auto" autocomplete="off" onInput=${(event) => (text.value = event.target.value)} /></label>`}
      ${!all.length ? html`<p class="quiet o-none">${t("nobody_owes")}</p>` : html`<ul class="o-rows">${shown.map((each) => html`<li key=${each.customer}><button type="button" class="row-key" onClick=${() => (dialog.value = { kind: "statement", customer: each })}>
        <span class="grow"><b><bdi>${each.name}</bdi></b><small>${each.phone ? html`<bdi dir="ltr">${each.phone}</bdi>` : ""}${each.over_limit ? html`${each.phone ? " · " : ""}<bdi class="bad">${t("over_limit", { limit: money(each.limit) })}</bdi>` : ""}</small></span>
        <span class="end">${plain(each.balance.account)}${each.balance.credit !== 0 && html`<small>${t("credit_of", { amount: plain(each.balance.credit) })}</small>`}</span></button></li>`)}</ul>`}
    <//>
  </div>`;
}
