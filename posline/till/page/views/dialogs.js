// Which sheet stands before the cart.

import { dialog } from "../state.js";
import { html } from "../ui.js";
import { Choose, Discount, Price, Quantity, Unknown } from "./goods.js";
import { Customer } from "./customers.js";
import { Carts, Sales, Standings } from "./lists.js";
import { Approve, Full, Help, More, SignIn } from "./menus.js";
import { Refund } from "./refund.js";
import { CashMove, Count, Drawer, OpenShift, Report } from "./drawer.js";

const SHEETS = {
  choose: Choose, unknown: Unknown, quantity: Quantity, discount: Discount, price: Price, customer: Customer,
  carts: Carts, sales: Sales, state: Standings, refund: Refund, more: More, help: Help, signin: SignIn,
  approve: Approve, full: Full, shift: Drawer, open: OpenShift, count: Count, report: Report, cash: CashMove,
};

export function Dialog() {
  const asked = dialog.value;
  const View = asked && SHEETS[asked.kind];
  return View ? html`<${View} key=${asked.kind} ...${asked} />` : null;
}
