// Paper by way of the browser, where the till has no printer of its own or is not running: a receipt with the number, or
// with the reference by which the sale is found once it has one.

import { renderSVG } from "../vendor/uqr.mjs";
import { reference } from "../core/codes.js";
import { ACCOUNT } from "../core/pricing.js";
import { formatQuantity } from "../core/money.js";
import { autoPrint, last, shop } from "../state.js";
import { lineNamed } from "../shop.js";
import { money, moment, plain, quantity, t } from "../texts.js";
import { effect, html, signal, useEffect } from "../ui.js";
import { kindName } from "./pay.js";
import { ShiftFigures } from "./drawer.js";

const page = signal(null);
let store = null;

/** Print a receipt: of a sale as the till answers it, or as this page rang it. */
export function onPaper(sale) {
  page.value = { sale };
}

/** Print a shift's report. */
export function onReport(shift) {
  page.value = { shift };
}

const WAIT_MS = 300; // for the number of a sale; after that it is printed with its reference

/** Print each sale as it is rung, where that was asked for and the till has no printer of its own. */
export function printEach(kept) {
  store = kept;
  void store.kept("print").then((kept) => (autoPrint.value = kept === true)).catch(() => {});
  let printed = "";
  effect(() => {
    const sale = last.value;
    if (!sale || !autoPrint.peek() || printed === sale.id || (shop.peek()?.printer?.state ?? "off") !== "off") return;
    printed = sale.id;
    setTimeout(() => last.value?.id === sale.id && onPaper(last.value), WAIT_MS);
  });
}

/** Print each sale from now on, or no more. */
export function setPrinting(on) {
  autoPrint.value = on;
  return store.keep("print", on).catch(() => {});
}

export function Paper() {
  const shown = page.value;
  useEffect(() => {
    if (!shown) return;
    print();
    page.value = null;
  }, [shown]);
  if (!shown) return null;
  return html`<div class="paper">${shown.sale ? html`<${Receipt} ...${shown.sale} />` : html`<${ShiftFigures} shift=${shown.shift} />`}</div>`;
}

function Receipt({ id, at, answer, cart, sums, tenders, customer, by }) {
  const head = shop.value.settings?.receipt ?? {};
  const number = answer?.receipt ?? reference(id);
  const lines = answer ? answer.lines : cart.lines.map((line, index) => ({ ...line, quantity: formatQuantity(line.quantity), discount: sums.lines[index].discount, total: sums.lines[index].total }));
  const figures = answer ?? { ...sums, tenders: tenders ?? [{ kind: "cash", amount: sums.payable }] };
  return html`<article>
    <h1><bdi>${head.name || shop.value.shop}</bdi></h1>
    ${[head.header, head.address, head.phone].filter(Boolean).map((text) => html`<p key=${text}><bdi>${text}</bdi></p>`)}
    ${head.ntn && html`<p>NTN ${head.ntn}</p>`}${head.strn && html`<p>STRN ${head.strn}</p>`}
    <p><b class="mono">${number}</b><br />${moment(at)} · ${t("till")} ${shop.value.label}${by ? html` · <bdi>${by}</bdi>` : ""}</p>
    <table><tbody>${lines.map((line, index) => html`<tr key=${index}><td><bdi>${lineNamed(line)}</bdi><br /><small><bdi dir="ltr">${quantity(Math.round(Number(line.quantity) * 1000))} × ${plain(line.price)}</bdi>${line.discount ? ` − ${plain(line.discount)}` : ""}</small></td><td class="n">${plain(line.total)}</td></tr>`)}</tbody></table>
    <table><tbody>
      ${figures.discount > 0 && html`<tr><td>${t("discount")}</td><td class="n">− ${plain(figures.discount)}</td></tr>`}
      ${figures.tax > 0 && html`<tr><td>${t("tax")}</td><td class="n">${plain(figures.tax)}</td></tr>`}
      ${figures.rounding !== 0 && html`<tr><td>${t("rounding")}</td><td class="n">${plain(figures.rounding)}</td></tr>`}
      <tr class="total"><td>${t("to_pay")}</td><td class="n">${money(figures.total + figures.rounding)}</td></tr>
      ${figures.tenders.map((tender, index) => html`<tr key=${index}><td>${kindName(tender.kind)}</td><td class="n">${plain(tender.amount)}</td></tr>`)}
      ${figures.change > 0 && html`<tr><td>${t("change")}</td><td class="n">${plain(figures.change)}</td></tr>`}
      ${customer && figures.tenders.some((tender) => tender.kind === ACCOUNT) && html`<tr><td colspan="2">${t("on_account_of", { name: customer.name })}</td></tr>`}
    </tbody></table>
    <div class="code" ref=${(box) => box && drawCode(box, number)}></div>
    ${!answer && html`<p><small>${t("number_follows")}</small></p>`}
    ${head.footer && html`<p><bdi>${head.footer}</bdi></p>`}
  </article>`;
}

/** The code of a number, as a picture of the page's own making. */
function drawCode(box, text) {
  const drawn = new DOMParser().parseFromString(renderSVG(text, { border: 2 }), "image/svg+xml").documentElement;
  box.replaceChildren(document.importNode(drawn, true));
}

