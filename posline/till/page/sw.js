// Keeps the files of the page, all of one version, and answers with them before anything is asked of the till: the page
// opens in a power cut as it does in any other minute. What is under /api/ it never touches.

const VERSION = "__VERSION__"; // of all files together; put in by the till that serves this
const FILES = __FILES__;
const KEPT = `posline-${VERSION}`;

self.addEventListener("install", (event) => {
  event.waitUntil(caches.open(KEPT).then((kept) => kept.addAll(FILES.map((path) => new Request(path, { cache: "reload" })))));
});

self.addEventListener("activate", (event) => {
  const old = (name) => name.startsWith("posline-") && name !== KEPT;
  event.waitUntil(
    caches.keys().then((names) => Promise.all(names.filter(old).map((name) => caches.delete(name)))).then(() => self.clients.claim()),
  );
});

self.addEventListener("message", (event) => {
  if (event.data === "take over") void self.skipWaiting();
});

self.addEventListener("fetch", (event) => {
  const { method, url, mode } = event.request;
  const { origin, pathname } = new URL(url);
  if (method !== "GET" || origin !== self.location.origin || pathname.startsWith("/api/")) return;
  if (mode !== "navigate" && !FILES.includes(pathname)) return;
  const path = FILES.includes(pathname) ? pathname : null;
  if (!path) return;
  event.respondWith(caches.open(KEPT).then((kept) => kept.match(path)).then((found) => found ?? fetch(event.request)));
});
