// Where a sale is known to be: this browser, this till, other tills, the head office. A light is on only for a disk that
// has said so. On a phone or tablet, "this till" is its host; where that is the head office there are three places.

import { shop } from "../state.js";
import { number, t } from "../texts.js";
import { html } from "../ui.js";

/** Whether the head office's is the disk that this page's till writes to. */
export function atOffice() {
  return shop.value?.host_kind === "head office";
}

/** What people call the disk that this page's till writes to, where that is another device's. */
export function hostName() {
  return atOffice() ? t("place_office") : `${t("till")} ${shop.value.host}`;
}

/** The lights of a sale. `here` where this browser alone has it. */
export function Places({ sale, here, small = false }) {
  const durable = sale?.durable ?? {};
  const lights = [
    ["place_browser", here || Boolean(sale)],
    ["place_till", Boolean(sale) && durable.here !== false],
    ["place_tills", durable.tills > 0, durable.tills],
    ["place_office", durable.head_office === true],
  ];
  if (atOffice()) lights.splice(1, 3, lights[3], lights[2]);
  return html`<ul class=${small ? "places small" : "places"} aria-label=${t("safe_on")}>${lights.map(
    ([key, on, n]) => html`<li key=${key} class=${on ? "on" : ""}><span class="dot" aria-hidden="true"></span><span>${key === "place_tills" ? t(key, { n: n ?? 0, count: number(n ?? 0) }) : key === "place_till" && shop.value?.host ? hostName() : t(key)}</span><span class="unseen">${on ? t("yes") : t("not_yet")}</span></li>`,
  )}</ul>`;
}

/** A status other than counted, in words. */
export function Standing({ sale }) {
  return sale.status && sale.status !== "counted" ? html`<span class="tag bad">${t(`status_${sale.status}`)}</span>` : null;
}

