// Whose sale it is: found by two letters or a phone number, made on the spot, paid off in three keys.

import { act } from "../acts.js";
import { glance } from "../calls.js";
import { fold } from "../core/search.js";
import { parseAmount } from "../core/money.js";
import { setCart } from "../selling.js";
import { followCustomers } from "../shop.js";
import { customers, dialog, digits, say } from "../state.js";
import { money, t } from "../texts.js";
import { html, useEffect, useSignal } from "../ui.js";
import { play } from "../sound.js";
import { Field, Form, Key, Sheet } from "./parts.js";

const SHOWN = 8;

export function Customer({ then, adding, paid }) {
  if (adding !== undefined) return html`<${NewCustomer} typed=${adding} then=${then} />`;
  if (paid) return html`<${Payment} customer=${paid} />`;
  return html`<${Find} then=${then} />`;
}

function matches(text) {
  const wanted = fold(text);
  if (!wanted) return [];
  const figures = text.replace(/\D/g, "").replace(/^92/, "0");
  return customers.value.filter((each) => each.active !== false && (` ${fold(each.name)}`.includes(` ${wanted}`) || (figures.length >= 3 && (each.phone ?? "").replace(/\D/g, "").replace(/^92/, "0").includes(figures))));
}

function Find({ then }) {
  const text = useSignal("");
  const at = useSignal(0);
  useEffect(() => void followCustomers(), []);
  const found = matches(text.value).slice(0, SHOWN);
  const back = () => (dialog.value = null);
  const pick = (customer) => {
    setCart({ customer: { ...customer, id: customer.customer } });
    back();
  };
  const done = () => {
    if (found[at.value]) pick(found[at.value]);
    else if (text.value.trim()) dialog.value = { kind: "customer", then, adding: text.value.trim() };
  };
  const keys = (event) => {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (step) at.value = Math.max(0, Math.min(found.length - 1, at.value + step));
    else return;
    event.preventDefault();
    event.stopPropagation();
  };
  return html`<${Sheet} title=${t("customer")}><${Form} onDone=${done} onKeyDown=${keys}>
    <${Field} label=${t("name_or_phone")} value=${text.value} onText=${(to) => { text.value = to; at.value = 0; }} focus />
    <ul class="choices" role="listbox" aria-label=${t("customer")}>${found.map((customer, index) => html`<li key=${customer.customer}><button type="button" role="option" aria-selected=${index === at.value} class=${index === at.value ? "row-key on" : "row-key"} onClick=${() => pick(customer)}>
      <span class="grow"><b><bdi>${customer.name}</bdi></b><small dir="ltr">${customer.phone ?? ""}</small></span><span class="end">${customer.balance?.account ? t("owes", { amount: money(customer.balance.account) }) : ""}</span></button></li>`)}</ul>
    <div class="two"><${Key} hint="F2" disabled=${!found[at.value]} onPress=${() => (dialog.value = { kind: "customer", paid: found[at.value] })}>${t("take_payment")}<//>
      <${Key} hint="F3" disabled=${!text.value.trim()} onPress=${() => (dialog.value = { kind: "customer", then, adding: text.value.trim() })}>${t("new_customer")}<//>
      <button type="submit" class="key go" disabled=${!text.value.trim()}><span class="key-text">${found.length ? t("take") : t("new_customer")}</span><kbd>Enter</kbd></button></div>
  <//><//>`;
}

function NewCustomer({ typed, then }) {
  const phoneLike = /^[+0-9][0-9 -]{3,}$/.test(typed);
  const name = useSignal(phoneLike ? "" : typed);
  const phone = useSignal(phoneLike ? typed : "");
  const limit = useSignal("");
  const done = async (shut) => {
    if (!name.value.trim()) return play("error");
    const made = { name: name.value.trim(), ...(phone.value.trim() ? { phone: phone.value.trim() } : {}) };
    const most = limit.value ? parseAmount(limit.value, digits.value) : null;
    if (most !== null) made.limit = most;
    const id = crypto.randomUUID();
    const answer = await act("customer", "/api/customers", { id, ...made }, { action: "customers", shown: { name: made.name } });
    if (!answer) return undefined;
    const customer = { customer: id, balance: { account: 0, credit: 0 }, ...made };
    customers.value = [...customers.value, customer];
    setCart({ customer: { ...customer, id } });
    return shut();
  };
  return html`<${Sheet} title=${t("new_customer")}><${Form} onDone=${done}>
    <${Field} label=${t("name")} value=${name.value} onText=${(to) => (name.value = to)} focus=${!name.value} maxlength="100" required />
    <${Field} label=${t("phone")} value=${phone.value} onText=${(to) => (phone.value = to)} mode="tel" dir="ltr" maxlength="30" focus=${Boolean(name.value)} />
    <${Field} label=${t("limit")} value=${limit.value} onText=${(to) => (limit.value = to)} amount />
    <button type="submit" class="key go"><span class="key-text">${t("add")}</span><kbd>Enter</kbd></button>
  <//><//>`;
}

/** Some of what is owed is paid. */
function Payment({ customer }) {
  const known = useSignal(customer);
  const text = useSignal("");
  const kind = useSignal("cash");
  useEffect(() => {
    void glance(`/api/customers/${customer.customer}`).then((found) => found && (known.value = found));
  }, []);
  const owed = known.value.balance?.account ?? 0;
  const done = async (shut) => {
    const amount = text.value ? parseAmount(text.value, digits.value) : owed;
    if (!amount || amount <= 0) return play("error");
    const answer = await act("payment", "/api/payments", { customer: customer.customer, amount, tenders: [{ kind: kind.value, amount }] }, { shown: { name: customer.name, total: amount } });
    if (!answer) return undefined;
    play("paid");
    say("good", t("payment_taken", { amount: money(amount), name: customer.name, left: money(answer.balance?.account ?? owed - amount) }));
    void followCustomers();
    return shut();
  };
  const kinds = ["cash", "raast", "jazzcash", "easypaisa"];
  return html`<${Sheet} title=${customer.name}><${Form} onDone=${done}>
    <p class="due small"><span>${t("owes_now")}</span><output>${money(owed)}</output></p>
    <${Field} label=${t("paid_now")} value=${text.value} onText=${(to) => (text.value = to)} amount focus placeholder=${String(Math.max(owed, 0) / 10 ** digits.value)} />
    <div class="tabs">${kinds.map((each) => html`<button type="button" key=${each} class=${each === kind.value ? "tab on" : "tab"} aria-pressed=${each === kind.value} onClick=${() => (kind.value = each)}>${t(`tender_${each}`)}</button>`)}</div>
    <button type="submit" class="key go"><span class="key-text">${t("take_payment")}</span><kbd>Enter</kbd></button>
  <//><//>`;
}

