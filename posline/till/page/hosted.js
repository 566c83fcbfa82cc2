// A page on a phone or tablet, whose disk is another till's: what to do where that till is gone for good. What waits in this
// browser can be handed over to another till of the shop, where this device was paired again: at the same address, or by
// a file. Each sale keeps its id, so one that the lost till recorded after all is still one sale.

import { followOutbox } from "./acts.js";
import { followShop } from "./shop.js";
import { elsewhere, say, shop, waits } from "./state.js";
import { number, t } from "./texts.js";

const FORMAT = "posline-waiting";
const PATH = /^\/api\/(sales|payments|cash|shifts|days|holds|products|stock|customers)(\/|$)/;
const METHODS = [undefined, "POST", "PUT"];
let outbox = null;
let store = null;

export function beginHosted(kept, box) {
  store = kept;
  outbox = box;
}

/** Whether what waits here may go to the till that answers now: of the same shop, and only where this device was hosted. */
export function mayHandOver() {
  const now = elsewhere.value;
  return Boolean(shop.value?.host && now && now.shop_id === shop.value.shop_id && now.till !== shop.value.till && waits.value);
}

/** Everything that waits here is for the till that answers now. */
export async function handOver() {
  await store.readdress(elsewhere.value.till);
  await followShop(() => false);
  await followOutbox();
  void outbox.drain();
  say("good", t("handed_over", { label: shop.value.label }));
}

/** What waits here as a file; it stays here, too. */
export async function saveWaiting() {
  const records = await store.everything();
  const text = JSON.stringify({ format: FORMAT, shop_id: shop.value.shop_id, till: shop.value.till, label: shop.value.label, records });
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([text], { type: "application/json" }));
  link.download = `posline-${shop.value.label}-${records.length}.json`;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}

/** Take over what waited in another browser, from its file, in the order in which it was rung. */
export async function takeOver(file) {
  let found;
  try {
    found = JSON.parse(await file.text());
  } catch {
    return say("bad", t("no_waiting_file"));
  }
  if (found?.format !== FORMAT || found.shop_id !== shop.value.shop_id || !Array.isArray(found.records) || !found.records.every(isRecord)) {
    return say("bad", t("no_waiting_file"));
  }
  for (const { seq: _, refused: __, aside: ___, ...record } of found.records) {
    await store.take({ ...record, till: shop.value.till }).catch((error) => {
      if (!error.twice) throw error; // it is here already
    });
  }
  await followOutbox();
  void outbox.drain();
  return say("good", t("taken_over", { n: found.records.length, count: number(found.records.length) }));
}

function isRecord(each) {
  const words = [each?.id, each?.kind, each?.path, each?.at].every((word) => typeof word === "string");
  return words && PATH.test(each.path) && METHODS.includes(each.method) && each.body?.id === each.id;
}
