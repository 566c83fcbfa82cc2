// The till's status page: asks the till's own API every two seconds and shows what it answers.
"use strict";

const EVERY_MS = 2000;
const SALES_SHOWN = 12;
const at = (id) => document.getElementById(id);

function show(id, text) {
  const element = at(id);
  if (element.textContent !== text) element.textContent = text;
}

const DECIMALS = { JPY: 0, KRW: 0, VND: 0, CLP: 0, BHD: 3, IQD: 3, JOD: 3, KWD: 3, OMR: 3, TND: 3 }; // all others have two

function money(minor, currency) {
  // by ISO 4217 and not by the browser, which prints PKR without paisa and would take them for rupees
  const digits = DECIMALS[currency] ?? 2;
  const style = { style: "currency", currency, currencyDisplay: "narrowSymbol" };
  return new Intl.NumberFormat(undefined, { ...style, minimumFractionDigits: digits }).format(minor / 10 ** digits);
}

function element(name, text, kind) {
  const made = document.createElement(name);
  if (text !== undefined) made.textContent = text;
  if (kind) made.className = kind;
  return made;
}

async function ask(path) {
  const answer = await fetch(path, { cache: "no-store", signal: AbortSignal.timeout(5000) });
  if (!answer.ok) throw new Error(`${path}: ${answer.status}`);
  return answer.json();
}

function clock(iso) {
  return iso ? iso.slice(11, 16) : "never";
}

function safeOn(sale) {
  if (sale.status !== "counted") return sale.status;
  const places = ["this till"];
  if (sale.durable.tills) places.push(sale.durable.tills === 1 ? "1 more till" : `${sale.durable.tills} more tills`);
  if (sale.durable.head_office) places.push("head office");
  return places.join(", ");
}

function showPeers(peers) {
  const items = peers.map((peer) => {
    const item = element("li");
    item.append(
      element("span", undefined, peer.connected ? "dot good" : "dot bad"),
      element("span", `${peer.name}${peer.kind ? ` (${peer.kind})` : ""}`),
      element("span", peer.connected ? (peer.behind ? `${peer.behind} to send` : "up to date") : `last seen ${clock(peer.last_seen)}`),
    );
    return item;
  });
  if (!items.length) items.push(element("li", "no other device yet: 'posline invite' admits a till, 'posline attach' a head office", "quiet"));
  at("peers").replaceChildren(...items);
}

function showSales(sales, currency) {
  const rows = sales.map((sale) => {
    const row = element("tr");
    row.append(
      element("td", sale.receipt, "mono"),
      element("td", clock(sale.at)),
      element("td", String(sale.lines.length)),
      element("td", money(sale.total, currency), "n"),
      element("td", safeOn(sale), sale.status === "counted" ? "quiet" : "odd"),
    );
    return row;
  });
  at("sales").replaceChildren(...rows);
}

function showState(status, day) {
  const state = at("state");
  const linked = status.peers.filter((peer) => peer.connected).length;
  state.className = "state " + (status.alarms.length ? "bad" : status.waiting ? "wait" : "good");
  state.textContent = status.alarms.length ? "look at the alarms" : linked ? `selling, linked with ${linked}` : "selling, on its own";
  at("alarms-box").hidden = !status.alarms.length;
  at("alarms").replaceChildren(...status.alarms.map((alarm) => element("li", `${alarm.detail}. ${alarm.do}`)));
  show("provisional", day.provisional ? "provisional: the day is not closed everywhere" : "all tills have closed the day");
}

async function refresh() {
  try {
    const status = await ask("/api/status");
    const [day, list] = await Promise.all([
      ask(`/api/reports/day/${status.day}`),
      ask(`/api/sales?order=newest&limit=${SALES_SHOWN}`),
    ]);
    document.title = `${status.shop}: till ${status.label}`;
    show("shop", status.shop);
    show("label", status.label);
    show("day", `· ${status.day}`);
    show("total", money(day.sales.total, day.currency));
    show("count", String(day.sales.count));
    show("tills", day.tills.map((till) => `${till.label}: ${till.count}`).join(" · "));
    show("waiting", String(status.waiting));
    show("waiting-note", status.waiting ? "not yet on any other device" : "everything is on another device too");
    showState(status, day);
    showPeers(status.peers);
    showSales(list.sales, day.currency);
  } catch (error) {
    at("state").className = "state bad";
    show("state", "the till does not answer");
  } finally {
    setTimeout(refresh, EVERY_MS);
  }
}

refresh();
