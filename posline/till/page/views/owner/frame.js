// The frame of the owner's page: whose shop it is and whether its till answers, the parts of the page, and which day is
// looked at.

import { dayAfter, daysUpTo, shares } from "../../core/owner.js";
import { heardAt, locked, unlock, useAnswer } from "../../following.js";
import { signOut, speak } from "../../people.js";
import { cashier, elsewhere, notice, reached, shop, status } from "../../state.js";
import { LANGUAGES, date, language, money, moment, number, t, time, weekday } from "../../texts.js";
import { html, useLayoutEffect, useRef } from "../../ui.js";
import { useLanguage } from "../parts.js";
import { Credit } from "./credit.js";
import { Devices } from "./devices.js";
import { Drawers } from "./drawers.js";
import { useHosting } from "./hosting.js";
import { Reports } from "./reports.js";
import { Dialog } from "./sheets.js";
import { Locked } from "./signin.js";
import { Stock } from "./stock.js";
import { DateField } from "./table.js";
import { Today } from "./today.js";
import { SECTIONS, dayName, go, isToday, pick, section, shownDay, step, today } from "./where.js";

const STRIP = 14; // days that are shown side by side; a narrow screen shows half of them
const VIEWS = { today: Today, reports: Reports, drawers: Drawers, stock: Stock, credit: Credit, devices: Devices };
const DATED = new Set(["today", "drawers"]); // the parts that are about one day

export function Owner({ changeTill }) {
  useLanguage();
  useLayoutEffect(() => {
    document.title = shop.value ? `${shop.value.shop} · ${t("owner_page")}` : "Posline";
  }, [shop.value?.shop, language.value]);
  if (!shop.value) return html`<main class="wait"><p role="status">${reached.value === false ? t("owner_never_reached") : ""}</p></main>`;
  const View = VIEWS[section.value];
  return html`<div class="owner">
    <${Bar} />
    ${elsewhere.value && html`<p class="o-banner bad" role="alert">${t("owner_elsewhere", { label: elsewhere.value.label ?? "", shop: elsewhere.value.shop ?? "" })} <button type="button" class="small-key" onClick=${changeTill}>${t("look_there")}</button></p>`}
    <${Silent} />
    ${locked.value ? html`<main class="o-main"><${Locked} why=${locked.value} /></main>` : html`
      ${DATED.has(section.value) && html`<${Days} />`}
      <main class="o-main" id="main"><${View} /></main>`}
    <${Dialog} />
    <div class="notice-place" aria-live="polite">${notice.value && html`<p class=${`notice ${notice.value.tone}`} key=${notice.value.n}>${notice.value.text}</p>`}</div>
  </div>`;
}

function Bar() {
  const other = LANGUAGES.find((each) => each !== language.value);
  const alarms = status.value?.alarms?.length ?? 0;
  const asking = useHosting().value?.requests.length ?? 0;
  const badges = { today: [alarms, t("alarms")], devices: [asking, t("requests_title")] };
  const list = useRef(null);
  useLayoutEffect(() => {
    list.current?.querySelector("[aria-current]")?.scrollIntoView({ block: "nearest", inline: "nearest" });
  }, [section.value]);
  const leave = async () => {
    await signOut();
    unlock();
  };
  return html`<header class="o-bar">
    <div class="o-line">
      <div class="brand"><span class="mark" aria-hidden="true"></span><h1 dir="auto">${shop.value.shop}</h1></div>
      <span class="grow"></span>
      <${Live} />
      ${cashier.value?.proven && html`<button type="button" class="quiet-key" onClick=${leave}>${t("leave", { name: cashier.value.name })}</button>`}
      <button type="button" class="quiet-key" lang=${other} onClick=${() => speak(other)}>${t("other_language")}</button>
      <a class="quiet-key" href="/">${t("to_till")}</a>
    </div>
    ${!locked.value && html`<nav class="o-nav" aria-label=${t("parts")} ref=${list}>${SECTIONS.map((each) => html`<button type="button" key=${each} aria-current=${section.value === each ? "page" : undefined} onClick=${() => go(each)}>${t(`section_${each}`)}${badges[each]?.[0] > 0 && html` <span class="o-badge">${number(badges[each][0])}<span class="unseen"> ${badges[each][1]}</span></span>`}</button>`)}</nav>`}
  </header>`;
}

/** Whether the figures are those of this moment. */
function Live() {
  if (reached.value === false) return html`<span class="chip warn"><span class="dot" aria-hidden="true"></span><span>${t("not_live")}</span></span>`;
  return html`<span class="chip good"><span class="dot" aria-hidden="true"></span><span>${t("live")}</span></span>`;
}

/** The till gives no answer: what is on the screen stays, with its time, and comes up to date by itself. */
function Silent() {
  if (reached.value !== false) return null;
  return html`<p class="o-banner" role="status">${heardAt.value ? t("silent", { at: heardAt.value > Date.now() - 43_200_000 ? time(heardAt.value) : moment(heardAt.value) }) : t("silent_new")}</p>`;
}

/** The last days side by side, each as high as what it sold; the one that is looked at can be any. */
function Days() {
  const shown = shownDay.value;
  const last = shown > dayAfter(today.value, -STRIP / 2) ? today.value : dayAfter(shown, 3);
  const days = daysUpTo(last, STRIP);
  const found = useAnswer(`/api/reports/days?from=${days[0]}&to=${last}`, { sale: 30_000, refund: 30_000 }).value;
  const nets = days.map((each) => found?.rows.find((row) => row.day === each)?.net ?? 0);
  const heights = shares(nets);
  return html`<div class="o-days">
    <div class="o-which">
      <button type="button" class="step-key" onClick=${() => step(-1)} aria-label=${t("day_before")}><span class="o-arrow earlier" aria-hidden="true"></span></button>
      <${DateField} large value=${shown} max=${today.value} label=${t("shown_day")} text=${shown === today.value ? t("day_and_date", { name: dayName(), date: date(shown) }) : dayName()} onPick=${pick} />
      <button type="button" class="step-key" onClick=${() => step(1)} disabled=${isToday.value} aria-label=${t("day_after")}><span class="o-arrow" aria-hidden="true"></span></button>
      ${!isToday.value && html`<button type="button" class="small-key" onClick=${() => pick(today.value)}>${t("day_today")}</button>`}
    </div>
    <div class="o-strip">${days.map((each, index) => html`<button type="button" key=${each} class=${each === shown ? "on" : ""} aria-pressed=${each === shown} disabled=${each > today.value} onClick=${() => pick(each)} aria-label=${`${weekday(each)} ${date(each)}: ${money(nets[index])}`} title=${`${date(each)} · ${money(nets[index])}`}>
      <span class="o-column" aria-hidden="true"><i style=${{ blockSize: `${heights[index]}%` }}></i></span><span aria-hidden="true">${weekday(each)}</span></button>`)}</div>
  </div>`;
}
