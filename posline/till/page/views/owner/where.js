// Which part of the owner's page is open, and of which day: both stand in the address, so that a reload or a bookmark
// comes back to them.

import { dayAfter, isDay } from "../../core/owner.js";
import { shop, status } from "../../state.js";
import { day as dayText, t } from "../../texts.js";
import { computed, signal } from "../../ui.js";

export const SECTIONS = ["today", "reports", "drawers", "stock", "credit", "devices"];
export const section = signal("today");
const picked = signal(null); // a day that somebody chose; null goes with the business day

export const today = computed(() => status.value?.day ?? shop.value?.day ?? null);
export const shownDay = computed(() => picked.value ?? today.value);
export const isToday = computed(() => shownDay.value === today.value);

/** Open a part of the page, at its top. */
export function go(to) {
  section.value = to;
  write();
  scrollTo({ top: 0 });
}

/** Look at another day; none is later than today. */
export function pick(day) {
  if (!isDay(day)) return;
  picked.value = day >= today.value ? null : day;
  write();
}

export function step(days) {
  pick(dayAfter(shownDay.value, days));
}

/** The day that is shown, in words: today and yesterday by name. */
export function dayName(day = shownDay.value) {
  if (day === today.value) return t("day_today");
  return day === dayAfter(today.value, -1) ? t("day_yesterday") : dayText(day);
}

function write() {
  history.replaceState(null, "", `#${section.value}${picked.value ? `/${picked.value}` : ""}`);
}

function read() {
  const [to, day] = location.hash.slice(1).split("/");
  if (SECTIONS.includes(to)) section.value = to;
  picked.value = isDay(day) ? day : null;
}

/** Go where the address says, and follow it. */
export function beginWhere() {
  read();
  addEventListener("hashchange", read);
}
