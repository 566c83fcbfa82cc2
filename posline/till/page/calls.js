// One way to ask the till, and to have it record what is no sale. Sales go by outbox.js, which never asks first.

import { t } from "./texts.js";
import { elsewhere, reached, say, shop, unpaired, waits } from "./state.js";

const ASK_MS = 5000;

/** The till said no: `problem` is its document (RFC 9457). */
export class Refused extends Error {
  constructor(status, problem) {
    super(problem?.detail || problem?.title || String(status));
    this.status = status;
    this.problem = problem ?? {};
  }
}

/** Nobody answered, or nobody knows what became of it. */
export class Unreached extends Error {}

/** Who does not answer. */
function silence() {
  return t(shop.value?.host_kind === "head office" ? "office_unreached" : "unreached");
}

/** What the till answers to a request; with `anyone`, whichever till it is. Throws Refused, Unreached. */
export async function ask(path, { method = "GET", body, ms = ASK_MS, anyone = false } = {}) {
  const meant = anyone ? null : shop.value?.till;
  let response, answer;
  try {
    response = await fetch(path, {
      method,
      headers: { ...(body ? { "content-type": "application/json" } : {}), ...(meant ? { "posline-till": meant } : {}), ...(shop.value?.host ? { "posline-waiting": String(waits.value) } : {}) },
      body: body && JSON.stringify(body),
      cache: "no-store",
      signal: AbortSignal.timeout(ms),
    });
    answer = response.status === 204 ? {} : await response.json();
  } catch {
    reached.value = false;
    throw new Unreached(silence());
  }
  if (response.status === 421) {
    elsewhere.value = answer;
    throw new Unreached(answer.detail);
  }
  if (response.status === 401) {
    unpaired.value = answer.waiting ? "waiting" : "removed";
    if (answer.waiting && !shop.value) location.replace("/pair"); // which looks until the shop has let it in
    throw new Unreached(answer.detail);
  }
  if (meant && response.headers.get("posline-till") !== meant) {
    reached.value = false; // some other program answers here
    throw new Unreached(silence());
  }
  reached.value = true;
  unpaired.value = false;
  if (response.status >= 500) throw new Unreached(answer?.detail ?? silence());
  if (!response.ok) throw new Refused(response.status, answer);
  return answer;
}

/** As `ask`, and null where there is no answer: for what is shown and not waited for. */
export async function glance(path) {
  try {
    return await ask(path);
  } catch {
    return null;
  }
}

/** A UUID, version 4. */
export function newId() {
  return crypto.randomUUID();
}

/** The time as records write it, with this browser's offset. */
export function now() {
  const date = new Date();
  const offset = -date.getTimezoneOffset();
  const local = new Date(date.getTime() + offset * 60_000).toISOString().slice(0, -1);
  const hours = String(Math.trunc(Math.abs(offset) / 60)).padStart(2, "0");
  return `${local}${offset < 0 ? "-" : "+"}${hours}:${String(Math.abs(offset) % 60).padStart(2, "0")}`;
}

/** Say what the till said, in passing. */
export function complain(error) {
  say("bad", error instanceof Refused ? sentence(error.problem) : error.message, 10_000);
}

/** What a problem document says: its detail, and its fields. */
export function sentence(problem) {
  const fields = (problem.errors ?? []).map((each) => `${each.field}: ${each.detail}`).join("; ");
  return fields || problem.detail || problem.title || "";
}
