// Phones and tablets that sell by this till: letting them in, who is paired and when each was last there, and removing one.

import { changed, useAnswer } from "../../following.js";
import { dialog, say, shop } from "../../state.js";
import { moment, number, t } from "../../texts.js";
import { html, useEffect, useSignal } from "../../ui.js";
import { Sheet, close, closer } from "../parts.js";
import { Picture } from "./invite.js";
import { record, useId } from "./record.js";
import { Card, Waiting, hostName } from "./table.js";

const PATH = "/api/hosting";
const TICK_MS = 5000;

/** What is hosted, and who asks to be: the till's answer, or null until it came. */
export function useHosting(news = { shop: 500 }) {
  return useAnswer(PATH, news);
}

export function Hosting() {
  const found = useHosting({ status: 5000, shop: 500 });
  const id = useId();
  const hosting = found.value;
  const turn = async (on) => {
    if (!(await record(PATH, id.now, { on }, { method: "PUT" }))) return;
    id.again();
    changed(PATH);
  };
  return html`<${Card} name="hosting" title=${t("hosting_title")}>
    <p>${t("hosting_why")}</p>
    ${!hosting ? html`<${Waiting} problem=${found.problem} />` : html`
      ${hosting.on && html`<p role="status">${t(hosting.listening ? "hosting_at" : "hosting_later")} <bdi class="mono" dir="ltr">${hosting.urls[0]}</bdi></p>`}
      ${hosting.trouble && html`<p class="bad" role="alert" dir="auto">${hosting.trouble}</p>`}
      ${hosting.certificate?.note && html`<p class="warn">${t("hosting_clock")}</p>`}
      ${hosting.head_office && html`<${OfOffice} hosting=${hosting} />`}
      ${hosting.devices.length + hosting.elsewhere.length > 0 && html`<ul class="o-list">
        ${hosting.devices.map((device) => html`<${Device} key=${device.id} device=${device} />`)}
        ${hosting.elsewhere.map((device) => html`<${Elsewhere} key=${device.id} device=${device} />`)}</ul>`}
      <div class="row-actions">
        ${hosting.on && html`<button type="button" class="key go" onClick=${() => (dialog.value = { kind: "pair" })}><span class="key-text">${t("pair_device")}</span></button>`}
        <button type="button" class="key" aria-pressed=${hosting.on} onClick=${() => turn(!hosting.on)}><span class="key-text">${t(hosting.on ? "hosting_off" : "hosting_on")}</span></button>
      </div>`}
  <//>`;
}

/** Whom the head office asks for, and whether that needs somebody's word. */
function OfOffice({ hosting }) {
  return html`<h3>${t("office_devices")}</h3>
    ${hosting.requests.length > 0 && html`<p>${t(shop.value.manager ? "requests_why" : "requests_elsewhere")}</p>
      <ul class="o-list">${hosting.requests.map((request) => html`<${Request} key=${request.id} request=${request} />`)}</ul>`}
    <${TrustOffice} on=${hosting.trust_office} />`;
}

/** A device that the head office asks for. What it says of it is nobody's word but its own. */
function Request({ request }) {
  const id = useId();
  const decide = async (letIn) => {
    const answer = await record(`${PATH}/requests/${request.id}`, id.now, { let_in: letIn });
    changed(PATH);
    if (answer) say("good", letIn ? t("request_is_in", { label: answer.label }) : t("request_is_refused"));
  };
  const name = request.label || request.id.slice(0, 6);
  return html`<li><span class="grow"><b><bdi>${name}</bdi></b><small>${t("request_by", { by: request.by || t("nameless"), host: hostName(request.host), at: moment(request.asked) })}</small>${request.agent && html`<small><bdi>${machine(request.agent)}</bdi></small>`}</span>
    ${shop.value.manager && html`<span class="row-actions"><button type="button" class="small-key go" aria-label=${t("let_in_what", { label: name })} onClick=${() => decide(true)}>${t("let_in")}</button><button type="button" class="small-key" aria-label=${t("refuse_what", { label: name })} onClick=${() => decide(false)}>${t("refuse")}</button></span>`}</li>`;
}

/** What a browser says of its device; all that it says where that is not found in it. */
function machine(agent) {
  return /^Mozilla\/5\.0 \(([^)]+)\)/.exec(agent)?.[1] ?? agent;
}

