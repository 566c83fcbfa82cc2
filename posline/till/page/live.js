// What comes from the till by itself: sales of all tills, its status, alarms, changed prices. One tab listens for all of
// this browser's tabs, since a browser opens only six connections to one program, and passes on what it hears.

import { glance } from "./calls.js";
import { reached, shop, status } from "./state.js";

const AGAIN_MS = 1000;
const LOCK = "posline-listening";
const channel = new BroadcastChannel("posline");
const listeners = new Map();

/** Call `work` with the body of each event of a kind: sale, refund, status, alarm, catalogue, shop, holds, and those that tabs
 * send each other (`tell`). */
export function on(kind, work) {
  listeners.set(kind, [...(listeners.get(kind) ?? []), work]);
}

/** Pass something on to this tab and all others. */
export function tell(kind, body = null) {
  channel.postMessage({ kind, body });
  heard(kind, body);
}

function heard(kind, body) {
  for (const work of listeners.get(kind) ?? []) work(body);
}

/** Begin to listen, in this tab or by way of another. */
export function listen() {
  channel.onmessage = ({ data }) => heard(data.kind, data.body);
  on("status", (body) => {
    status.value = body;
    reached.value = true;
  });
  on("reached", (up) => {
    reached.value = up;
  });
  void navigator.locks.request(LOCK, () => new Promise(hold));
}

function hold() {
  const events = new EventSource("/api/events");
  const again = () => {
    events.close();
    setTimeout(hold, AGAIN_MS);
  };
  events.onopen = () => tell("up");
  events.onerror = () => {
    tell("reached", false);
    again();
  };
  for (const kind of ["sale", "refund", "status", "alarm", "catalogue", "shop", "holds"]) {
    events.addEventListener(kind, ({ data }) => {
      const body = JSON.parse(data);
      // the first thing that is told is whose status it is; of another till's sales nothing is taken over here
      if (kind === "status" && shop.value && body.till !== shop.value.till) again();
      else tell(kind, body);
    });
  }
}

/** Ask once for what would come by itself. */
export async function look() {
  const found = await glance("/api/status");
  if (found) status.value = found;
  return found;
}
