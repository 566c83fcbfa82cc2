// The page itself is kept by a service worker, so that it opens with nothing running. Another version takes over between
// two sales, and never in one.

const IDLE_MS = 5000;

/** Keep this page for opening it alone, and change to a new version of it when `idle()` says that nobody is in a sale. */
export function keepFresh(idle) {
  const workers = navigator.serviceWorker;
  if (!workers) return;
  let had = Boolean(workers.controller);
  const turn = () => (idle() ? location.reload() : setTimeout(turn, IDLE_MS)); // another tab's sale ended, and not this one's
  workers.addEventListener("controllerchange", () => {
    if (had) turn();
    had = true;
  });
  void workers.register("/sw.js", { type: "classic", updateViaCache: "none" }).then((kept) => {
    if (!kept) return;
    setInterval(() => {
      if (kept.waiting && idle()) kept.waiting.postMessage("take over");
    }, IDLE_MS);
    setInterval(() => void kept.update().catch(() => {}), 600_000);
  }).catch(() => {});
}
