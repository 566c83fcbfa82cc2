// Paying: what is due in large figures, what was given, and what goes back. No dialog and no page of success: the next
// sale begins with the next scan.

import { parseAmount } from "../core/money.js";
import { ACCOUNT, CASH, price } from "../core/pricing.js";
import { plainText } from "../core/codes.js";
import { approval } from "../people.js";
import { beyondLimits, addTender, ring } from "../selling.js";
import { cart, dialog, digits, last, paying, reached, say, shop, status, terms } from "../state.js";
import { money, number, plain, t, time } from "../texts.js";
import { computed, html, signal, useLayoutEffect, useRef } from "../ui.js";
import { reference } from "../core/codes.js";
import { play } from "../sound.js";
import { Key, Pad, touched } from "./parts.js";
import { Places } from "./places.js";

export const CREDIT = "store_credit";
const KINDS = [[CASH, "KeyC"], ["card", "KeyD"], ["raast", "KeyR"], ["jazzcash", "KeyJ"], ["easypaisa", "KeyE"], [ACCOUNT, "KeyU"], [CREDIT, "KeyS"]];
const NOTES = [[100, "F2"], [500, "F3"], [1000, "F4"], [5000, "F6"]];
const given = signal("");
const slip = signal("");

/** What is due if the rest is paid by this kind. */
const due = computed(() => {
  if (!paying.value) return 0;
  const { kind, tenders } = paying.value;
  const paid = tenders.reduce((sum, tender) => sum + tender.amount, 0);
  const before = price(cart.value, terms.value, []).total;
  const settled = price(cart.value, terms.value, [...tenders, { kind, amount: Math.max(1, before - paid) }]);
  return Math.max(0, settled.payable - paid);
});

export function leave() {
  paying.value = null;
  given.value = "";
  slip.value = "";
  dialog.value = null;
}

function choose(kind) {
  paying.value = { ...paying.value, kind };
  slip.value = "";
  if ((kind === ACCOUNT || kind === CREDIT) && !cart.value.customer) dialog.value = { kind: "customer", then: "pay" };
}

/** So much is given by the kind that is chosen: all that is due, or a part, after which the rest is asked for. */
async function give(amount) {
  const { kind, tenders } = paying.value;
  const exact = amount === null || amount === due.value;
  if ((kind === ACCOUNT || kind === CREDIT) && !cart.value.customer) return choose(kind);
  if (kind !== CASH && amount !== null && amount > due.value) {
    play("error");
    return say("bad", t("no_change_by", { kind: kindName(kind) }));
  }
  if (amount !== null && amount < due.value) {
    const reference = slip.value;
    given.value = "";
    slip.value = "";
    if (amount > 0) addTender({ kind, amount, reference });
    return undefined;
  }
  const beyond = beyondLimits();
  const asked = [cart.value, paying.value];
  let approve = null;
  if (beyond) {
    approve = await approval(t(beyond));
    if (approve === null || cart.value !== asked[0] || paying.value !== asked[1]) return undefined; // something was scanned meanwhile
  }
  const whole = tenders.length || kind !== CASH || !exact ? [...tenders, { kind, amount: amount ?? due.value, reference: slip.value }] : null;
  given.value = "";
  if (await ring(whole, approve ?? null)) slip.value = "";
  return undefined;
}

function done() {
  const amount = given.value === "" ? null : parseAmount(given.value, digits.value);
  if (given.value !== "" && amount === null) return play("error");
  return give(amount);
}

function note(rupees) {
  const minor = (parseAmount(given.value || "0", digits.value) ?? 0) + rupees * 10 ** digits.value;
  if (minor >= due.value && paying.value.kind === CASH) return give(minor);
  given.value = String(minor / 10 ** digits.value);
  return undefined;
}

function keys(event) {
  const noteKey = NOTES.find(([, hint]) => hint === event.key);
  const kind = KINDS.find(([, code]) => code === event.code);
  if (noteKey) note(noteKey[0]);
  else if (event.key === "*") cycle();
  else if (event.key === "-" && !given.value) leave();
  else if (kind && !event.ctrlKey && !event.metaKey && event.target.id === "given") choose(kind[0]);
  else return;
  event.preventDefault();
}

function cycle() {
  const at = KINDS.findIndex(([kind]) => kind === paying.value.kind);
  choose(KINDS[(at + 1) % KINDS.length][0]);
}

export function kindName(kind) {
  const text = t(`tender_${kind}`);
  return text.startsWith("tender_") ? kind : text;
}

