// The shop shows its figures to some alone: who it is, and their PIN.

import { unlock } from "../../following.js";
import { cashiers, signIn } from "../../people.js";
import { shop } from "../../state.js";
import { t } from "../../texts.js";
import { html, useSignal } from "../../ui.js";
import { play } from "../../sound.js";
import { Choices, Field, Form } from "../parts.js";
import { Card } from "./table.js";

const ROLES = ["cashier", "supervisor", "manager"];

export function Locked({ why }) {
  const chosen = useSignal(null);
  const pin = useSignal("");
  const asking = useSignal(false);
  const least = shop.value?.settings?.permissions?.reports ?? "cashier";
  const able = cashiers().filter((each) => each.pin && ROLES.indexOf(each.role) >= ROLES.indexOf(least));
  const done = async () => {
    if (asking.value || !pin.value) return;
    asking.value = true;
    const through = await signIn(chosen.value, pin.value);
    asking.value = false;
    pin.value = "";
    if (through) unlock();
    else play("error");
  };
  return html`<div class="o-door"><${Card} name="door" title=${t("door_title")}>
    <p>${t("door_why", { role: t(`role_${least}`) })}</p>
    ${!able.length && html`<p class="warn">${t("nobody_approves")}</p><p class="quiet" dir="auto">${why}</p>`}
    ${!chosen.value && able.length > 0 && html`<${Choices} items=${able.map((each, index) => ({ key: each.name, text: each.name, note: t(`role_${each.role}`), hint: index < 9 ? String(index + 1) : undefined, pick: () => (chosen.value = each) }))} />`}
    ${chosen.value && html`<${Form} onDone=${done}>
      <p class="o-name"><bdi>${chosen.value.name}</bdi> <span class="quiet">${t(`role_${chosen.value.role}`)}</span></p>
      <${Field} label=${t("pin")} type="password" mode="numeric" value=${pin.value} onText=${(to) => (pin.value = to)} maxlength="12" autofocus />
      <div class="two"><button type="button" class="key" onClick=${() => { chosen.value = null; pin.value = ""; }}><span class="key-text">${t("somebody_else")}</span></button>
      <button type="submit" class="key go" disabled=${!pin.value || asking.value}><span class="key-text">${t("sign_in")}</span></button></div><//>`}
  <//></div>`;
}
