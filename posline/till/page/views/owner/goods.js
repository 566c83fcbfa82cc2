// Sheets about goods: one product with what is on hand, what arrived or was counted, and what a product is.

import { ask, glance } from "../../calls.js";
import { parseAmount } from "../../core/money.js";
import { plainText } from "../../core/codes.js";
import { changed, useAnswer } from "../../following.js";
import { dialog, digits, say, shop } from "../../state.js";
import { money, named, number, t } from "../../texts.js";
import { html, useEffect, useRef, useSignal } from "../../ui.js";
import { play } from "../../sound.js";
import { Field, Form, Sheet } from "../parts.js";
import { record, useId } from "./record.js";
import { onHand } from "./stock.js";
import { Waiting } from "./table.js";

const TYPED_MS = 180; // behind the last letter, before it is searched
const UNITS = ["kg", "piece", "dozen", "litre", "metre"];
const QUANTITY = /^-?[0-9]{1,6}(\.[0-9]{1,3})?$/;

const addressOf = (sku) => `/api/products/${encodeURIComponent(sku)}`;

/** A product: what it costs, what is on hand, and what can be done about it. */
export function Goods({ product }) {
  const known = useAnswer(addressOf(product.sku), { catalogue: 500 });
  const stock = useAnswer(`/api/stock?sku=${encodeURIComponent(product.sku)}`, { sale: 3000, refund: 3000 });
  const shown = known.value ?? product;
  const held = stock.value;
  const to = (kind, more) => () => (dialog.value = { kind, ...more });
  return html`<${Sheet} title=${named(shown)}>
    <p class="due small"><span>${t("on_hand")}</span><output class=${held?.negative ? "bad" : held?.low ? "warn" : ""}>${held ? onHand(held.on_hand, held.unit) : "…"}</output></p>
    ${held?.negative && html`<p class="quiet">${t("negative_why")}</p>`}
    <dl class="facts">
      ${shown.price !== undefined && html`<div><dt>${t("price")}</dt><dd>${money(shown.price)}</dd></div>`}
      <div><dt>${t("col_sku")}</dt><dd><bdi dir="ltr" class="mono">${shown.sku}</bdi></dd></div>
      ${shown.barcode && html`<div><dt>${t("barcode")}</dt><dd><bdi dir="ltr" class="mono">${shown.barcode}</bdi></dd></div>`}
      ${shown.department && html`<div><dt>${t("col_department")}</dt><dd><bdi>${shown.department}</bdi></dd></div>`}
      ${held && held.low_at !== null && html`<div><dt>${t("low_level")}</dt><dd>${onHand(held.low_at, held.unit)}</dd></div>`}
    </dl>
    <div class="two"><button type="button" class="key" data-focus onClick=${to("moves", { reason: "receipt", first: shown })}><span class="key-text">${t("goods_arrived")}</span></button>
      <button type="button" class="key" onClick=${to("moves", { reason: "count", first: shown })}><span class="key-text">${t("goods_counted")}</span></button></div>
    ${shop.value.manager !== false && known.value && html`<button type="button" class="key" onClick=${to("product", { sku: shown.sku, known: shown })}><span class="key-text">${t("edit_product")}</span></button>`}
  <//>`;
}

