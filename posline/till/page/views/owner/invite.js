// Another till is invited: a code to scan, the same as a link, and how long it is good for.

import { say } from "../../state.js";
import { number, t } from "../../texts.js";
import { html, useEffect, useLayoutEffect, useRef, useSignal } from "../../ui.js";
import { Sheet } from "../parts.js";
import { record, useId } from "./record.js";

const TICK_MS = 5000;

export function Invite() {
  const id = useId();
  const made = useSignal(null);
  const left_s = useSignal(null);
  const invite = async () => {
    const answer = await record("/api/invite", id.now, {});
    if (!answer) return;
    left_s.value = answer.expires_s;
    made.value = { ...answer, until: Date.now() + answer.expires_s * 1000 };
  };
  useEffect(() => void invite(), []);
  useEffect(() => {
    const timer = setInterval(() => made.value && (left_s.value = Math.max(0, Math.round((made.value.until - Date.now()) / 1000))), TICK_MS);
    return () => clearInterval(timer);
  }, []);
  const copy = async () => {
    await navigator.clipboard.writeText(made.value.link).then(() => say("good", t("copied")), () => say("warn", t("not_copied")));
  };
  const over = made.value && left_s.value === 0;
  const minutes = Math.max(1, Math.ceil((left_s.value ?? 60) / 60));
  return html`<${Sheet} title=${t("invite_till")}>
    ${!made.value && html`<p class="quiet" role="status">${t("coming")}</p><button type="button" class="key" onClick=${invite}><span class="key-text">${t("try_again")}</span></button>`}
    ${over && html`<p class="warn" role="status">${t("invite_over")}</p><button type="button" class="key go" onClick=${() => { id.again(); made.value = null; void invite(); }}><span class="key-text">${t("invite_again")}</span></button>`}
    ${made.value && !over && html`<${Picture} svg=${made.value.svg} />
      <p role="status" class="quiet o-centre">${t("invite_good_for", { n: minutes, count: number(minutes) })}</p>
      <ol class="o-steps"><li>${t("invite_step_1")}</li><li>${t("invite_step_2")}<code dir="ltr">${t("join_command")}</code></li><li>${t("invite_step_3")}</li></ol>
      <label class="field"><span>${t("invite_link")}</span><input class="mono" dir="ltr" readonly value=${made.value.link} onFocus=${(event) => event.target.select()} /></label>
      <button type="button" class="key" onClick=${copy}><span class="key-text">${t("copy")}</span></button>
      <p class="quiet">${t("invite_secret")}</p>`}
  <//>`;
}

/** The code, as the till draws it. It is put in as a picture's elements: the link in it is nobody else's business, so it
 * stands in no address. */
export function Picture({ svg }) {
  const box = useRef(null);
  useLayoutEffect(() => {
    const drawn = new DOMParser().parseFromString(svg, "image/svg+xml").documentElement;
    if (!drawn.hasAttribute("viewBox")) drawn.setAttribute("viewBox", `0 0 ${drawn.getAttribute("width")} ${drawn.getAttribute("height")}`);
    box.current.replaceChildren(document.importNode(drawn, true));
  }, [svg]);
  return html`<div class="o-qr" ref=${box} role="img" aria-label=${t("invite_code")}></div>`;
}
