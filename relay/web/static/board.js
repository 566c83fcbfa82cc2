// Keeps an open page up to date: when the head office says that something changed, the page is asked for once more, and
// what is marked [data-live] is put in place of what stands there, unless somebody is just typing or choosing in it.
"use strict";

const light = document.querySelector("[data-live-light]");
let asked = false, again = false, ended = 0;

function say(state) {
  if (!light) return;
  light.hidden = false;
  light.classList.toggle("on", state === "on");
  light.lastElementChild.textContent = light.dataset[state];
}

async function refresh() {
  if (asked) { again = true; return; }
  asked = true;
  try {
    const answer = await fetch(location.href, { headers: { accept: "text/html" }, redirect: "manual" });
    if (answer.type === "opaqueredirect") { location.reload(); return; }
    if (!answer.ok) return;
    const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
    document.body.dataset.mark = fresh.body.dataset.mark;
    for (const now of document.querySelectorAll("[data-live]")) {
      const next = fresh.getElementById(now.id);
      if (!next || now.isEqualNode(next)) continue;
      const focused = now.contains(document.activeElement) ? document.activeElement : null;
      if (focused && focused.matches("input, select, textarea")) continue;
      for (const open of now.querySelectorAll("details[open][id]")) fresh.getElementById(open.id)?.setAttribute("open", "");
      const put = document.importNode(next, true);
      now.replaceWith(put);
      if (focused && focused.id) document.getElementById(focused.id)?.focus({ preventScroll: true });
      else if (focused && focused.tagName === "A") put.querySelector(`a[href="${CSS.escape(focused.getAttribute("href"))}"]`)?.focus({ preventScroll: true });
    }
  } catch { /* the line is gone for a moment: the stream says so, and comes back */ } finally {
    asked = false;
    if (again) { again = false; refresh(); }
  }
}

let stream = null;
function listen() {
  // from what the page shows: what changed before the line was up is told, too
  stream = new EventSource(`/live?from=${document.body.dataset.mark}`);
  stream.addEventListener("open", () => { say("on"); ended = 0; });
  stream.addEventListener("changed", refresh);
  stream.addEventListener("error", () => {
    ended += 1;
    say("off");
    if (stream.readyState === EventSource.CLOSED) setTimeout(listen, Math.min(60000, 3000 * ended));
  });
}

if (document.querySelector("[data-live]") && "EventSource" in window) {
  listen();
  // a page that nobody sees holds no line
  document.addEventListener("visibilitychange", () => {
    if (document.hidden) { stream.close(); say("off"); } else listen();
  });
}
