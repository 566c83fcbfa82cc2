// The drawer: opened with a float, money in and out, counted by notes at the end; the X and the Z report.

import { act, openDrawer } from "../acts.js";
import { Refused, ask } from "../calls.js";
import { parseAmount } from "../core/money.js";
import { plainText } from "../core/codes.js";
import { dialog, digits, say, shop } from "../state.js";
import { money, moment, number, plain, t } from "../texts.js";
import { html, useEffect, useSignal } from "../ui.js";
import { play } from "../sound.js";
import { kindName } from "./pay.js";
import { onReport } from "./paper.js";
import { Choices, Field, Form, Key, Sheet, close } from "./parts.js";

const NOTES = [5000, 1000, 500, 100, 75, 50, 20, 10, 5, 2, 1]; // rupees, as the State Bank issues them

function open(kind, more = {}) {
  return () => (dialog.value = { kind, ...more });
}

/** What can be done with the drawer. */
export function Drawer() {
  const items = [
    { text: t("shift_open"), pick: open("open") },
    { text: t("cash_in"), pick: open("cash", { into: "in" }) },
    { text: t("cash_out"), pick: open("cash", { into: "out" }) },
    { text: t("drawer_open"), pick: async () => { close(); if (await openDrawer(t("reason_change"))) say("good", t("drawer_opened")); } },
    { text: t("x_report"), pick: open("report") },
    { text: t("shift_close"), pick: open("count") },
  ];
  return html`<${Sheet} title=${t("shift")}><${Choices} items=${items.map((item, index) => ({ ...item, hint: String(index + 1) }))} /><//>`;
}

export function OpenShift() {
  const text = useSignal("");
  const done = async (shut) => {
    const float = text.value ? parseAmount(text.value, digits.value) : 0;
    if (float === null) return play("error");
    const answer = await act("shift", "/api/shifts/open", { float }, { action: "shift", shown: { total: float } });
    if (!answer) return undefined;
    say("good", t("shift_opened", { amount: money(float) }));
    return shut();
  };
  return html`<${Sheet} title=${t("shift_open")}><${Form} onDone=${done}>
    <${Field} label=${t("float")} value=${text.value} onText=${(to) => (text.value = to)} amount focus note=${t("float_note")} />
    <button type="submit" class="key go"><span class="key-text">${t("shift_open")}</span><kbd>Enter</kbd></button><//><//>`;
}

export function CashMove({ into }) {
  const text = useSignal("");
  const reason = useSignal("");
  const done = async (shut) => {
    const amount = parseAmount(text.value, digits.value);
    if (!amount || !reason.value.trim()) return play("error");
    const answer = await act("cash", "/api/cash", { direction: into, amount, reason: reason.value.trim() }, { action: "cash", shown: { name: reason.value, total: amount } });
    if (!answer) return undefined;
    say("good", t(into === "in" ? "cash_is_in" : "cash_is_out", { amount: money(amount) }));
    return shut();
  };
  return html`<${Sheet} title=${t(into === "in" ? "cash_in" : "cash_out")}><${Form} onDone=${done}>
    <${Field} label=${t("amount")} value=${text.value} onText=${(to) => (text.value = to)} amount focus />
    <${Field} label=${t("reason")} value=${reason.value} onText=${(to) => (reason.value = to)} maxlength="100" required list="cash-reasons" />
    <datalist id="cash-reasons">${["reason_supplier", "reason_bank", "reason_tea", "reason_change"].map((each) => html`<option key=${each}>${t(each)}</option>`)}</datalist>
    <button type="submit" class="key go"><span class="key-text">${t("record")}</span><kbd>Enter</kbd></button><//><//>`;
}

