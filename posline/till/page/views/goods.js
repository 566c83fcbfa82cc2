// Sheets about goods: which of several, how much, for less, and what nobody knows yet.

import { act } from "../acts.js";
import { formatQuantity, parseAmount, parsePercent, parseQuantity } from "../core/money.js";
import { lineOf } from "../core/cart.js";
import { add, addOpen, addProduct, setCart, setLine, setQuantity, sums } from "../selling.js";
import { catalogue } from "../shop.js";
import { cart, dialog, digits, shop } from "../state.js";
import { money, named, plain, quantity, t } from "../texts.js";
import { html, useSignal } from "../ui.js";
import { play } from "../sound.js";
import { Choices, Field, Form, Key, Sheet, close } from "./parts.js";

/** Two products bear one code. */
export function Choose({ products, quantity: times }) {
  const pick = (product) => () => {
    close();
    addProduct(product, times);
  };
  return html`<${Sheet} title=${t("which_one")}><${Choices} items=${products.map((product, index) => ({
    key: product.sku, text: named(product), note: product.sku, end: money(product.price), hint: String(index + 1), pick: pick(product),
  }))} /><//>`;
}

/** How much of a line: pieces, or a weight. */
export function Quantity({ index }) {
  const line = cart.value.lines[index];
  const text = useSignal(line ? formatQuantity(line.quantity) : "1");
  if (!line) return null;
  const amount = parseQuantity(text.value.replace(/\.$/, ""));
  const done = () => {
    if (text.value === "0") setQuantity(index, 0);
    else if (amount === null) return play("error");
    else if (amount !== line.quantity) setQuantity(index, amount);
    return close();
  };
  return html`<${Sheet} title=${named(line)}><${Form} onDone=${done}>
    <${Field} label=${line.unit ? t("quantity_in", { unit: line.unit }) : t("quantity")} value=${text.value} onText=${(to) => (text.value = to)} amount focus pad note=${`${quantity(amount ?? 0, line.unit)} × ${plain(line.price)} = ${plain(Math.round((line.price * (amount ?? 0)) / 1000))}`} />
    <div class="two"><${Key} hint="Del" onPress=${() => { close(); setLine(index, null); }}>${t("take_out")}<//><button type="submit" class="key go"><span class="key-text">${t("set")}</span><kbd>Enter</kbd></button></div>
  <//><//>`;
}

/** Something off the line or the whole, or another price; each with its reason. */
export function Discount({ index }) {
  const whole = useSignal(false);
  const text = useSignal("");
  const percent = useSignal(true);
  const reason = useSignal("");
  const line = cart.value.lines[index];
  const done = () => {
    const set = asked(text.value, percent.value);
    if (!set) return play("error");
    if (whole.value || !line) setCart({ ...set, discount_reason: reason.value });
    else {
      const gross = sums.value.lines[index].gross;
      if ((set.discount ?? 0) > gross) return play("error");
      setLine(index, { ...set, reason: reason.value });
    }
    return close();
  };
  const pick = (to) => () => (whole.value = to);
  return html`<${Sheet} title=${t("discount")}><${Form} onDone=${done}>
    <div class="tabs"><${Tab} on=${!whole.value} pick=${pick(false)}>${line ? named(line) : t("line")}<//><${Tab} on=${whole.value} pick=${pick(true)}>${t("whole_sale")}<//></div>
    <div class="tabs"><${Tab} on=${percent.value} pick=${() => (percent.value = true)}>%<//><${Tab} on=${!percent.value} pick=${() => (percent.value = false)}>${t("amount")}<//></div>
    <${Field} label=${percent.value ? t("percent_off") : t("amount_off")} value=${text.value} onText=${(to) => (text.value = to)} amount focus note=${t("zero_takes_back")} />
    <${Field} label=${t("reason")} value=${reason.value} onText=${(to) => (reason.value = to)} maxlength="100" />
    <div class="two"><${Key} onPress=${() => (dialog.value = { kind: "price", index })} disabled=${!line}>${t("other_price")}<//><button type="submit" class="key go"><span class="key-text">${t("set")}</span><kbd>Enter</kbd></button></div>
  <//><//>`;
}

