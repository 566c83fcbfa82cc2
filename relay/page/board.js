// The head office's dashboard: asks the API with the token that a person typed in, every few seconds.
"use strict";

const EVERY_MS = 5000;
const SHOPS_SHOWN = 50; // day reports asked for at a time; the API has the rest
const KEPT = "posline-token";
const at = (id) => document.getElementById(id);
let timer = 0;

const DECIMALS = { JPY: 0, KRW: 0, VND: 0, CLP: 0, BHD: 3, IQD: 3, JOD: 3, KWD: 3, OMR: 3, TND: 3 }; // all others have two

function money(minor, currency) {
  if (!currency) return String(minor);
  // by ISO 4217 and not by the browser, which prints PKR without paisa and would take them for rupees
  const digits = DECIMALS[currency] ?? 2;
  const style = { style: "currency", currency, currencyDisplay: "narrowSymbol" };
  return new Intl.NumberFormat(undefined, { ...style, minimumFractionDigits: digits }).format(minor / 10 ** digits);
}

async function ask(path) {
  const answer = await fetch(path, {
    cache: "no-store",
    headers: { authorization: `Bearer ${sessionStorage.getItem(KEPT)}` },
    signal: AbortSignal.timeout(15000),
  });
  if (!answer.ok) throw Object.assign(new Error(`the head office answers ${answer.status}`), { status: answer.status });
  return answer.json();
}

function cell(text, kind) {
  const made = document.createElement("td");
  made.textContent = text;
  if (kind) made.className = kind;
  return made;
}

function lookAt(day) {
  const odd = ["duplicates", "held", "disputed", "invalid"].filter((name) => day[name].length);
  const words = odd.map((name) => `${day[name].length} ${name}`);
  const missing = day.tills.reduce((sum, till) => sum + till.missing_count, 0);
  if (missing) words.push(`${missing} numbers missing`);
  return words.join(", ");
}

function row(shop, day) {
  const made = document.createElement("tr");
  const linked = shop.peers.filter((peer) => peer.connected).length;
  const odd = lookAt(day);
  made.append(
    cell(shop.name),
    cell(`${day.day}${day.provisional ? " (provisional)" : ""}`),
    cell(String(day.sales.count), "n"),
    cell(money(day.sales.total, day.currency), "n"),
    cell(day.tills.map((till) => `${till.label}: ${till.count}`).join(", ")),
    cell(`${linked} of ${shop.peers.length}`),
    cell(odd || "nothing", odd ? "odd" : "quiet"),
  );
  return made;
}

function state(text, kind) {
  at("state").textContent = text;
  at("state").className = `state ${kind}`;
}

function show(known) {
  at("enter").hidden = known;
  at("board").hidden = !known;
}

async function refresh() {
  clearTimeout(timer);
  if (!sessionStorage.getItem(KEPT)) return show(false);
  try {
    const { shops } = await ask("/api/shops");
    const shown = shops.slice(0, SHOPS_SHOWN);
    const days = await Promise.all(shown.map((shop) => ask(`/api/shops/${shop.shop}/reports/day/${shop.day}`)));
    at("shops").replaceChildren(...shown.map((shop, index) => row(shop, days[index])));
    at("more").textContent = shops.length > shown.length ? `${shops.length - shown.length} more shops by the API` : "";
    show(true);
    state(`${shops.length} shops`, "good");
  } catch (error) {
    if (error.status === 401) {
      sessionStorage.removeItem(KEPT);
      show(false);
      return state("this token is not known here", "bad");
    }
    state(String(error.message), "bad");
  }
  timer = setTimeout(refresh, EVERY_MS);
}

at("form").addEventListener("submit", (event) => {
  event.preventDefault();
  sessionStorage.setItem(KEPT, at("token").value.trim());
  at("token").value = "";
  refresh();
});
at("leave").addEventListener("submit", (event) => {
  event.preventDefault();
  sessionStorage.removeItem(KEPT);
  clearTimeout(timer);
  state("no token yet", "");
  show(false);
});
refresh();