/** Goods that arrived, or were counted: product by product, recorded all at once. Scanned or searched. */
export function Moves({ reason, first = null }) {
  const id = useId();
  const rows = useSignal(first ? [{ sku: first.sku, name: named(first), unit: first.unit ?? "", text: "" }] : []);
  const note = useSignal("");
  const busy = useSignal(false);
  const add = (product) => {
    if (!rows.value.some((row) => row.sku === product.sku)) rows.value = [...rows.value, { sku: product.sku, name: named(product), unit: product.unit ?? "", text: "" }];
  };
  const set = (sku, text) => (rows.value = rows.value.map((row) => (row.sku === sku ? { ...row, text } : row)));
  const filled = rows.value.filter((row) => row.text !== "");
  const wrong = filled.filter((row) => !QUANTITY.test(row.text) || (reason === "receipt" && Number(row.text) === 0));
  const done = async (shut) => {
    if (busy.value) return;
    if (!filled.length || wrong.length) return play("error");
    busy.value = true;
    const moves = filled.map(({ sku, text }) => (reason === "count" ? { sku, counted: text, reason } : { sku, quantity: text, reason }));
    const answer = await record("/api/stock", id.now, { moves, ...(note.value.trim() ? { note: note.value.trim() } : {}) });
    busy.value = false;
    if (!answer) return undefined;
    id.again();
    play("paid");
    say("good", t(reason === "count" ? "count_recorded" : "receipt_recorded", { n: moves.length, count: number(moves.length) }));
    changed("/api/stock");
    return shut();
  };
  return html`<${Sheet} title=${t(reason === "count" ? "goods_counted" : "goods_arrived")} wide>
    <${Finder} onPick=${add} focus=${!first} />
    <${Form} onDone=${done}>
      ${!rows.value.length && html`<p class="quiet">${t("moves_hint")}</p>`}
      ${rows.value.length > 0 && html`<ul class="o-moves">${rows.value.map((row, index) => html`<li key=${row.sku}><span class="grow"><b><bdi>${row.name}</bdi></b><small><bdi dir="ltr" class="mono">${row.sku}</bdi></small></span>
        <label><span class="unseen">${t("quantity")}: ${row.name}</span><input class=${wrong.includes(row) ? "amount short wrong" : "amount short"} dir="ltr" inputmode="decimal" autocomplete="off" value=${row.text} data-focus=${(first && index === 0) || undefined} onInput=${(event) => { const text = plainText(event.target.value).replace(/[^0-9.-]/g, ""); event.target.value = text; set(row.sku, text); }} /></label>
        <span class="o-unit">${row.unit || t("pieces")}</span>
        <button type="button" class="step-key" onClick=${() => (rows.value = rows.value.filter((each) => each.sku !== row.sku))} aria-label=${`${t("take_out")}: ${row.name}`}>×</button></li>`)}</ul>`}
      <${Field} label=${t(reason === "count" ? "note" : "delivery_note")} value=${note.value} onText=${(to) => (note.value = to)} maxlength="200" />
      <p class="quiet">${t(reason === "count" ? "count_hint" : "receipt_hint")}</p>
      <button type="submit" class="key go" disabled=${!filled.length || busy.value}><span class="key-text">${t("record")}</span></button>
    <//>
  <//>`;
}

/** A field that finds products by a scanned code, or by what is typed. */
function Finder({ onPick, focus }) {
  const text = useSignal("");
  const found = useSignal([]);
  const field = useRef(null);
  useEffect(() => {
    const wanted = text.value.trim();
    if (!wanted) return void (found.value = []);
    const timer = setTimeout(async () => {
      const answer = await glance(`/api/products?q=${encodeURIComponent(wanted)}&limit=6`);
      if (answer && text.value.trim() === wanted) found.value = answer.products;
    }, TYPED_MS);
    return () => clearTimeout(timer);
  }, [text.value]);
  const take = (product) => {
    onPick(product);
    text.value = "";
    found.value = [];
    field.current.focus();
  };
  const done = async () => {
    const code = plainText(text.value).trim();
    if (!code) return;
    const exact = await glance(`/api/products?barcode=${encodeURIComponent(code)}`);
    const one = exact?.products[0] ?? (await glance(addressOf(code))) ?? found.value[0];
    if (one) take(one);
    else play("unknown");
  };
  return html`<${Form} onDone=${done} class="o-finder">
    <label class="field"><span>${t("find_product")}</span><input ref=${field} type="search" value=${text.value} dir="auto" autocomplete="off" spellcheck=${false} data-focus=${focus || undefined} onInput=${(event) => (text.value = event.target.value)} /></label>
    ${found.value.length > 0 && html`<ul class="o-rows">${found.value.map((product) => html`<li key=${product.sku}><button type="button" class="row-key" onClick=${() => take(product)}><span class="grow"><b><bdi>${named(product)}</bdi></b><small><bdi dir="ltr" class="mono">${product.sku}</bdi></small></span><span class="end">${money(product.price)}</span></button></li>`)}</ul>`}
  <//>`;
}

const asText = (minor) => (minor === undefined || minor === null ? "" : String(minor / 10 ** digits.value));

