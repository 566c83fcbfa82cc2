// The till's page: opened from this browser's disk, so that it is there with nothing behind it, and joined up with the
// till when that answers.

import { answered, beginSelling, forgetSold } from "./selling.js";
import { beginActs, followHolds, followLights, followOffice, followOutbox, followSales, heardSale } from "./acts.js";
import { hearScanner } from "./scanner.js";
import { isReceipt, readLabel } from "./core/codes.js";
import { listen, look, on, tell } from "./live.js";
import { Store, openStore } from "./store.js";
import { Outbox } from "./outbox.js";
import { beginWaiting } from "./waiting.js";
import { beginHosted } from "./hosted.js";
import { followSession, openPeople, stayProven } from "./people.js";
import { catalogue, followCatalogue, followCustomers, followShop, hear, openShop } from "./shop.js";
import { cart, dialog, digits, elsewhere, last, paying, reached, say, shop, unpaired, waits } from "./state.js";
import { play } from "./sound.js";
import { html, render } from "./ui.js";
import { t } from "./texts.js";
import { entryField, heardScan } from "./views/basket.js";
import { Till, press } from "./views/sell.js";
import { printEach } from "./views/paper.js";
import { myTab } from "./tab.js";
import { keepFresh } from "./fresh.js";

const CHANGE_MS = 60_000;
const LOOK_MS = 15_000; // what comes by itself is asked for as well, should a line be dead and look alive

async function begin() {
  // without one each sale goes straight to the till's own disk, and the store is opened again whenever it is wanted
  const store = await openStore().catch(() => {
    say("bad", t("no_storage"), 20_000);
    return new Store();
  });
  const outbox = new Outbox(store, {
    changed: () => tell("outbox"),
    reached: (up) => (reached.value = up),
    answered: (record, answer) => record.kind === "sale" && tell("answered", { id: record.id, answer }),
    refused: (record, problem) => {
      play("error");
      say("bad", problem.status === 403 ? t("approve_later") : problem.detail || problem.title, 10_000);
    },
    elsewhere: (found) => (elsewhere.value = found),
    unpaired: () => (unpaired.value ||= "removed"),
    proved: (proof) => tell("proof", proof),
  });
  await openPeople(store);
  beginActs(store, outbox);
  beginWaiting(store, outbox);
  beginHosted(store, outbox);
  const shopOpen = openShop(store);
  const { tab, opened } = await myTab(store);
  beginSelling(store, outbox, tab, opened);
  await followOutbox();
  addEventListener("keydown", heldDown, true);
  hearScanner(heardScan, entryField, known);
  addEventListener("keydown", press);
  addEventListener("pointerup", () => setTimeout(refocus));
  render(html`<${Till} />`, document.getElementById("page"));
  stayProven();
  printEach(store);
  for (const kind of ["error", "unhandledrejection"]) addEventListener(kind, () => say("bad", t("own_fault"), 10_000));
  await shopOpen;
  follow(store, outbox);
  await navigator.storage?.persist?.().catch(() => false);
}

/** Follow the till, whenever it can be reached. */
function follow(store, outbox) {
  const everything = async () => {
    await followShop(() => waits.value > 0);
    void outbox.drain();
    void look();
    void followSession();
    void forgetSold();
    void followOffice();
    void followHolds();
    void followSales();
    await followCatalogue();
    void followCustomers();
  };
  on("up", everything);
  on("outbox", followOutbox);
  on("proof", (proof) => outbox.know(proof));
  on("answered", ({ id, answer }) => answered(id, answer));
  on("sale", heardSale);
  on("refund", followSales);
  on("catalogue", followCatalogue);
  on("holds", followHolds);
  on("products", hear);
  on("shop", () => followShop(() => waits.value > 0));
  on("status", (now) => {
    void outbox.drain();
    void followLights();
    if (now.day !== shop.value?.day) void followShop(() => waits.value > 0); // another business day
  });
  listen();
  void everything();
  setInterval(() => void look().then((found) => found && Promise.all([followHolds(), followOffice()])), LOOK_MS);
  setInterval(() => void store.trim().catch(() => {}), 3_600_000);
  keepFresh(() => !cart.value.lines.length && !paying.value && !dialog.value && !lately());
}

/** Whether somebody may still be looking at the change of the last sale. */
function lately() {
  return last.value !== null && Date.now() - Date.parse(last.value.at) < CHANGE_MS;
}

/** Whether a short code that came fast is a code at all. */
function known(code) {
  return catalogue.bearing(code).length > 0 || isReceipt(code) || readLabel(code, shop.value?.scales ?? [], digits.value) !== null;
}

/** Enter that is held down ends one thing, and not whatever comes up after it as well. */
function heldDown(event) {
  if (event.key !== "Enter" || !event.repeat) return;
  event.preventDefault();
  event.stopImmediatePropagation();
}

/** What is typed goes into the cart's field, unless somebody is at another one. */
function refocus() {
  if (!dialog.value && !paying.value && !getSelection()?.toString()) entryField()?.focus({ preventScroll: true });
}

void begin();
