// Who stands at this till, and who approves what a cashier may not do alone. A PIN is asked for only where the shop has
// restricted something; it is sent to the till, and kept nowhere here.

import { Refused, Unreached, ask, complain } from "./calls.js";
import { cashier, dialog, reached, shop } from "./state.js";
import { LANGUAGES, language, t } from "./texts.js";

const ROLES = ["cashier", "supervisor", "manager"];
const LEFT = "left"; // what is kept where a session was left and the till has not heard of it
const STAY_MS = 300_000; // far less than the till's half hour
let store = null;

export function cashiers() {
  return (shop.value?.cashiers ?? []).filter((each) => each.active);
}

/** Who was here last, and whether the till still takes their word for it. */
export async function openPeople(kept) {
  store = kept;
  const saved = (await store.kept("person").catch(() => null)) ?? {};
  if (LANGUAGES.includes(saved.language)) language.value = saved.language;
  if (saved.name) cashier.value = { name: saved.name, role: saved.role ?? "cashier", proven: false };
}

/** A session ends when nothing was asked for a while; somebody who scans is there, whether or not the till is asked. */
export function stayProven() {
  let active = false;
  for (const kind of ["keydown", "pointerdown"]) addEventListener(kind, () => (active = true), { passive: true, capture: true });
  setInterval(() => {
    if (active && cashier.value?.proven) void followSession();
    active = false;
  }, STAY_MS);
}

/** Ask the till whether the session of this browser still holds. */
export async function followSession() {
  const session = await askSession();
  if (!session || !cashier.value) return;
  cashier.value = { ...cashier.value, proven: session.name === cashier.value.name };
}

/** Whose session this browser has: {name, role}, the name null for nobody's; null where the till does not answer. One
 * that somebody left while it did not answer ends first. */
export async function askSession() {
  if (await store.kept(LEFT).catch(() => false)) await endSession();
  return ask("/api/session").catch(() => null);
}

/** Nobody is proved here any more; where the till does not hear it now, as soon as it does. */
async function endSession() {
  await store.keep(LEFT, true).catch(() => {});
  if (reached.value === false) return;
  const heard = await ask("/api/session", { method: "DELETE" }).catch(() => null);
  if (heard) await store.keep(LEFT, false).catch(() => {});
}

async function remember() {
  const { name, role } = cashier.value ?? {};
  await store.keep("person", { name, role, language: language.value }).catch(() => {});
}

/** Show everything in another language, at once. */
export function speak(chosen) {
  language.value = chosen;
  void remember();
}

/** Somebody else stands here. Without a PIN it is a name; with one, the till is asked. Returns whether it went through. */
export async function signIn(person, pin = null) {
  if (person.pin && pin === null) return false;
  if (pin !== null) {
    try {
      await ask("/api/session", { method: "POST", body: { by: person.name, pin } });
    } catch (error) {
      complain(error);
      return false;
    }
    await store.keep(LEFT, false).catch(() => {});
  } else {
    await endSession();
  }
  cashier.value = { name: person.name, role: person.role, proven: pin !== null };
  if (LANGUAGES.includes(person.language)) language.value = person.language;
  await remember();
  return true;
}

export async function signOut() {
  cashier.value = null;
  await endSession();
  await remember();
}

/** The least role that the shop asks for an action, where it asks for more than who stands here has proved. */
export function lacks(action) {
  const least = shop.value?.settings?.permissions?.[action] ?? "cashier";
  const role = cashier.value?.proven ? cashier.value.role : "cashier";
  return ROLES.indexOf(least) > ROLES.indexOf(role) ? least : null;
}

/**
 * Have somebody approve: {by, pin} once it was typed and the till took it; null where it was given up. Where the till
 * cannot be asked, undefined: what is to be approved goes on, and waits for it afterwards.
 */
export function approval(why) {
  if (reached.value === false) return Promise.resolve(undefined);
  const before = dialog.value;
  return new Promise((resolve) => {
    const end = (answer) => {
      if (dialog.value === mine) dialog.value = before; // a scan may have closed it, and something else stands there by now
      resolve(answer);
    };
    const mine = { kind: "approve", why, end, check };
    dialog.value = mine;
  });
}

/** Whether a PIN is somebody's: null where it is, else what to say. */
async function check(by, pin) {
  try {
    await ask(`/api/cashiers/${encodeURIComponent(by)}/check`, { method: "POST", body: { pin } });
    return null;
  } catch (error) {
    if (error instanceof Refused) return error.message;
    return error instanceof Unreached ? t("unreached") : String(error);
  }
}
