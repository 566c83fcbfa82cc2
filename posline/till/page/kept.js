// The owner's last figures, on this browser's disk: so that the page has something to show when it is opened while its till
// is silent, with the time that they are of. Not where the shop shows them to some alone.

import { heardAt, preset, snapshot } from "./following.js";
import { shop, status } from "./state.js";
import { effect } from "./ui.js";

const NAME = "owner";
const EVERY_MS = 2000;
const KEPT = /^\/api\/(reports\/(day|hour|days|cashier|product|department|tax)|shifts|sales\?day|stock\?low|customers\?owing|refunds)/;

/** What was kept, into its places. Answers the shop, or null. */
export async function recall(store) {
  const kept = await store.kept(NAME).catch(() => null);
  if (!kept?.shop) return null;
  for (const [path, value, at] of kept.answers) preset(path, value, at);
  status.value = kept.status;
  return kept.shop;
}

/** Keep what is on the screen, from now on. */
export function keepUp(store) {
  let timer = 0;
  const write = () => {
    timer = 0;
    const open = !shop.value?.settings?.permissions?.reports;
    const kept = open ? { shop: shop.value, status: status.value, answers: snapshot(KEPT) } : null;
    void store.keep(NAME, kept).catch(() => {});
  };
  effect(() => {
    if (heardAt.value && !timer) timer = setTimeout(write, EVERY_MS);
  });
}
