// Where a sale is known to be: this browser, this till, other tills, the head office. A light is on only for a disk that
// has said so.

import { shop } from "../state.js";
import { number, t } from "../texts.js";
import { html } from "../ui.js";

/** The four lights of a sale. `here` where this browser alone has it. */
export function Places({ sale, here, small = false }) {
  const durable = sale?.durable ?? {};
  const lights = [
    ["place_browser", here || Boolean(sale)],
    ["place_till", Boolean(sale) && durable.here !== false],
    ["place_tills", durable.tills > 0, durable.tills],
    ["place_office", durable.head_office === true],
  ];
  return html`<ul class=${small ? "places small" : "places"} aria-label=${t("safe_on")}>${lights.map(
    ([key, on, n]) => html`<li key=${key} class=${on ? "on" : ""}><span class="dot" aria-hidden="true"></span><span>${key === "place_tills" ? t(key, { n: n ?? 0, count: number(n ?? 0) }) : key === "place_till" && shop.value?.host ? `${t("till")} ${shop.value.host}` : t(key)}</span><span class="unseen">${on ? t("yes") : t("not_yet")}</span></li>`,
  )}</ul>`;
}

/** A status other than counted, in words. */
export function Standing({ sale }) {
  return sale.status && sale.status !== "counted" ? html`<span class="tag bad">${t(`status_${sale.status}`)}</span>` : null;
}

