// Goods: what runs low, what is on hand, what arrived, what was counted, and what a product is called and costs.

import { apart } from "../../core/owner.js";
import { useAnswer } from "../../following.js";
import { dialog, shop } from "../../state.js";
import { money, named, number, t } from "../../texts.js";
import { html, useEffect, useSignal } from "../../ui.js";
import { Card, Waiting } from "./table.js";

const LOW_MAX = 300;
const FOUND_MAX = 30;
const TYPED_MS = 180; // behind the last letter, before it is searched

export function Stock() {
  return html`<div class="o-grid"><div class="o-col half"><${Search} /></div><div class="o-col half"><${Low} /></div></div>`;
}

/** What is on hand, with its unit. */
export function onHand(text, unit) {
  const shown = number(Number(text));
  return unit && !/^(piece|pcs?|each|ea)$/i.test(unit) ? apart(`${shown} ${unit}`) : shown;
}

function open(kind, more) {
  return () => (dialog.value = { kind, ...more });
}

function Search() {
  const text = useSignal("");
  const asked = useSignal("");
  useEffect(() => {
    const timer = setTimeout(() => (asked.value = text.value.trim()), TYPED_MS);
    return () => clearTimeout(timer);
  }, [text.value]);
  const found = useAnswer(asked.value ? `/api/products?q=${encodeURIComponent(asked.value)}&limit=${FOUND_MAX}` : null, { catalogue: 500 });
  const products = asked.value ? found.value?.products : null;
  return html`<${Card} name="goods" title=${t("goods")} more=${shop.value.manager !== false && html`<button type="button" class="o-link" onClick=${open("product", { sku: null })}>${t("add_product")}</button>`}>
    <label class="field"><span>${t("find_product")}</span><input type="search" value=${text.value} dir="auto" autocomplete="off" spellcheck=${false} onInput=${(event) => (text.value = event.target.value)} /></label>
    ${!asked.value && html`<div class="two"><button type="button" class="key" onClick=${open("moves", { reason: "receipt" })}><span class="key-text">${t("goods_arrived")}</span></button><button type="button" class="key" onClick=${open("moves", { reason: "count" })}><span class="key-text">${t("goods_counted")}</span></button></div>
      <p class="quiet">${t("stock_hint")}</p>`}
    ${products && (products.length ? html`<ul class="o-rows" aria-label=${t("found")}>${products.map((product) => html`<li key=${product.sku}><button type="button" class="row-key" onClick=${open("goods", { product })}>
      <span class="grow"><b><bdi>${named(product)}</bdi></b><small><bdi dir="ltr" class="mono">${product.sku}</bdi>${product.department ? html` · <bdi>${product.department}</bdi>` : ""}</small></span><span class="end">${money(product.price)}</span></button></li>`)}</ul>` : html`<p class="quiet o-none">${t("no_product")}</p>`)}
    ${asked.value && found.problem && html`<${Waiting} problem=${found.problem} />`}
  <//>`;
}

function Low() {
  const found = useAnswer(`/api/stock?low=1&limit=${LOW_MAX}`, { sale: 10_000, refund: 10_000, catalogue: 2000 });
  const all = found.value?.stock;
  const rows = all ? [...all].sort((a, b) => Number(a.on_hand) - Number(b.on_hand)) : [];
  return html`<${Card} name="low" title=${t("low_title")} more=${all && all.length > 0 ? html`<span class="quiet">${number(all.length)}${all.length === LOW_MAX ? "+" : ""}</span>` : null}>
    ${!all ? html`<${Waiting} problem=${found.problem} />` : !rows.length ? html`<p class="good o-none">${t("nothing_low")}</p>` : html`<p class="quiet">${t("low_hint")}</p><ul class="o-rows">${rows.map((each) => html`<li key=${each.sku}><button type="button" class="row-key" onClick=${open("goods", { product: { sku: each.sku, name: each.name, unit: each.unit } })}>
      <span class="grow"><b><bdi>${each.name}</bdi></b><small><bdi dir="ltr" class="mono">${each.sku}</bdi>${each.low_at !== null ? html` · <bdi>${t("low_at", { level: onHand(each.low_at, each.unit) })}</bdi>` : ""}</small></span>
      <span class=${each.negative ? "end bad" : "end warn"}>${onHand(each.on_hand, each.unit)}</span></button></li>`)}</ul>`}
  <//>`;
}
