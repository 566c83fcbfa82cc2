// The owner's page: what all tills of the shop sell, as it happens, and what a shop's owner does beside the counter. It asks
// the till for everything; where the till is silent, it shows the last that it knows, with its time, and waits.

import { glance } from "./calls.js";
import { beginFollowing, locked, unlock } from "./following.js";
import { keepFresh } from "./fresh.js";
import { keepUp, recall } from "./kept.js";
import { listen, look, on } from "./live.js";
import { askSession, openPeople } from "./people.js";
import { cashier, dialog, elsewhere, shop, status } from "./state.js";
import { openStore } from "./store.js";
import { currency } from "./texts.js";
import { html, render } from "./ui.js";
import { beginWhere } from "./views/owner/where.js";
import { Owner } from "./views/owner/frame.js";

const LOOK_MS = 15_000; // what comes by itself is asked for as well, should a line be dead and look alive
const NO_STORE = { kept: async () => undefined, keep: async () => {} }; // private mode: the language is not kept

async function begin() {
  beginWhere();
  const store = (await openStore().catch(() => null)) ?? NO_STORE;
  await openPeople(store);
  const known = await recall(store);
  if (known) took(known);
  addEventListener("keydown", press);
  render(html`<${Owner} changeTill=${changeTill} />`, document.getElementById("page"));
  beginFollowing();
  keepUp(store);
  on("up", follow);
  on("shop", follow);
  listen();
  await follow();
  setInterval(() => void (shop.value ? look() : follow()), LOOK_MS);
  keepFresh(() => !dialog.value);
}

/** Who the till is, how things stand, and whether somebody has signed in. */
async function follow() {
  const found = await glance("/api/shop");
  if (!found) return;
  took(found);
  await look();
  await prove();
  if (locked.value && !found.settings.permissions?.reports) unlock(); // the shop shows its figures to everybody again
}

function took(found) {
  currency.value = { code: found.currency, digits: found.minor_digits, zone: found.zone };
  shop.value = found;
}

/** A session outlives a reload of the page: who has one need not give the PIN again. */
async function prove() {
  const session = await askSession();
  if (!session) return;
  if (session.name) cashier.value = { name: session.name, role: session.role, proven: true };
  else if (cashier.value?.proven) cashier.value = { ...cashier.value, proven: false };
}

/** Another till answers at this address, and somebody wants to see that one. */
async function changeTill() {
  elsewhere.value = null;
  shop.value = null;
  status.value = null;
  unlock();
  await follow();
}

function press(event) {
  if (event.key !== "Escape" || !dialog.value) return;
  if (dialog.value.end) dialog.value.end(null);
  else dialog.value = null;
}

void begin();
