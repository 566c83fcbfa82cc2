// Which sheet stands before the cart.

import { dialog, say } from "../state.js";
import { t } from "../texts.js";
import { html, useErrorBoundary } from "../ui.js";
import { Choose, Discount, Price, Quantity, Unknown } from "./goods.js";
import { Customer } from "./customers.js";
import { Carts, Sales, Standings } from "./lists.js";
import { Approve, Clock, Full, Help, More, SignIn } from "./menus.js";
import { Refund } from "./refund.js";
import { CashMove, Count, Drawer, OpenShift, Report } from "./drawer.js";

const SHEETS = {
  choose: Choose, unknown: Unknown, quantity: Quantity, discount: Discount, price: Price, customer: Customer,
  carts: Carts, sales: Sales, state: Standings, refund: Refund, more: More, help: Help, signin: SignIn,
  approve: Approve, full: Full, clock: Clock, shift: Drawer, open: OpenShift, count: Count, report: Report, cash: CashMove,
};

export function Dialog() {
  // a fault of ours in a sheet takes the sheet away, and never the cart behind it
  const [fault, forget] = useErrorBoundary(() => {
    dialog.value = null;
    say("bad", t("own_fault"), 10_000);
  });
  const asked = dialog.value;
  if (fault) {
    if (!asked) forget();
    return null;
  }
  const View = asked && SHEETS[asked.kind];
  return View ? html`<${View} key=${asked.kind} ...${asked} />` : null;
}