function asked(text, percent) {
  if (text === "" || Number(text) === 0) return { discount: 0, discount_percent: "" };
  if (percent) return parsePercent(text) === null ? null : { discount: 0, discount_percent: text };
  const amount = parseAmount(text, digits.value);
  return amount === null ? null : { discount: amount, discount_percent: "" };
}

export function Tab({ on, pick, children }) {
  return html`<button type="button" class=${on ? "tab on" : "tab"} aria-pressed=${on} onClick=${pick}>${children}</button>`;
}

export function Price({ index }) {
  const line = cart.value.lines[index];
  const text = useSignal("");
  const reason = useSignal("");
  if (!line) return null;
  const done = () => {
    const amount = parseAmount(text.value, digits.value);
    if (amount === null) return play("error");
    setLine(index, { price: amount, reason: reason.value });
    return close();
  };
  return html`<${Sheet} title=${named(line)}><${Form} onDone=${done}>
    <${Field} label=${t("price_of_one")} value=${text.value} onText=${(to) => (text.value = to)} amount focus note=${t("listed_at", { price: money(line.listed) })} />
    <${Field} label=${t("reason")} value=${reason.value} onText=${(to) => (reason.value = to)} maxlength="100" required />
    <button type="submit" class="key go"><span class="key-text">${t("set")}</span><kbd>Enter</kbd></button>
  <//><//>`;
}

/** A code that nobody knows: a name and a price, and it is sold; kept in the catalogue, it is known at the other tills. */
export function Unknown({ code, quantity: times }) {
  const digitsOnly = /^[0-9]{6,60}$/.test(code);
  const name = useSignal(digitsOnly ? "" : code.slice(0, 100));
  const price = useSignal("");
  const unit = useSignal("");
  const keep = useSignal(digitsOnly);
  const done = async () => {
    const amount = parseAmount(price.value, digits.value);
    if (amount === null || !name.value.trim()) return play("error");
    close();
    const sku = digitsOnly ? code : `open-${crypto.randomUUID().slice(0, 8)}`;
    if (!keep.value) return addOpen({ sku, name: name.value.trim(), price: amount, quantity: times ?? 1000 });
    const product = { sku, name: name.value.trim(), price: amount, ...(digitsOnly ? { barcode: code } : {}), ...(unit.value ? { unit: unit.value } : {}) };
    // sold as an open item until the till has the product: so the sale is right whichever of the two comes first
    catalogue.put([product]);
    add({ ...lineOf(product, times ?? 1000), open: true });
    const { sku: _, ...fields } = product;
    await act("product", `/api/products/${encodeURIComponent(sku)}`, fields, { action: "products", shown: { name: product.name }, method: "PUT" });
    return undefined;
  };
  return html`<${Sheet} title=${t("unknown_code")}><${Form} onDone=${done}>
    <p class="mono big-code" dir="ltr">${code}</p>
    <${Field} label=${t("name")} value=${name.value} onText=${(to) => (name.value = to)} focus=${!name.value} maxlength="100" required />
    <${Field} label=${t("price_of_one")} value=${price.value} onText=${(to) => (price.value = to)} amount focus=${Boolean(name.value)} />
    <${Field} label=${t("unit")} value=${unit.value} onText=${(to) => (unit.value = to)} maxlength="20" list="units" />
    <datalist id="units"><option>kg</option><option>piece</option><option>dozen</option><option>litre</option><option>metre</option></datalist>
    ${shop.value.manager !== false && html`<label class="check"><input type="checkbox" checked=${keep.value} onChange=${(event) => (keep.value = event.target.checked)} /> ${t("keep_product")}</label>`}
    <button type="submit" class="key go"><span class="key-text">${t("add")}</span><kbd>Enter</kbd></button>
  <//><//>`;
}
