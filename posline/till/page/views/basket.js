// The cart: the one field that everything is typed and scanned into, what it finds, and the lines.

import { products as shelf, cart, selected, sales, shop } from "../state.js";
import { typed } from "../core/codes.js";
import { add, addProduct, enter, pay, scanned, setLine, sums, undo } from "../selling.js";
import { catalogue } from "../shop.js";
import { money, named, number, plain, quantity, t } from "../texts.js";
import { html, signal, useEffect, useLayoutEffect, useRef } from "../ui.js";
import { play } from "../sound.js";
import { touched } from "./parts.js";

const FOUND_MS = 90; // after the last letter: what a scanner types is over by then, and is looked up as a whole
const FOUND_MAX = 12;
export const entry = signal("");
const found = signal({ text: "", products: [] });
const picked = signal(-1);
let timer = null;

/** The field that codes are typed into. */
export function entryField() {
  return document.getElementById("entry");
}

/** A scan, wherever the focus is: what stands in the field as a quantity ("3*") counts. `whole` is what stood there with
 * the code behind it; where that is a code itself, or nothing but figures, it is what was scanned. */
export function heardScan(code, whole) {
  const all = typed(whole);
  const { quantity: times, code: rest } = typed(entry.value);
  const dawdled = rest !== "" && (catalogue.bearing(all.code).length > 0 || /^[0-9]{8,}$/.test(all.code));
  const pieces = dawdled ? all.quantity : rest ? null : times;
  if (dawdled || pieces) write("");
  scanned(dawdled ? all.code : code, pieces ? String(pieces / 1000) : null);
}

function write(text) {
  entry.value = text;
  picked.value = -1;
  clearTimeout(timer);
  const wanted = typed(text).code;
  if (wanted.length < 2 || /^[0-9]{6,}$/.test(wanted)) found.value = { text: "", products: [] };
  else timer = setTimeout(() => (found.value = { text: wanted, products: catalogue.search(wanted, FOUND_MAX) }), FOUND_MS);
}

export function clearEntry() {
  write("");
}

function take(product) {
  const { quantity: times } = typed(entry.value);
  write("");
  addProduct(product, times);
}

/** Enter: what is picked from the list, else what the text says, else the first that was found. */
function done() {
  const text = entry.value;
  if (picked.value >= 0 && found.value.products[picked.value]) return take(found.value.products[picked.value]);
  const came = enter(text);
  if (came === "line" || came === "choose" || came === "receipt") return write("");
  if (came === "nothing" || came === "quantity") return undefined;
  const { code, quantity: times } = typed(text);
  const first = catalogue.search(code, 1)[0];
  if (first && !/^[0-9]{6,}$/.test(code)) return take(first);
  write("");
  return scanned(code, times ? String(times / 1000) : null);
}

/** What keys do while nothing is typed. */
export const EMPTY_KEYS = { "+": () => pay(), "-": undo, Delete: () => setLine(selected.value, null) };

function keys(event) {
  if (event.key === "Enter") {
    event.preventDefault();
    done();
    return;
  }
  const list = found.value.products;
  if (list.length && (event.key === "ArrowDown" || event.key === "ArrowUp")) {
    picked.value = Math.max(-1, Math.min(list.length - 1, picked.value + (event.key === "ArrowDown" ? 1 : -1)));
    event.preventDefault();
    return;
  }
  if (event.key === "Escape" && entry.value) {
    write("");
    event.stopPropagation();
    return;
  }
  if (entry.value) return;
  if (event.key === "ArrowDown" || event.key === "ArrowUp") {
    selected.value = Math.max(0, Math.min(cart.value.lines.length - 1, selected.value + (event.key === "ArrowDown" ? 1 : -1)));
    event.preventDefault();
  } else if (EMPTY_KEYS[event.key]) {
    event.preventDefault();
    EMPTY_KEYS[event.key]();
  }
}

/** A phone's own keyboard covers half the screen: it comes up for who taps the field, and not whenever that has the focus. */
const tapped = signal(false);