export function Pay() {
  const field = useRef(null);
  const { kind, tenders } = paying.value;
  useLayoutEffect(() => {
    if (!dialog.value) field.current?.focus();
  }, [kind, tenders.length, dialog.value]);
  const typed = given.value === "" ? null : parseAmount(given.value, digits.value);
  const back = typed !== null && typed > due.value && kind === CASH ? typed - due.value : 0;
  return html`<section class="pay" aria-label=${t("pay")} onKeyDown=${keys}>
    <div class="kinds" role="radiogroup" aria-label=${t("paid_by")}>${KINDS.map(
      ([each, code]) => html`<button type="button" role="radio" key=${each} aria-checked=${each === kind} class=${each === kind ? "on" : ""} onClick=${() => choose(each)}>${kindName(each)}<kbd>${code.slice(3)}</kbd></button>`,
    )}</div>
    ${tenders.map((tender, index) => html`<p class="part" key=${index}><span>${kindName(tender.kind)}</span><b>${plain(tender.amount)}</b></p>`)}
    <p class="due" role="status"><span>${tenders.length ? t("still_due") : t("to_pay")}</span><output>${money(due.value)}</output></p>
    ${kind === "raast" && html`<${Raast} />`}
    <form onSubmit=${(event) => { event.preventDefault(); done(); }}>
      <label class="field given"><span>${kind === CASH ? t("given") : t("amount")}</span>
        <input id="given" ref=${field} class="amount" dir="ltr" inputmode=${touched ? "none" : "decimal"} autocomplete="off" value=${given.value} placeholder=${plain(due.value)}
          onInput=${(event) => { given.value = plainText(event.target.value).replace(/[^0-9.]/g, ""); event.target.value = given.value; }} /></label>
      ${kind !== CASH && kind !== ACCOUNT && kind !== CREDIT && html`<label class="field"><span>${t("reference")}</span><input dir="ltr" value=${slip.value} maxlength="60" onInput=${(event) => (slip.value = event.target.value)} autocomplete="off" /></label>`}
      <p class="back" aria-live="polite">${back > 0 ? html`${t("change")} <b>${money(back)}</b>` : html`<span class="quiet">${hint(kind)}</span>`}</p>
      <${Pad} value=${given.value} onText=${(to) => (given.value = to)} />
      ${kind === CASH && html`<div class="notes">${NOTES.map(([rupees, key]) => html`<${Key} key=${key} hint=${key} onPress=${() => note(rupees)}>${number(rupees)}<//>`)}</div>`}
      <div class="two"><${Key} hint="Esc" onPress=${leave}>${t("back")}<//><button type="submit" class="key go"><span class="key-text">${typed === null ? t("exact") : t("take")}</span><kbd>Enter</kbd></button></div>
    </form>
  </section>`;
}

function hint(kind) {
  if (kind === ACCOUNT || kind === CREDIT) return cart.value.customer ? t("on_account_of", { name: cart.value.customer.name }) : t("whose_account");
  return kind === CASH ? t("exact_hint") : t("confirm_hint");
}

/** The code for this very amount, which the customer's phone reads. */
function Raast() {
  if (!shop.value?.raast) return html`<p class="quiet">${t("raast_unset")}</p>`;
  if (reached.value === false) return html`<p class="quiet">${t("raast_unreached")}</p>`;
  return html`<img class="raast" src=${`/api/raast?amount=${due.value}&format=svg`} alt=${t("raast_code", { amount: money(due.value) })} />`;
}

/** What stands until the next scan: the change, and where the sale is. */
export function Done() {
  const { sums, answer, id, where, tenders, customer } = last.value;
  const number_ = answer?.receipt ?? reference(id);
  const kinds = [...new Set((tenders ?? [{ kind: CASH }]).map((tender) => tender.kind))];
  return html`<section class="done" aria-label=${t("sold")} role="status">
    <p class="tick"><span aria-hidden="true">✓</span> ${t("sold")} <b>${money(sums.payable)}</b> <span class="quiet">${kinds.map(kindName).join(", ")}</span></p>
    ${customer && kinds.includes(ACCOUNT) && html`<p>${t("on_account_of", { name: customer.name })}</p>`}
    <p class="change-word">${t(sums.change ? "change" : "paid_whole")}</p>
    <output class="change">${money(sums.change || sums.payable)}</output>
    <p class="receipt"><bdi class="mono">${number_}</bdi> <span class="quiet">${time(last.value.at)}</span></p>
    <${Places} sale=${answer} here=${where === "browser" && !answer} />
    ${!answer && html`<p class="quiet">${t("number_follows")}</p>`}
    <${PrinterNote} />
  </section>`;
}

function PrinterNote() {
  const fault = status.value?.alarms?.find((alarm) => alarm.kind === "printer");
  return fault ? html`<p class="badge warn">${t("printer_fault")}</p>` : null;
}