/** What a product is: a new one, or another name, price or key for one that there is. */
export function Product({ sku, known = null }) {
  const id = useId();
  const form = useSignal({
    sku: sku ?? "", name: known?.name ?? "", name_ur: known?.name_ur ?? "", price: asText(known?.price), barcode: known?.barcode ?? "", department: known?.department ?? "", unit: known?.unit ?? "",
    tax: known?.tax ?? "", favourite: known?.favourite ?? "", low_stock: known?.low_stock ?? "", active: known?.active !== false,
  });
  const departments = useAnswer("/api/departments").value?.departments ?? [];
  const problem = useSignal("");
  const busy = useSignal(false);
  const set = (name) => (value) => (form.value = { ...form.value, [name]: value });
  const done = async (shut) => {
    if (busy.value) return;
    const { sku: typed, price, active, ...texts } = form.value;
    const amount = parseAmount(price, digits.value);
    const code = sku ?? (plainText(typed).trim() || plainText(texts.barcode).trim());
    problem.value = !texts.name.trim() ? t("needs_name") : amount === null ? t("needs_price") : !code ? t("needs_code") : "";
    if (problem.value) return play("error");
    busy.value = true;
    if (!sku && (await ask(addressOf(code)).catch(() => null))) {
      busy.value = false;
      problem.value = t("code_is_taken", { code });
      return play("error");
    }
    const fields = { name: texts.name.trim(), price: amount };
    for (const name of ["name_ur", "barcode", "department", "unit", "tax", "favourite", "low_stock"]) {
      const text = name === "name_ur" || name === "department" ? texts[name].trim() : plainText(texts[name]).trim();
      if (text !== String(known?.[name] ?? "")) fields[name] = text === "" ? null : text;
    }
    if (active !== (known?.active !== false)) fields.active = active;
    const answer = await record(addressOf(code), id.now, fields, { method: "PUT" });
    busy.value = false;
    if (!answer) return id.again(); // what is mended is another edit
    id.again();
    play("paid");
    say("good", t("product_saved", { name: fields.name }));
    changed("/api/products", "/api/stock", "/api/departments");
    return shut();
  };
  const classes = Object.entries(shop.value.classes ?? {});
  const value = form.value;
  return html`<${Sheet} title=${sku ? named(known ?? { name: sku }) : t("add_product")} wide><${Form} onDone=${done} class="o-form">
    <${Field} label=${t("name")} value=${value.name} onText=${set("name")} maxlength="200" required focus />
    <${Field} label=${t("name_in_urdu")} value=${value.name_ur} onText=${set("name_ur")} maxlength="200" lang="ur" />
    <${Field} label=${t("price")} value=${value.price} onText=${set("price")} amount />
    <${Field} label=${t("barcode")} value=${value.barcode} onText=${set("barcode")} maxlength="60" dir="ltr" />
    ${!sku && html`<${Field} label=${t("own_code")} value=${value.sku} onText=${set("sku")} maxlength="60" dir="ltr" note=${t("own_code_note")} />`}
    <${Field} label=${t("col_department")} value=${value.department} onText=${set("department")} maxlength="100" list="o-departments" />
    <datalist id="o-departments">${departments.map((each) => html`<option key=${each.department}>${each.department}</option>`)}</datalist>
    <${Field} label=${t("unit")} value=${value.unit} onText=${set("unit")} maxlength="20" list="o-units" />
    <datalist id="o-units">${UNITS.map((each) => html`<option key=${each}>${each}</option>`)}</datalist>
    <label class="field"><span>${t("col_class")}</span><select value=${value.tax} onChange=${(event) => set("tax")(event.target.value)}>
      <option value="">${t("no_class")}</option>${classes.map(([code, each]) => html`<option key=${code} value=${code}>${t(`class_${code}`) === `class_${code}` ? (each.name ?? code) : t(`class_${code}`)}</option>`)}</select></label>
    <${Field} label=${t("favourite_key")} value=${value.favourite} onText=${set("favourite")} maxlength="7" dir="ltr" mode="numeric" note=${t("favourite_note")} />
    <${Field} label=${t("low_level")} value=${value.low_stock} onText=${set("low_stock")} maxlength="12" dir="ltr" mode="decimal" note=${t("low_note")} />
    ${sku && html`<label class="check"><input type="checkbox" checked=${value.active} onChange=${(event) => set("active")(event.target.checked)} /> ${t("is_sold")}</label>`}
    ${problem.value && html`<p class="bad" role="alert">${problem.value}</p>`}
    <button type="submit" class="key go" disabled=${busy.value}><span class="key-text">${t("save")}</span></button>
  <//><//>`;
}
