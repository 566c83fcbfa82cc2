// The shop's devices: what each has and lacks, who was not let in, and another till is invited.

import { useAnswer } from "../../following.js";
import { dialog, shop, status } from "../../state.js";
import { moment, number, t } from "../../texts.js";
import { html } from "../../ui.js";
import { Hosting } from "./hosting.js";
import { Card, Waiting } from "./table.js";
import { Alarms, Tills } from "./today.js";
import { today } from "./where.js";

export function Devices() {
  const report = useAnswer(`/api/reports/day/${today.value}`, { sale: 2000, refund: 2000, status: 15_000 });
  const others = status.value?.peers.filter((peer) => !["till", "head office", "hosted"].includes(peer.kind)) ?? [];
  const refused = status.value?.refused ?? [];
  const waits = status.value?.waiting ?? 0;
  return html`<div class="o-grid">
    <${Alarms} />
    <div class="o-col half">${report.value ? html`<${Tills} report=${report.value} all />` : html`<${Waiting} problem=${report.problem} />`}
    ${others.length > 0 && html`<${Card} name="others" title=${t("other_programs")}><ul class="o-tills">${others.map((peer) => html`<li key=${peer.id}><span class=${peer.connected ? "dot on good" : "dot"} aria-hidden="true"></span><span class="grow"><b><bdi>${peer.name || peer.url}</bdi></b><small>${peer.connected ? t("linked") : html`${peer.last_seen ? t("last_seen", { at: moment(peer.last_seen) }) : t("never_seen")} <bdi>${peer.why}</bdi>`}</small></span></li>`)}</ul><//>`}
    ${refused.length > 0 && html`<${Card} name="refused" title=${t("not_let_in")}><ul class="o-list">${refused.map((each, index) => html`<li key=${index}><span class="grow"><b dir="auto">${each.who}</b><small dir="auto">${each.why}</small></span><span class="o-end"><small>${moment(each.at)}</small></span></li>`)}</ul><//>`}
    </div>
    <div class="o-col half">
    <${Card} name="invite" title=${t("invite_title")}>
      <p>${t("invite_why")}</p>
      <button type="button" class="key go" onClick=${() => (dialog.value = { kind: "invite" })}><span class="key-text">${t("invite_till")}</span></button>
    <//>
    <${Hosting} />
    <${Card} name="safe" title=${t("safe_title")}>
      <p class=${waits ? "warn" : "good"}>${waits ? t("waits_here", { n: waits, count: number(waits), till: shop.value.label }) : t("all_elsewhere")}</p>
      <p class="quiet">${t("version_is", { version: shop.value.version ?? "" })}</p>
    <//>
    ${!status.value?.alarms?.length && html`<${Alarms} calm />`}
    </div>
  </div>`;
}
