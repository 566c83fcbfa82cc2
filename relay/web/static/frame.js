// What the pages can do without, and are handier with: copying a secret, and menus that close by themselves or
// show where one is.
"use strict";

for (const key of document.querySelectorAll("[data-copy]")) {
  if (!navigator.clipboard) continue; // an address that is not encrypted has none
  key.hidden = false;
  const before = key.textContent;
  key.addEventListener("click", async () => {
    await navigator.clipboard.writeText(document.getElementById(key.dataset.copy).textContent);
    key.textContent = key.dataset.copied;
    setTimeout(() => { key.textContent = before; }, 2000);
  });
}

document.querySelector(".menu [aria-current]")?.scrollIntoView({ inline: "center", block: "nearest" });

const me = document.querySelector(".me");
if (me) {
  document.addEventListener("click", (event) => { if (!me.contains(event.target)) me.open = false; });
  document.addEventListener("keydown", (event) => {
    if (event.key !== "Escape" || !me.open) return;
    me.open = false;
    me.querySelector("summary").focus();
  });
}
