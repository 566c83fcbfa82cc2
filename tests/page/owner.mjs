// Runs the pure parts of the owner's page over cases from stdin, [{call, args}], and answers what each came to; `texts` are
// the words of both languages.

import { readFileSync } from "node:fs";
import * as owner from "../../posline/till/page/core/owner.js";
import en from "../../posline/till/page/texts/en.js";
import ownerEn from "../../posline/till/page/texts/owner-en.js";
import ownerUr from "../../posline/till/page/texts/owner-ur.js";
import ur from "../../posline/till/page/texts/ur.js";

const CALLS = {
  days_up_to: owner.daysUpTo,
  is_day: owner.isDay,
  hours: owner.hoursOf,
  net_before: owner.netBefore,
  columns: (report, wanted) => owner.worthShowing(report, wanted).map((column) => column.name),
  ranges: owner.rangesText,
  shares: owner.shares,
  tills: owner.tillsOf,
  oddities: owner.oddities,
  texts: () => ({ en, ur, owner_en: ownerEn, owner_ur: ownerUr }),
};

const cases = JSON.parse(readFileSync(0, "utf8"));
process.stdout.write(JSON.stringify(cases.map(({ call, args }) => CALLS[call](...args) ?? null)));
