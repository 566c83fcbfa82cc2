// Runs the pure parts of the page over cases from stdin, [{call, args}], and answers what each came to.

import { readFileSync } from "node:fs";
import * as cart from "../../posline/till/page/core/cart.js";
import * as codes from "../../posline/till/page/core/codes.js";
import * as money from "../../posline/till/page/core/money.js";
import { price } from "../../posline/till/page/core/pricing.js";
import { Catalogue, businessDay, fold, onDay } from "../../posline/till/page/core/search.js";

const shelf = new Catalogue();
const CALLS = {
  price,
  fold,
  read_label: codes.readLabel,
  priced_line: codes.pricedLine,
  reference: codes.reference,
  typed: codes.typed,
  is_receipt: codes.isReceipt,
  parse_amount: money.parseAmount,
  parse_quantity: money.parseQuantity,
  format_quantity: money.formatQuantity,
  request: (lines, product) => cart.saleRequest({ ...cart.newCart("id"), lines: lines.map((line) => cart.lineOf(product, line.quantity, line)) }, null, ""),
  on_day: onDay,
  business_day: businessDay,
  put: (products) => shelf.put(products),
  search: (text, limit) => shelf.search(text, limit).map((product) => product.sku),
  bearing: (code) => shelf.bearing(code).map((product) => product.sku),
};

const cases = JSON.parse(readFileSync(0, "utf8"));
process.stdout.write(JSON.stringify(cases.map(({ call, args }) => CALLS[call](...args) ?? null)));
