// The menu, the keys, who stands here, who approves, and what to do when there is no room left.

import { sayTime } from "../acts.js";
import { signIn, signOut, cashiers, speak } from "../people.js";
import { clearCart } from "../selling.js";
import { autoPrint, cart, cashier, dialog, say, shop } from "../state.js";
import { LANGUAGES, language, t } from "../texts.js";
import { html, useSignal } from "../ui.js";
import { play } from "../sound.js";
import { Choices, Field, Form, Key, Sheet, close, closer } from "./parts.js";
import { setPrinting } from "./paper.js";
import { KEYS } from "./sell.js";

/** Everything by a figure, so that the number pad is enough. */
export function More() {
  const to = (kind, more) => () => (dialog.value = { kind, ...more });
  const line = cart.value.lines.length - 1;
  const items = [
    ...KEYS.filter((each) => each.key !== "F10" && (each.needs !== "line" || line >= 0)).map((each) => ({ text: t(each.text), note: each.key, pick: () => { close(); each.run(); } })),
    { text: t("shift_and_drawer"), pick: to("shift") },
    { text: t("last_sales"), pick: to("sales") },
    { text: t("state"), pick: to("state") },
    { text: t("cashier"), pick: to("signin") },
    ...(line >= 0 ? [{ text: t("cancel_sale"), pick: () => { close(); clearCart(); play("undo"); } }] : []),
    ...((shop.value.printer?.state ?? "off") === "off" ? [{ text: t(autoPrint.value ? "print_each_off" : "print_each_on"), pick: () => { close(); void setPrinting(!autoPrint.value); } }] : []),
    { text: t("keys"), note: "F1", pick: to("help") },
    { text: t("other_language"), pick: () => { close(); speak(LANGUAGES.find((each) => each !== language.value)); } },
  ];
  const hints = "1234567890";
  return html`<${Sheet} title=${t("more")}><${Choices} items=${items.map((item, index) => ({ ...item, hint: hints[index] }))} /><//>`;
}

export function Help() {
  const rows = [
    ["Enter", t("help_enter")], ["3 *", t("help_times")], ["+  F12", t("help_pay")], ["Enter", t("help_exact")], ["−", t("help_undo")], ["Del", t("help_delete")], ["↑ ↓", t("help_arrows")],
    ...KEYS.map((each) => [each.key, t(each.text)]), ["/", t("help_menu")], ["Esc", t("help_escape")],
  ];
  return html`<${Sheet} title=${t("keys")} wide><table class="plain keys"><tbody>${rows.map(([key, text], index) => html`<tr key=${index}><td><kbd>${key}</kbd></td><td>${text}</td></tr>`)}</tbody></table><//>`;
}

/** The till woke up and does not know what day it is: somebody says it. */
export function Clock() {
  const text = useSignal("");
  const done = async (shut) => {
    if (!text.value) return play("error");
    const answer = await sayTime(text.value);
    if (answer) {
      say("good", t("time_said"));
      shut();
    }
    return undefined;
  };
  return html`<${Sheet} title=${t("which_day")}><${Form} onDone=${done}><p>${t("which_day_why")}</p>
    <label class="field"><span>${t("day_and_time")}</span><input type="datetime-local" value=${text.value} onInput=${(event) => (text.value = event.target.value)} data-focus /></label>
    <button type="submit" class="key go"><span class="key-text">${t("set")}</span><kbd>Enter</kbd></button><//><//>`;
}

/** Who stands here. */
export function SignIn({ person = null }) {
  const pin = useSignal("");
  if (person) {
    const done = async (shut) => {
      if (await signIn(person, pin.value)) shut();
      else {
        pin.value = "";
        play("error");
      }
    };
    return html`<${Sheet} title=${person.name}><${Form} onDone=${done}><${Field} label=${t("pin")} type="password" mode="numeric" value=${pin.value} onText=${(to) => (pin.value = to)} focus maxlength="12" />
      <button type="submit" class="key go"><span class="key-text">${t("sign_in")}</span><kbd>Enter</kbd></button><//><//>`;
  }
  const items = cashiers().map((each, index) => ({
    key: each.name, text: each.name, note: t(`role_${each.role}`), hint: index < 9 ? String(index + 1) : undefined,
    pick: async () => {
      const shut = closer();
      if (each.pin) dialog.value = { kind: "signin", person: each, key: each.name };
      else if (await signIn(each)) shut();
    },
  }));
  const leave = async () => {
    const shut = closer();
    await signOut();
    shut();
  };
  return html`<${Sheet} title=${t("cashier")}><${Choices} items=${items} empty=${t("no_cashiers")} />${cashier.value && html`<${Key} onPress=${leave}>${t("sign_out")}<//>`}<//>`;
}

/** A second person lets something pass, by PIN. */
export function Approve({ why, end, check }) {
  const able = cashiers().filter((each) => each.pin && each.role !== "cashier");
  const picked = useSignal("");
  const by = picked.value || able[0]?.name;
  const pin = useSignal("");
  const wrong = useSignal("");
  const done = async () => {
    const problem = await check(by, pin.value);
    if (problem) {
      wrong.value = problem;
      pin.value = "";
      play("error");
    } else end({ by, pin: pin.value });
  };
  return html`<${Sheet} title=${t("approval")} onClose=${() => end(null)}><${Form} onDone=${done}>
    <p>${why}</p>
    ${able.length ? html`<label class="field"><span>${t("who_approves")}</span><select value=${by} onChange=${(event) => (picked.value = event.target.value)}>${able.map((each) => html`<option key=${each.name}>${each.name}</option>`)}</select></label>
    <${Field} label=${t("pin")} type="password" mode="numeric" value=${pin.value} onText=${(to) => (pin.value = to)} focus maxlength="12" />
    ${wrong.value && html`<p class="bad" role="alert">${wrong.value}</p>`}
    <button type="submit" class="key go"><span class="key-text">${t("approve")}</span><kbd>Enter</kbd></button>` : html`<p class="bad">${t("nobody_approves")}</p>`}
  <//><//>`;
}

/** Neither this browser's disk nor the till took the sale: it was not recorded, and stands as it was. */
export function Full({ detail }) {
  return html`<${Sheet} title=${t("not_recorded")}><p>${t("not_recorded_why")}</p>${detail && html`<p dir="auto" class="quiet">${detail}</p>`}<p>${t("not_recorded_do")}</p>
    <${Key} hint="Enter" kind="go" onPress=${close} data-focus>${t("back")}<//><//>`;
}

