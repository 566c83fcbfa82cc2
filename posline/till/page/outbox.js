// The way of a sale from this browser's disk to the till's: written down first, then posted with its id again and again
// until the till says that it is on its disk. One tab at a time posts, in the order in which things were rung.
//
//   1. Nothing is confirmed to a person before it is on a disk: this browser's, or, where that is full, the till's.
//   2. A record leaves only for an answer that carries its own id; no answer, a time-out, 5xx: the same id is sent again.
//   3. A record goes to the till at which it was rung and to no other: the till refuses it by its name (421).
//   4. What the till refuses is set aside with its reason, and the rest goes on.

import { NotWritten } from "./store.js";

const POST_MS = 10_000; // after this an answer is taken not to come; the till may have recorded it, so the id stays
const WAIT_MS = [500, 1000, 2000, 4000, 5000]; // before the next try; not the browser's `online` event, which says nothing
const LOCK = "posline-outbox";
const BROKEN_MAX = 5; // records that a till has a fault with before it is left alone for a while
const NUMBERED = ["sale", "refund"]; // what has a receipt, and a time at which it was rung

/** Nothing was recorded anywhere: this browser's disk has no room and the till gave no answer. */
export class NowhereWritten extends Error {}

/** Something else waits here under the same id. Nothing was recorded. */
export class IdTaken extends Error {}

export class Outbox {
  #store;
  #told;
  #tries = 0;
  #timer = null;
  #running = false;
  #again = false;
  #proofs = new Map(); // id -> what goes along with it, in memory alone, until the till has answered
  #acknowledged = new Map(); // seq -> answer, until this browser's disk has taken note

  /** `told` is {changed(), reached(up), answered(record, answer), refused(record, problem), elsewhere(problem),
   * unpaired(), proved(proof)}, the last to be passed on to `know` of the other tabs. */
  constructor(store, told) {
    this.#store = store;
    this.#told = told;
  }

  /**
   * Take a record {id, kind, path, method?, body, till, at}. Returns "browser" once it is on this browser's disk, or
   * "till" where only the till had room for it. `secret` (a PIN) goes along and is never written down. Throws
   * NowhereWritten: then nothing was recorded, and asking again with the same id is safe; and IdTaken.
   */
  async add(record, { cartOf = null, secret = null } = {}) {
    if (secret) this.prove({ id: record.id, secret }); // before any tab can find it
    try {
      await this.#take(record, cartOf);
    } catch (error) {
      if (!(error instanceof NotWritten)) throw error;
      if (error.twice) {
        const held = (await this.#store.everything()).find((each) => each.id === record.id);
        if (!held) return this.add(record, { cartOf, secret }); // it has just left
        if (JSON.stringify(held.body) !== JSON.stringify(record.body)) throw new IdTaken(record.id);
        return "browser"; // rung already, in another tab with the same cart
      }
      return this.#straight(record, secret);
    }
    this.#told.changed();
    void this.drain();
    return "browser";
  }

  async #take(record, cartOf) {
    try {
      await this.#store.take(record, cartOf);
    } catch (error) {
      if (!error.full) throw error;
      await this.#store.makeRoom().catch(() => {});
      await this.#store.take(record, cartOf);
    }
  }

