// What the owner's page asks of the till. Each answer is kept with the time at which it came, asked for again when there
// is news of it, and stays on the screen while the till is silent.

import { Refused, ask } from "./calls.js";
import { on } from "./live.js";
import { reached } from "./state.js";
import { effect, signal, useEffect } from "./ui.js";

const KEPT_MAX = 60; // answers that are no longer on the screen
const AGAIN_MS = 3000; // behind a question that nobody answered
const REPORT_MS = 20_000; // a report over a long span takes its time

/** The shop restricts what was asked for: what a till says about it, or null. */
export const locked = signal(null);
/** When the till last answered. */
export const heardAt = signal(0);

const answers = new Map();
let followers = 0;

class Answer {
  constructor(path) {
    this.path = path;
    this.shown = signal({ value: null, at: 0, problem: "" });
    this.users = new Map(); // who shows it -> {kind of event: the least time between two questions because of it}
    this.asking = false;
    this.stale = null; // it is to be asked again, so many milliseconds behind the last time
    this.timer = 0;
    this.due = 0;
    this.askedAt = 0;
  }

  /** Ask again, `least_ms` behind the last question at the earliest. While nobody looks, it waits for that. */
  refresh(least_ms) {
    if (!this.users.size) return;
    if (this.asking || document.hidden) {
      this.stale = Math.min(this.stale ?? least_ms, least_ms);
      return;
    }
    const due = Math.max(Date.now(), this.askedAt + least_ms);
    if (this.timer && this.due <= due) return;
    clearTimeout(this.timer);
    this.due = due;
    this.timer = setTimeout(() => {
      this.timer = 0;
      void this.askNow();
    }, due - Date.now());
  }

  /** How long to wait because of an event; null where nobody who shows this minds. */
  wants(kind) {
    const waits = [...this.users.values()].map((news) => news[kind]).filter((ms) => ms !== undefined);
    return waits.length ? Math.min(...waits) : null;
  }

  async askNow() {
    this.asking = true;
    this.stale = null;
    this.askedAt = Date.now();
    try {
      const value = await ask(this.path, { ms: REPORT_MS });
      heardAt.value = Date.now();
      this.shown.value = { value, at: heardAt.value, problem: "" };
    } catch (error) {
      if (error instanceof Refused && error.status === 403) locked.value = error.message;
      else if (error instanceof Refused) this.shown.value = { ...this.shown.value, value: null, problem: error.message };
      else this.stale = AGAIN_MS;
    }
    this.asking = false;
    if (this.stale !== null && !locked.value) this.refresh(this.stale);
  }
}

function answerTo(path) {
  let answer = answers.get(path);
  if (!answer) answers.set(path, (answer = new Answer(path)));
  if (answers.size > KEPT_MAX) {
    const old = [...answers.values()].find((each) => !each.users.size && each !== answer);
    if (old) answers.delete(old.path);
  }
  return answer;
}

/**
 * What the till answers to a path, for the view that calls it: {value, at, problem}, `value` null until it came. It is
 * asked for again on `news`: kinds of events, each with the least time in milliseconds between two questions because of
 * it. No path asks for nothing.
 */
export function useAnswer(path, news = {}) {
  const answer = answerTo(path ?? "");
  useEffect(() => {
    if (!path) return undefined;
    const user = ++followers;
    answer.users.set(user, news);
    if (!answer.asking) void answer.askNow();
    return () => answer.users.delete(user);
  }, [path]);
  return answer.shown.value;
}

/** [path, value, when it came] of each answer that is on the screen and whose path fits. */
export function snapshot(pattern) {
  return [...answers.values()].filter((each) => each.users.size && each.shown.value.value && pattern.test(each.path)).map((each) => [each.path, each.shown.value.value, each.shown.value.at]);
}

/** An answer that was kept from earlier, until a newer one comes. */
export function preset(path, value, at) {
  answerTo(path).shown.value = { value, at, problem: "" };
  heardAt.value = Math.max(heardAt.value, at);
}

/** There is news of some kind: what shows it is asked for again. */
export function heard(kind) {
  for (const answer of answers.values()) {
    const wait_ms = answer.wants(kind);
    if (wait_ms !== null) answer.refresh(wait_ms);
  }
}

/** Something was recorded here: whatever on the screen begins so is asked for again. */
export function changed(...paths) {
  for (const answer of answers.values()) if (paths.some((path) => answer.path.startsWith(path))) answer.refresh(0);
}

/** Somebody signed in, or out: what is on the screen is theirs to see, or not any more. */
export function unlock() {
  for (const answer of answers.values()) answer.shown.value = { value: null, at: 0, problem: "" };
  locked.value = null;
  for (const answer of answers.values()) if (answer.users.size && !answer.asking) void answer.askNow();
}

/** Begin to follow the till's news. */
export function beginFollowing() {
  for (const kind of ["sale", "refund", "status", "alarm", "catalogue", "shop"]) on(kind, () => heard(kind));
  on("up", () => [...answers.values()].forEach((answer) => answer.refresh(0)));
  document.addEventListener("visibilitychange", () => {
    if (!document.hidden) for (const answer of answers.values()) if (answer.stale !== null) answer.refresh(answer.stale);
  });
  let before = reached.value;
  effect(() => {
    const now = reached.value;
    if (now && before === false) for (const answer of answers.values()) if (answer.stale !== null) answer.refresh(AGAIN_MS);
    before = now;
  });
}