export function Entry() {
  const list = found.value.products;
  const open = list.length > 0 && entry.value !== "";
  return html`<div class="entry">
    <input id="entry" type="text" value=${entry.value} onInput=${(event) => write(event.target.value)} onKeyDown=${keys} placeholder=${t("entry_hint")}
      aria-label=${t("entry_label")} role="combobox" aria-expanded=${open} aria-controls="found" aria-activedescendant=${picked.value >= 0 ? `found-${picked.value}` : undefined}
      autocomplete="off" autocapitalize="off" spellcheck=${false} dir="auto" inputmode=${touched ? (tapped.value ? "search" : "none") : undefined} enterkeyhint="done"
      onPointerDown=${() => (tapped.value = true)} onBlur=${() => (tapped.value = false)} />
    ${open && html`<ul id="found" class="found" role="listbox" aria-label=${t("found")}>${list.map(
      (product, index) => html`<li key=${product.sku} id=${`found-${index}`} role="option" aria-selected=${index === picked.value} class=${index === picked.value ? "on" : ""}
        onPointerDown=${(event) => { event.preventDefault(); take(product); }}><bdi class="grow">${named(product)}</bdi><span class="code">${product.barcode ?? product.sku}</span><b>${plain(product.price)}</b></li>`,
    )}</ul>`}
  </div>`;
}

export function Lines() {
  const list = useRef(null);
  const { lines } = cart.value;
  const result = sums.value;
  useLayoutEffect(() => {
    list.current?.querySelector(".on")?.scrollIntoView({ block: "nearest" });
  }, [selected.value, lines]);
  if (!lines.length) return html`<${Empty} />`;
  return html`<div class="lines" ref=${list}><table aria-label=${t("cart")}>
    <thead class="unseen"><tr><th>${t("item")}</th><th>${t("quantity")}</th><th>${t("total")}</th></tr></thead>
    <tbody>${lines.map((line, index) => html`<${Row} key=${index} line=${line} index=${index} sum=${result.lines[index]} />`)}</tbody>
  </table></div>`;
}

function Row({ line, index, sum }) {
  const on = index === selected.value;
  return html`<tr class=${on ? "on" : ""} aria-current=${on ? "true" : undefined} onClick=${() => (selected.value = index)}>
    <td class="name"><bdi>${named(line)}</bdi>${line.open && html` <span class="tag">${t("open_item")}</span>`}
      <small><bdi dir="ltr">${quantity(line.quantity, line.unit)} × ${plain(line.price)}</bdi>${line.price !== line.listed && html` <s>${plain(line.listed)}</s>`}${
        sum.discount > 0 && html` <span class="less">− ${plain(sum.discount)}</span>`}</small></td>
    <td class="n qty">${number(line.quantity / 1000)}</td>
    <td class="n">${plain(sum.total)}</td>
  </tr>`;
}

function Empty() {
  const { size, complete } = shelf.value;
  return html`<div class="lines empty"><p class="big">${t("ready")}</p>
    <p class="quiet">${complete ? t("products_here", { n: size, count: number(size) }) : t("products_coming")}</p>
    ${!touched && html`<p class="quiet">${t("ready_hint")}</p>`}</div>`;
}

/** The sums below the lines. */
export function Sums() {
  const result = sums.value;
  const pieces = cart.value.lines.reduce((sum, line) => sum + (line.quantity % 1000 ? 1 : line.quantity / 1000), 0);
  return html`<dl class="sums">
    <div><dt>${t("items", { n: pieces, count: number(pieces) })}</dt><dd>${plain(result.subtotal)}</dd></div>
    ${result.discount > 0 && html`<div><dt>${t("discount")}</dt><dd>− ${plain(result.discount)}</dd></div>`}
    ${result.tax > 0 && html`<div class="quiet"><dt>${t("tax")}</dt><dd>${plain(result.tax)}</dd></div>`}
    ${result.rounding !== 0 && html`<div><dt>${t("rounding")}</dt><dd>${plain(result.rounding)}</dd></div>`}
  </dl>`;
}
