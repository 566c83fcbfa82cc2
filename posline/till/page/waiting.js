// What a person decides about a record that the till refused. It stays on this browser's disk whichever way.

import { followOutbox } from "./acts.js";
import { say } from "./state.js";
import { t } from "./texts.js";

let outbox = null;
let store = null;

export function beginWaiting(kept, box) {
  store = kept;
  outbox = box;
}

/** Send it once more, with somebody's approval where that was missing. */
export async function resend(record, secret = null) {
  if (secret) outbox.prove({ id: record.id, secret });
  await store.sendAgain(record.seq, {});
  await followOutbox();
  await outbox.drain();
}

/** It is not sent any more, and kept apart, should anybody ask. */
export async function giveUp(record) {
  await store.giveUp(record.seq);
  await followOutbox();
  say("warn", t("given_up"));
}
