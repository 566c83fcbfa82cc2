// The shop as this browser knows it: its settings and its whole catalogue, on this browser's disk and in memory, so that
// a till whose program is not running sells on. Follows the till's catalogue by what changed since.

import { Refused, ask, glance } from "./calls.js";
import { Catalogue, businessDay } from "./core/search.js";
import { tell } from "./live.js";
import { customers, elsewhere, products, reached, sales, shop } from "./state.js";
import { currency, named } from "./texts.js";

const LOCK = "posline-catalogue";
const PAGE = 1000;
export const catalogue = new Catalogue();
// the day is the till's; while it does not answer, this browser's clock says when the next one begins
catalogue.today = () => {
  const said = shop.value?.day ?? "";
  if (!said || reached.value) return said;
  const here = businessDay(Date.now(), shop.value.zone, shop.value.day_start);
  return here > said ? here : said;
};
let version = "";
let onDisk = true; // whether this version was written down, too
let store = null;

/** What a line of a sale is called in the language shown: the catalogue knows the name in both. */
export function lineNamed(line) {
  return named({ name: line.name, name_ur: line.name_ur ?? catalogue.get(line.sku)?.name_ur });
}

/** Read what is kept, then follow the till. The page sells with what is kept as soon as this has returned. */
export async function openShop(kept) {
  store = kept;
  const known = await store.kept("shop").catch(() => null);
  if (known) took(known);
  customers.value = (await store.kept("customers").catch(() => null)) ?? [];
  const { version: have, products: rows } = await store.catalogue().catch(() => ({ version: "", products: [] }));
  catalogue.put(rows);
  version = have;
  counted();
}

function took(found) {
  shop.value = found;
  currency.value = { code: found.currency, digits: found.minor_digits, zone: found.zone };
}

function counted() {
  products.value = { size: catalogue.size, complete: version !== "" };
}

/** Ask the till who it is and how the shop is set up. A till that is another one than before does not take its place
 * while sales of the one before wait here. */
export async function followShop(waits) {
  const found = await ask("/api/shop", { anyone: true }).catch(() => null);
  if (!found) return;
  if (shop.value && found.till !== shop.value.till && waits()) {
    elsewhere.value = found;
    return;
  }
  if (shop.value && found.shop_id !== shop.value.shop_id) await forgetShop();
  elsewhere.value = null;
  took(found);
  await store.keep("shop", found).catch(() => {});
}

/** Another shop's till is here now: nothing of the one before is looked up any more. */
async function forgetShop() {
  catalogue.clear();
  version = "";
  customers.value = [];
  sales.value = [];
  counted();
  await store.makeRoom().catch(() => {});
  await store.keep("customers", []).catch(() => {});
}

/** Bring the catalogue up to date: what changed since, or all of it by pages. One tab at a time writes it down. */
export async function followCatalogue() {
  try {
    await navigator.locks.request(LOCK, bring);
  } catch (error) {
    if (error instanceof Refused) throw error;
  }
}

async function bring() {
  const kept = (await store.kept("catalogue").catch(() => version)) ?? "";
  if (onDisk && kept && kept !== version) await reload(kept); // another tab brought it
  for (;;) {
    const first = await ask(`/api/catalogue?have=${encodeURIComponent(version)}&limit=${PAGE}`);
    if (!first.whole) {
      const changed = first.products.length || first.gone.length;
      catalogue.drop(first.gone);
      catalogue.put(first.products);
      if (first.version !== version) await keep(first.version);
      if (changed) tell("products", { products: first.products, gone: first.gone, version });
      return;
    }
    await whole(first); // and once more, for what changed while it came
  }
}

async function whole(first) {
  const all = [...first.products];
  for (let next = first.next; next !== null; ) {
    const page = await ask(`/api/catalogue?limit=${PAGE}&after=${encodeURIComponent(next)}`);
    all.push(...page.products);
    next = page.next;
  }
  catalogue.clear();
  catalogue.put(all);
  await keep(first.version);
  tell("products", { whole: version });
}

async function keep(now) {
  version = now;
  counted();
  // a full disk: it stays in memory, and what is on the disk is an older one
  onDisk = await store.keepCatalogue([...catalogue.all()], now).then(() => true, () => false);
}

/** Take over the catalogue that is on this browser's disk, if it is this one. */
async function reload(wanted) {
  const found = await store.catalogue().catch(() => null);
  if (found?.version !== wanted) return;
  catalogue.clear();
  catalogue.put(found.products);
  version = found.version;
  counted();
}

/** Another tab brought changes: take them over. */
export async function hear(changes) {
  if (changes.whole) return changes.whole === version ? undefined : reload(changes.whole);
  if (changes.version === version) return undefined;
  catalogue.drop(changes.gone);
  catalogue.put(changes.products);
  version = changes.version;
  return counted();
}

/** The shop's customers, for looking up while nothing runs. */
export async function followCustomers() {
  const all = [];
  for (let after = ""; ; ) {
    const page = await glance(`/api/customers?limit=${PAGE}&after=${encodeURIComponent(after)}`);
    if (!page) return;
    all.push(...page.customers);
    if (page.customers.length < PAGE) break;
    after = page.next;
  }
  customers.value = all;
  await store.keep("customers", all).catch(() => {});
}