/** The drawer is counted by notes, other tenders by their sum, and the shift closed. */
export function Count() {
  const notes = useSignal({});
  const loose = useSignal("");
  const others = useSignal({});
  const shift = useSignal(null);
  useEffect(() => {
    void ask("/api/shifts/current").then((found) => (shift.value = found)).catch((error) => (shift.value = error instanceof Refused ? { none: error.message } : null));
  }, []);
  const unit = 10 ** digits.value;
  const cash = NOTES.reduce((sum, note) => sum + note * unit * Number(notes.value[note] || 0), 0) + (parseAmount(loose.value || "0", digits.value) ?? 0);
  const expected = shift.value?.expected ?? null;
  const kinds = [...new Set(["card", ...Object.keys(shift.value?.tenders ?? {})])].filter((kind) => !["cash", "account", "store_credit"].includes(kind));
  const done = async (shut) => {
    const counted = { cash };
    for (const kind of kinds) {
      const typed = others.value[kind];
      if (!typed) continue;
      const amount = parseAmount(typed, digits.value);
      if (amount === null) return play("error");
      counted[kind] = amount;
    }
    const answer = await act("shift", "/api/shifts/close", { counted }, { action: "shift", shown: { total: cash } });
    if (!answer) return undefined;
    play("paid");
    if (answer.waits) return shut();
    dialog.value = { kind: "report", z: answer };
    return undefined;
  };
  if (shift.value?.none) return html`<${Sheet} title=${t("shift_close")}><p>${shift.value.none}</p><//>`;
  return html`<${Sheet} title=${t("shift_close")} wide><${Form} onDone=${done}>
    <div class="count-notes">${NOTES.map((note, index) => html`<label class="note-row" key=${note}><span>${number(note)} ×</span>
      <input class="amount short" dir="ltr" inputmode="numeric" data-focus=${index === 0 || undefined} value=${notes.value[note] ?? ""} onInput=${(event) => { const text = plainText(event.target.value).replace(/\D/g, ""); event.target.value = text; notes.value = { ...notes.value, [note]: text }; }} onKeyDown=${nextField} />
      <b>${plain(note * unit * Number(notes.value[note] || 0))}</b></label>`)}</div>
    <${Field} label=${t("loose_cash")} value=${loose.value} onText=${(to) => (loose.value = to)} amount />
    ${kinds.map((kind) => html`<${Field} key=${kind} label=${kindName(kind)} value=${others.value[kind] ?? ""} onText=${(to) => (others.value = { ...others.value, [kind]: to })} amount />`)}
    <p class="due small"><span>${t("counted_cash")}</span><output>${money(cash)}</output></p>
    ${expected && html`<p class="quiet">${t("should_be", { amount: money(expected.cash ?? 0) })} <b class=${cash - (expected.cash ?? 0) < 0 ? "bad" : ""}>${t("over_short", { amount: plain(cash - (expected.cash ?? 0)) })}</b></p>`}
    <button type="submit" class="key go"><span class="key-text">${t("shift_close")}</span><kbd>Enter</kbd></button><//><//>`;
}

/** Enter goes from note to note, so that a drawer is counted by the number pad alone. */
function nextField(event) {
  if (event.key !== "Enter" || event.ctrlKey) return;
  const all = [...event.target.closest("form").querySelectorAll("input, button[type=submit]")];
  event.preventDefault();
  all[all.indexOf(event.target) + 1]?.focus();
}

/** The X report as it stands, or a Z report. */
export function Report({ z = null }) {
  const found = useSignal(z);
  const problem = useSignal("");
  useEffect(() => {
    if (!z) void ask("/api/shifts/current").then((x) => (found.value = x)).catch((error) => (problem.value = error.message));
  }, []);
  const shift = found.value;
  const print = async () => {
    if ((shop.value.printer?.state ?? "off") === "off") return onReport(shift);
    if (await act("print", "/api/print", { shift: z ? z.id : "current" }, { action: "shift" })) say("good", t("printing"));
    return undefined;
  };
  return html`<${Sheet} title=${t(z ? "z_report" : "x_report")}>
    ${problem.value && html`<p>${problem.value}</p>`}
    ${shift && html`<${ShiftFigures} shift=${shift} />
      <div class="two"><${Key} hint="F9" onPress=${print}>${t("print")}<//>${!z && html`<${Key} hint="F2" onPress=${open("count")}>${t("shift_close")}<//>`}</div>`}
  <//>`;
}

export function ShiftFigures({ shift }) {
  const rows = [
    [t("sales_count", { n: shift.sales.count, count: number(shift.sales.count) }), shift.sales.total],
    shift.refunds.count ? [t("refunds_count", { n: shift.refunds.count, count: number(shift.refunds.count) }), -shift.refunds.total] : null,
    shift.voids.count ? [t("voids_count", { n: shift.voids.count, count: number(shift.voids.count) }), -shift.voids.total] : null,
    shift.sales.discount ? [t("discount"), shift.sales.discount] : null,
    [t("tax"), shift.tax],
  ].filter(Boolean);
  const table = (list) => html`<table class="plain figures"><tbody>${list.map(([text, value, tone]) => html`<tr key=${text}><th scope="row">${text}</th><td class=${`n ${tone ?? ""}`}>${plain(value)}</td></tr>`)}</tbody></table>`;
  return html`<div class="shift-report">
    <p class="quiet">${moment(shift.at)}${shift.by ? html` · <bdi>${shift.by}</bdi>` : ""} · ${t("till")} ${shift.label}</p>
    <p class="due small"><span>${t("net")}</span><output>${money(shift.net)}</output></p>
    ${table(rows)}
    ${shift.tenders && html`<h3>${t("paid_by")}</h3>${table(Object.entries(shift.tenders).map(([kind, amount]) => [kindName(kind), amount]))}`}
    <h3>${t("in_drawer")}</h3>
    ${table([
      [t("float"), shift.float],
      ...(shift.cash ? [[t("cash_in"), shift.cash.in.total], [t("cash_out"), -shift.cash.out.total]] : []),
      ...Object.entries(shift.expected ?? {}).map(([kind, amount]) => [t("expected_of", { kind: kindName(kind) }), amount]),
      ...Object.entries(shift.counted ?? {}).map(([kind, amount]) => [t("counted_of", { kind: kindName(kind) }), amount]),
      ...Object.entries(shift.over_short ?? {}).map(([kind, amount]) => [t("over_short_of", { kind: kindName(kind) }), amount, amount < 0 ? "bad" : ""]),
    ])}
    ${shift.blind && html`<p class="quiet">${t("blind")}</p>`}
  </div>`;
}

