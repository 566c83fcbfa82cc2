// Goods come back: the receipt is scanned, its lines are shown with what is left of each, and money goes back.

import { act, findSale, followSales } from "../acts.js";
import { formatQuantity, parseQuantity } from "../core/money.js";
import { say, sales, shop } from "../state.js";
import { lineNamed } from "../shop.js";
import { money, moment, plain, t } from "../texts.js";
import { html, useEffect, useSignal } from "../ui.js";
import { play } from "../sound.js";
import { kindName } from "./pay.js";
import { Choices, Field, Form, Key, Sheet, closer } from "./parts.js";

const REASONS = ["reason_damaged", "reason_wrong", "reason_mind", "reason_expired"];

export function Refund({ code = "" }) {
  const sale = useSignal(null);
  const text = useSignal("");
  const missing = useSignal("");
  const find = async (wanted) => {
    missing.value = "";
    const found = await findSale(wanted);
    if (found) sale.value = found;
    else {
      missing.value = wanted;
      play("error");
    }
  };
  useEffect(() => {
    if (code) void find(code);
  }, [code]);
  if (sale.value) return html`<${Lines} sale=${sale.value} />`;
  useEffect(() => void followSales(), []);
  const recent = [...sales.value].sort((a, b) => Number(b.till === shop.value.till) - Number(a.till === shop.value.till));
  return html`<${Sheet} title=${t("refund")} wide>
    <${Form} onDone=${() => text.value.trim() && find(text.value)}>
      <${Field} label=${t("scan_receipt")} value=${text.value} onText=${(to) => (text.value = to)} focus dir="ltr" />
      ${missing.value && html`<p class="bad" role="alert">${t("no_such_receipt", { code: missing.value.slice(0, 40) })}</p>`}
    <//>
    <h3>${t("last_sales")}</h3>
    <${Choices} focus=${false} empty=${t("no_sales")} items=${recent.map((each) => ({
      key: each.id, text: each.receipt, note: `${moment(each.at)} · ${each.lines.map(lineNamed).join(", ").slice(0, 60)}`, end: money(each.total), pick: () => find(each.id),
    }))} />
  <//>`;
}

function Lines({ sale }) {
  const taken = useSignal(sale.lines.map((line) => (line.left === "0" ? 0 : sale.lines.length === 1 ? (parseQuantity(line.left) ?? 0) : 0)));
  const reason = useSignal(REASONS[0]);
  const other = useSignal("");
  const restock = useSignal(true);
  const original = [...new Set((sale.tenders ?? []).map((tender) => tender.kind))];
  const first = original.length === 1 ? original[0] : "cash";
  const kind = useSignal(first);
  const set = (index, to) => (taken.value = taken.value.with(index, Math.max(0, Math.min(to, parseQuantity(sale.lines[index].left) ?? 0))));
  const chosen = taken.value.map((amount, index) => ({ line: index + 1, quantity: formatQuantity(amount) })).filter((each) => each.quantity !== "0");
  const back = sale.lines.reduce((sum, line, index) => sum + Math.round(((line.total ?? 0) * taken.value[index]) / (parseQuantity(String(line.quantity)) || 1)), 0);
  const done = async (shut) => {
    if (!chosen.length) return play("error");
    const body = { lines: chosen, reason: other.value.trim() || t(reason.value), ...(restock.value ? {} : { restock: false }) };
    // the till reckons to the last paisa what goes back; by another kind than the sale was paid with, it is told which
    if (kind.value !== first) body.tenders = [{ kind: kind.value, amount: back }];
    if (kind.value === "store_credit" && sale.customer) body.customer = sale.customer;
    const answer = await act("refund", `/api/sales/${sale.id}/refund`, body, { action: "refund", shown: { name: sale.receipt ?? "", total: back } });
    if (!answer) return undefined;
    play("paid");
    say("good", t("refunded", { amount: money(answer.waits ? back : answer.total + (answer.rounding ?? 0)), kind: kindName(kind.value), receipt: answer.receipt ?? "" }), 15_000);
    return shut();
  };
  const undoWhole = async () => {
    const shut = closer();
    const answer = await act("void", `/api/sales/${sale.id}/void`, { reason: other.value.trim() || t("reason_mistake") }, { action: "void", shown: { name: sale.receipt ?? "", total: sale.total } });
    if (answer) {
      say("good", t("voided", { receipt: sale.receipt ?? "" }));
      shut();
    }
  };
  const own = sale.till === shop.value.till && sale.day === shop.value.day;
  return html`<${Sheet} title=${`${t("refund")} ${sale.receipt ?? ""}`} wide><${Form} onDone=${done}>
    <p class="quiet">${moment(sale.at)} · ${money(sale.total)}${sale.by ? html` · <bdi>${sale.by}</bdi>` : ""}${sale.unchecked && html` · <span class="warn">${t("unchecked")}</span>`}</p>
    <table class="plain"><thead><tr><th>${t("item")}</th><th class="n">${t("sold_left")}</th><th class="n">${t("comes_back")}</th><th class="n">${t("total")}</th></tr></thead><tbody>
      ${sale.lines.map((line, index) => html`<tr key=${index}><td><bdi>${lineNamed(line)}</bdi></td><td class="n">${line.quantity} / ${line.left}</td>
        <td class="n step"><button type="button" class="step-key" aria-label=${t("less")} onClick=${() => set(index, taken.value[index] - 1000)}>−</button>
          <input class="amount short" dir="ltr" inputmode="decimal" aria-label=${`${t("comes_back")}: ${line.name}`} value=${formatQuantity(taken.value[index])} disabled=${line.left === "0"} data-focus=${index === 0 || undefined}
            onChange=${(event) => set(index, parseQuantity(event.target.value) ?? 0)} />
          <button type="button" class="step-key" aria-label=${t("more_of_it")} onClick=${() => set(index, taken.value[index] + 1000)}>+</button></td>
        <td class="n">${plain(line.total)}</td></tr>`)}
    </tbody></table>
    <div class="tabs"><${Key} hint="F2" onPress=${() => (taken.value = sale.lines.map((line) => parseQuantity(line.left) ?? 0))}>${t("everything")}<//></div>
    <label class="field"><span>${t("reason")}</span><select value=${reason.value} onChange=${(event) => (reason.value = event.target.value)}>${REASONS.map((each) => html`<option key=${each} value=${each}>${t(each)}</option>`)}</select></label>
    <${Field} label=${t("other_reason")} value=${other.value} onText=${(to) => (other.value = to)} maxlength="100" />
    <label class="field"><span>${t("money_back_by")}</span><select value=${kind.value} onChange=${(event) => (kind.value = event.target.value)}>${[...new Set([first, "cash", "raast", ...(sale.customer ? ["account", "store_credit"] : [])])].map((each) => html`<option key=${each} value=${each}>${kindName(each)}</option>`)}</select></label>
    <label class="check"><input type="checkbox" checked=${restock.value} onChange=${(event) => (restock.value = event.target.checked)} /> ${t("restock")}</label>
    <p class="due small"><span>${t("goes_back")}</span><output>${money(back)}</output></p>
    <div class="two">${own && html`<${Key} onPress=${undoWhole}>${t("void_sale")}<//>`}<button type="submit" class="key go" disabled=${!chosen.length}><span class="key-text">${t("give_back")}</span><kbd>Enter</kbd></button></div>
  <//><//>`;
}