  /** No room here: the till itself has to say that it is on its disk before anybody is told. */
  async #straight(record, secret) {
    for (let tries = 0; tries < 2; tries++) {
      const { answer, problem } = await this.#post(record, secret);
      if (answer) {
        this.#told.answered(record, answer);
        return "till";
      }
      if (problem?.final) throw new NowhereWritten(problem.detail);
    }
    throw new NowhereWritten("");
  }

  /** Post what waits, until nothing does or the till is out of reach; then again by itself. */
  async drain() {
    if (this.#running) {
      this.#again = true;
      return;
    }
    this.#running = true;
    clearTimeout(this.#timer);
    try {
      const reached = await navigator.locks.request(LOCK, () => this.#all());
      if (!reached) this.#later();
    } catch {
      this.#later(); // the browser's own storage gave no answer
    } finally {
      this.#running = false;
      if (this.#again) {
        this.#again = false;
        void this.drain();
      }
    }
  }

  /** What goes along with a record that any tab may send: told to the others, kept in memory; without a `secret`, no more. */
  know({ id, secret }) {
    if (secret) this.#proofs.set(id, secret);
    else this.#proofs.delete(id);
  }

  /** Let `secret` go along with the record `id`, whichever tab sends it. To be called before it can be sent. */
  prove(proof) {
    this.know(proof);
    this.#told.proved(proof);
  }

  #later() {
    const wait = WAIT_MS[Math.min(this.#tries++, WAIT_MS.length - 1)];
    this.#timer = setTimeout(() => void this.drain(), wait * (0.75 + Math.random() / 2));
  }

  /** Whether everything that can be sent was answered, and noted here. */
  async #all() {
    await this.#leave();
    const broken = new Set(); // what the till has a fault of its own with: next time again, and the rest goes on
    for (let batch, after = 0; (batch = await this.#store.batch(after)).length; after = batch.at(-1).seq) {
      for (const record of batch) {
        if (record.refused || this.#acknowledged.has(record.seq)) continue;
        if (!(await this.#send(record, broken))) return false;
        this.#told.changed();
      }
    }
    this.#told.changed();
    return this.#acknowledged.size + broken.size === 0; // where it could not be noted, once more later
  }

  /** Post one record; whether the next one's turn has come. */
  async #send(record, broken) {
    const { answer, problem } = await this.#post(record, this.#proofs.get(record.id));
    if ((answer || problem?.final) && this.#proofs.has(record.id)) this.prove({ id: record.id });
    if (answer) {
      this.#acknowledged.set(record.seq, answer);
      this.#tries = 0;
      this.#told.answered(record, answer);
      await this.#leave();
    } else if (problem?.final) {
      await this.#store.setAside(record, problem);
      this.#told.refused(record, problem);
    } else if (problem?.broken && broken.size < BROKEN_MAX) {
      broken.add(record.seq);
    } else {
      return false;
    }
    return true;
  }

  /** What the till has leaves this browser's disk. Where that is full it stays there a while, which holds nobody up: it
   * is not sent again by this tab, and sent again by another it is the same. */
  async #leave() {
    for (const [seq, answer] of this.#acknowledged) {
      try {
        await this.#store.acknowledged(seq, answer);
        this.#acknowledged.delete(seq);
      } catch (error) {
        if (!(error instanceof NotWritten)) throw error;
        return;
      }
    }
  }

  async #post(record, secret) {
    let response, answer;
    try {
      response = await fetch(record.path, {
        method: record.method ?? "POST",
        headers: { "content-type": "application/json", "posline-till": record.till },
        body: JSON.stringify({ ...record.body, ...(late(record) ? { rung: record.at } : {}), ...secret }),
        signal: AbortSignal.timeout(POST_MS),
        cache: "no-store",
      });
      answer = await response.json();
    } catch {
      this.#told.reached(false);
      return {};
    }
    if (response.status === 421) {
      this.#told.elsewhere(answer);
      return {};
    }
    if (response.status === 401) {
      this.#told.unpaired(); // this device was removed, and may be paired again: nothing was recorded
      return {};
    }
    if (response.status === 500) return { problem: { broken: true } }; // a fault, which bears no name
    if (response.headers.get("posline-till") !== record.till) {
      this.#told.reached(false); // some other program answers here: whatever it says, nothing was recorded
      return {};
    }
    this.#told.reached(true);
    if (response.ok && (!NUMBERED.includes(record.kind) || answer.id === record.id)) return { answer };
    const final = response.status >= 300 && response.status < 500 && ![408, 425, 429].includes(response.status);
    return { problem: { final, status: response.status, title: answer.title ?? "", detail: answer.detail ?? "" } };
  }
}

/** Whether a record says when it was rung: sales and refunds that come a while after they were. */
function late(record) {
  return NUMBERED.includes(record.kind) && Date.now() - Date.parse(record.at) > 60_000;
}
