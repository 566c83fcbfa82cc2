// Sends a file of prices and shows what it would change; looks again how far the shops are while something is on its way.
"use strict";

const LOOK_MS = 3000;

const form = document.getElementById("import");
if (form) {
  const outcome = document.getElementById("outcome"), take = document.getElementById("take");
  const numbers = new Intl.NumberFormat(document.documentElement.lang === "ur" ? "ur-PK-u-nu-latn" : "en");
  const text = (id, said) => { document.getElementById(id).textContent = said; };

  const rows = (id, found, cells) => {
    const box = document.getElementById(id), body = box.querySelector("tbody");
    body.replaceChildren(...found.map((row) => {
      const line = document.createElement("tr");
      for (const said of cells(row)) {
        const cell = document.createElement("td"), apart = document.createElement("bdi");
        apart.textContent = said;
        cell.append(apart);
        line.append(cell);
      }
      return line;
    }));
    box.hidden = !found.length;
  };

  const said = (value) => (value === null ? "–" : typeof value === "object" ? JSON.stringify(value) : String(value));
  const change = (each) => Object.entries(each.fields).map(([name, [was, now]]) => `${name}: ${was === null ? "" : `${said(was)} → `}${said(now)}`).join("; ");

  const show = (found) => {
    outcome.hidden = false;
    for (const each of outcome.querySelectorAll("[data-words]")) each.hidden = (each.dataset.words === "dry") !== found.dry_run;
    text("outcome-head", "");
    text("changed", numbers.format(found.changed));
    text("unchanged", numbers.format(found.unchanged));
    text("bad", numbers.format(found.bad_count));
    rows("bad-rows", found.bad, (row) => [row.line, row.detail]);
    rows("changes", found.changes, (each) => [each.sku, change(each)]);
    take.hidden = !found.dry_run || !found.changed;
  };

  form.addEventListener("change", () => { take.hidden = true; }); // another file is checked first
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const asked = new FormData(form), dry = event.submitter?.value ?? "1";
    const query = new URLSearchParams({ list: asked.get("list"), why: asked.get("why"), dry_run: dry });
    for (const key of form.querySelectorAll("button")) key.disabled = true;
    try {
      const answer = await fetch(`/prices/import?${query}`, { method: "PUT", headers: { "x-csrf": form.dataset.csrf }, body: asked.get("file") });
      const found = await answer.json();
      if (answer.ok) show(found);
      else fail(found.detail);
    } catch {
      fail(form.dataset.failed);
    }
    for (const key of form.querySelectorAll("button")) key.disabled = false;
  });

  function fail(why) {
    outcome.hidden = false;
    for (const each of outcome.querySelectorAll("[data-words], #bad-rows, #changes")) each.hidden = true;
    text("outcome-head", why);
    take.hidden = true;
  }
}

async function look() {
  const now = document.getElementById("progress");
  if (!now?.hasAttribute("data-busy")) return;
  if (!document.hidden) {
    const found = await fetch(location.href).then((answer) => answer.text()).catch(() => "");
    const fresh = new DOMParser().parseFromString(found, "text/html").getElementById("progress");
    if (fresh) now.replaceWith(document.adoptNode(fresh));
  }
  setTimeout(look, LOOK_MS);
}
setTimeout(look, LOOK_MS);