/** A device whose host is not this till. */
function Elsewhere({ device }) {
  return html`<li><span class="grow"><b><bdi>${t("till")} ${device.label}</bdi></b><small>${t("hosted_by", { host: hostName(device.host) })}</small></span>
    ${shop.value.manager && html`<button type="button" class="small-key" onClick=${() => (dialog.value = { kind: "unpair", device })}>${t("remove")}</button>`}</li>`;
}

/** Whether somebody is asked, or the head office's devices are let in as they come. */
function TrustOffice({ on }) {
  const id = useId();
  const turn = async () => {
    if (!(await record(`${PATH}/trust-office`, id.now, { on: !on }, { method: "PUT" }))) return;
    id.again();
    changed(PATH);
  };
  return html`${on && html`<p class="warn">${t("office_is_trusted")}</p>`}
    ${shop.value.manager && html`<button type="button" class="key" aria-pressed=${on} onClick=${turn}><span class="key-text">${t(on ? "trust_office_off" : "trust_office_on")}</span></button>`}`;
}

function Device({ device }) {
  const seen = !device.member ? t("hosting_removed") : device.last_seen ? t("last_seen", { at: moment(device.last_seen) }) : t("never_seen");
  return html`<li><span class="grow"><b><bdi>${t("till")} ${device.label || device.id.slice(0, 6)}</bdi></b><small>${seen}${device.waiting ? ` · ${t("hosting_waiting", { n: device.waiting, count: number(device.waiting) })}` : ""}</small></span>
    <button type="button" class="small-key" onClick=${() => (dialog.value = { kind: "unpair", device })}>${t("remove")}</button></li>`;
}

/** The code by which one device is paired, and the fingerprint of what it installs. */
export function Pair() {
  const id = useId();
  const made = useSignal(null);
  const left_s = useSignal(null);
  const hosting = useAnswer(PATH).value;
  const invite = async () => {
    const answer = await record(`${PATH}/invite`, id.now, {});
    if (!answer) return;
    left_s.value = answer.expires_s;
    made.value = { ...answer, until: Date.now() + answer.expires_s * 1000 };
  };
  useEffect(() => void invite(), []);
  useEffect(() => {
    const timer = setInterval(() => made.value && (left_s.value = Math.max(0, Math.round((made.value.until - Date.now()) / 1000))), TICK_MS);
    return () => clearInterval(timer);
  }, []);
  const over = made.value && left_s.value === 0;
  const minutes = Math.max(1, Math.ceil((left_s.value ?? 60) / 60));
  return html`<${Sheet} title=${t("pair_device")}>
    ${!made.value && html`<p class="quiet" role="status">${t("coming")}</p><button type="button" class="key" onClick=${invite}><span class="key-text">${t("try_again")}</span></button>`}
    ${over && html`<p class="warn" role="status">${t("invite_over")}</p><button type="button" class="key go" onClick=${() => { id.again(); made.value = null; void invite(); }}><span class="key-text">${t("invite_again")}</span></button>`}
    ${made.value && !over && html`<${Picture} svg=${made.value.svg} />
      <p role="status" class="quiet o-centre">${t("pair_good_for", { n: minutes, count: number(minutes) })}</p>
      <ol class="o-steps"><li>${t("pair_step_1")}</li><li>${t("pair_step_2")}</li><li>${t("pair_step_3")}</li></ol>
      <label class="field"><span>${t("invite_link")}</span><input class="mono" dir="ltr" readonly value=${made.value.link} onFocus=${(event) => event.target.select()} /></label>
      ${hosting?.fingerprint && html`<p>${t("fingerprint_is")}<br /><code class="o-print" dir="ltr">${hosting.fingerprint}</code></p>`}`}
  <//>`;
}

export function Unpair({ device }) {
  const id = useId();
  const done = async () => {
    const shut = closer();
    if (!(await record(`${PATH}/devices/${device.id}/remove`, id.now, {}))) return;
    say("good", t("unpaired_now", { label: device.label }));
    changed(PATH);
    shut();
  };
  return html`<${Sheet} title=${t("unpair_title", { label: device.label })}>
    <p>${t("unpair_why", { label: device.label })}</p>
    ${device.waiting > 0 && html`<p class="warn">${t("unpair_waits", { n: device.waiting, count: number(device.waiting) })}</p>`}
    <div class="two"><button type="button" class="key" onClick=${close}><span class="key-text">${t("back")}</span></button><button type="button" class="key danger" data-focus onClick=${done}><span class="key-text">${t("remove")}</span></button></div>
  <//>`;
}
