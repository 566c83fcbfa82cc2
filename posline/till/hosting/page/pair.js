// Pairing this device with the till that served this page: first its certificate, then the one-time token that the code on
// the owner's screen carries behind `#`, which no server ever sees in an address. A head office's certificate is one that
// browsers know; there a manager of the shop lets the device in, and this page waits for that.

const TEXTS = {
  en: {
    title: "Pair this device",
    other: "اردو",
    step1: "1. Trust the shop's till",
    why: "A till of your shop signs its own page. So that this device knows it again, also with no internet, install its certificate once. It is for this shop's network only and opens nothing else.",
    trusted: "This device trusts the till already.",
    untrusted: "This device does not trust the till yet: the page would not open in a power cut.",
    download: "Download the certificate",
    download_apple: "For iPhone and iPad",
    compare: "Before you say yes, compare the fingerprint (SHA-256) that this device shows with the one on the owner's screen, not with this page:",
    step2: "2. Pair",
    pairing: "The till makes this device a till of its own, with its own receipts and its own drawer.",
    pair: "Pair this device",
    wait: "One moment…",
    no_token: "This page was opened without a code. On the till, open the owner's page, then 'Phones and tablets', and scan the code there with this device.",
    waiting: "Sales from before wait in this browser. They are kept: after pairing, the till's page asks whether to hand them over.",
    unreached: "The till does not answer. Is this device on the shop's network? Press again: nothing happens twice.",
    office: {
      step2: "Pair with the head office",
      pairing: "The head office makes this device a till of its own, with its own receipts and its own drawer. It sells on with no internet, too.",
      no_token: "This page was opened without a code. At the head office, open the shop's page, then 'Phones and tablets', and scan the code there with this device.",
      waiting: "Sales from before wait in this browser. They are kept: after pairing, the page asks whether to hand them over.",
      unreached: "The head office does not answer. Is this device on the internet? Press again: nothing happens twice.",
      asks: "Paired. Now a manager has to let this device in: at a till of the shop, on the owner's page under 'Phones and tablets'. This page goes on by itself once that is done.",
      refused: "The shop refused this device. Ask for a new code at the head office, and open it here.",
      removed: "The shop removed this device. Ask for a new code at the head office, and open it here.",
    },
    android: [
      "Download the certificate.",
      "Open Settings, look for 'CA certificate' (Security, Encryption and credentials, Install a certificate).",
      "Choose 'CA certificate', 'Install anyway', and the file posline.crt.",
      "Come back here and load this page again.",
    ],
    ios: [
      "Tap 'For iPhone and iPad' in Safari and allow the download.",
      "Open Settings, 'Profile downloaded', Install.",
      "Settings, General, About, Certificate Trust Settings: switch Posline on.",
      "Come back here and load this page again. Then add it to the home screen, so that the system keeps what it stores.",
    ],
    windows: [
      "Download the certificate and open it.",
      "Install Certificate, Current User, 'Place all certificates in the following store': Trusted Root Certification Authorities.",
      "Close the browser, and open this page again.",
    ],
  },
  ur: {
    title: "یہ آلہ جوڑیں",
    other: "English",
    step1: "۱۔ دکان کے ٹِل پر بھروسا",
    why: "آپ کی دکان کا ٹِل اپنے صفحے پر خود دستخط کرتا ہے۔ یہ آلہ اسے انٹرنیٹ کے بغیر بھی پہچانے، اس کے لیے اس کا سرٹیفکیٹ ایک بار لگائیں۔ یہ صرف اس دکان کے نیٹ ورک کے لیے ہے۔",
    trusted: "یہ آلہ ٹِل پر پہلے ہی بھروسا کرتا ہے۔",
    untrusted: "یہ آلہ ابھی ٹِل پر بھروسا نہیں کرتا: بجلی جانے پر صفحہ نہیں کھلے گا۔",
    download: "سرٹیفکیٹ ڈاؤن لوڈ کریں",
    download_apple: "آئی فون اور آئی پیڈ کے لیے",
    compare: "ہاں کہنے سے پہلے وہ نشان (SHA-256) جو یہ آلہ دکھائے، مالک کی اسکرین والے سے ملائیں، اس صفحے سے نہیں:",
    step2: "۲۔ جوڑیں",
    pairing: "ٹِل اس آلے کو الگ ٹِل بناتا ہے، جس کی اپنی رسیدیں اور اپنا دراز ہو۔",
    pair: "یہ آلہ جوڑیں",
    wait: "ایک لمحہ…",
    no_token: "یہ صفحہ کوڈ کے بغیر کھولا گیا۔ ٹِل پر مالک کا صفحہ کھولیں، پھر 'فون اور ٹیبلٹ'، اور وہاں کا کوڈ اس آلے سے اسکین کریں۔",
    waiting: "پہلے کی فروخت اس براؤزر میں رکی ہوئی ہے۔ وہ محفوظ ہے: جوڑنے کے بعد ٹِل کا صفحہ پوچھے گا کہ اسے حوالے کیا جائے یا نہیں۔",
    unreached: "ٹِل جواب نہیں دے رہا۔ کیا یہ آلہ دکان کے نیٹ ورک پر ہے؟ دوبارہ دبائیں: کچھ بھی دو بار نہیں ہوتا۔",
    office: {
      step2: "مرکزی دفتر سے جوڑیں",
      pairing: "مرکزی دفتر اس آلے کو الگ ٹِل بناتا ہے، جس کی اپنی رسیدیں اور اپنا دراز ہو۔ انٹرنیٹ نہ ہو تب بھی یہ بیچتا رہتا ہے۔",
      no_token: "یہ صفحہ کوڈ کے بغیر کھولا گیا۔ مرکزی دفتر میں دکان کا صفحہ کھولیں، پھر 'فون اور ٹیبلٹ'، اور وہاں کا کوڈ اس آلے سے اسکین کریں۔",
      waiting: "پہلے کی فروخت اس براؤزر میں رکی ہوئی ہے۔ وہ محفوظ ہے: جوڑنے کے بعد صفحہ پوچھے گا کہ اسے حوالے کیا جائے یا نہیں۔",
      unreached: "مرکزی دفتر جواب نہیں دے رہا۔ کیا یہ آلہ انٹرنیٹ پر ہے؟ دوبارہ دبائیں: کچھ بھی دو بار نہیں ہوتا۔",
      asks: "جڑ گیا۔ اب مینیجر کو اسے اجازت دینی ہے: دکان کے کسی ٹِل پر، مالک کے صفحے پر 'فون اور ٹیبلٹ' میں۔ اجازت ملتے ہی یہ صفحہ خود آگے بڑھ جائے گا۔",
      refused: "دکان نے اس آلے کو اجازت نہیں دی۔ مرکزی دفتر سے نیا کوڈ لیں اور یہاں کھولیں۔",
      removed: "دکان نے یہ آلہ ہٹا دیا ہے۔ مرکزی دفتر سے نیا کوڈ لیں اور یہاں کھولیں۔",
    },
    android: [
      "سرٹیفکیٹ ڈاؤن لوڈ کریں۔",
      "سیٹنگز میں 'CA certificate' تلاش کریں (Security، Encryption and credentials، Install a certificate)۔",
      "'CA certificate'، پھر 'Install anyway' اور فائل posline.crt چنیں۔",
      "واپس آ کر یہ صفحہ دوبارہ کھولیں۔",
    ],
    ios: [
      "سفاری میں 'آئی فون اور آئی پیڈ کے لیے' دبائیں اور ڈاؤن لوڈ کی اجازت دیں۔",
      "سیٹنگز میں 'Profile downloaded' کھولیں اور Install دبائیں۔",
      "Settings، General، About، Certificate Trust Settings میں Posline آن کریں۔",
      "واپس آ کر یہ صفحہ دوبارہ کھولیں، پھر اسے ہوم اسکرین پر رکھیں تاکہ اس کا ذخیرہ محفوظ رہے۔",
    ],
    windows: [
      "سرٹیفکیٹ ڈاؤن لوڈ کر کے کھولیں۔",
      "Install Certificate، Current User، 'Place all certificates in the following store': Trusted Root Certification Authorities۔",
      "براؤزر بند کر کے یہ صفحہ دوبارہ کھولیں۔",
    ],
  },
};
const ASK_MS = 15_000;
const LOOK_MS = 3000; // between two looks whether the shop has let this device in
const REQUEST = "posline-pairing"; // under which this device asks: the same at every try, so that it is paired once

const element = (id) => document.getElementById(id);
let token = decodeURIComponent(location.hash.slice(1));
let language = navigator.language.startsWith("ur") ? "ur" : "en";
let trusts = null;
let host = null; // what /pair/host says: a till that hosts, or a head office; null before it is known

function words() {
  return host?.head_office ? { ...TEXTS[language], ...TEXTS[language].office } : TEXTS[language];
}

function show() {
  const texts = words();
  document.documentElement.lang = language;
  document.documentElement.dir = language === "ur" ? "rtl" : "ltr";
  for (const each of document.querySelectorAll("[data-text]")) each.textContent = texts[each.dataset.text];
  for (const list of document.querySelectorAll("[data-list]")) {
    list.replaceChildren(...texts[list.dataset.list].map((step) => Object.assign(document.createElement("li"), { textContent: step })));
  }
  element("language").textContent = texts.other;
  element("language").lang = language === "ur" ? "en" : "ur";
  if (trusts !== null) {
    element("trusted").textContent = trusts ? texts.trusted : texts.untrusted;
    element("trusted").className = trusts ? "good" : "bad";
  }
  element("installing").hidden = trusts === true;
  element("trusting").hidden = host === null || host.head_office === true;
  element("pairing").hidden = host === null;
  element("pair").disabled = !token;
  if (asking()) ask();
  else if (["refused", "removed"].includes(host?.state) && !token) say("bad", texts[host.state]);
  else if (!token) say("bad", texts.no_token);
}

/** Whether this device is paired already, and its shop has yet to let it in. */
function asking() {
  return !token && (host?.state === "waiting" || host?.state === "in");
}

function ask() {
  element("pair").hidden = true;
  say("good", words().asks);
}

/** Look again and again until the shop has let this device in. */
async function look() {
  const found = await fetch("/pair/host", { cache: "no-store", signal: AbortSignal.timeout(ASK_MS) }).then((response) => response.json()).catch(() => null);
  if (found?.state === "in") return location.replace("/");
  if (found) {
    host = found;
    element("pair").hidden = asking();
    show();
  }
  if (asking() || !found) setTimeout(look, LOOK_MS);
  return undefined;
}

function say(how, text) {
  element("said").className = how;
  element("said").textContent = text;
}

/** Whether the browser keeps a page of this address to open it with nothing running: only under a certificate it trusts. */
async function trusted() {
  try {
    await navigator.serviceWorker.register("/sw.js");
    return true;
  } catch {
    return false;
  }
}

/** How many sales of an earlier pairing wait in this browser. */
function waiting() {
  return new Promise((resolve) => {
    const asked = indexedDB.open("posline");
    asked.onupgradeneeded = () => asked.transaction.abort(); // there was none: leave it so
    asked.onerror = () => resolve(0);
    asked.onsuccess = () => {
      const db = asked.result;
      const counted = db.transaction(["outbox"]).objectStore("outbox").count();
      counted.onsuccess = () => resolve(counted.result);
      counted.onerror = () => resolve(0);
      db.onversionchange = () => db.close();
    };
  });
}

function request() {
  const kept = localStorage.getItem(REQUEST);
  if (kept?.startsWith(`${token} `)) return kept.slice(token.length + 1);
  const made = [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, "0")).join("");
  localStorage.setItem(REQUEST, `${token} ${made}`);
  return made;
}

async function pair() {
  element("pair").disabled = true;
  say("", words().wait);
  try {
    const response = await fetch("/pair", {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ token, request: request() }),
      signal: AbortSignal.timeout(ASK_MS),
    });
    const answer = await response.json();
    if (response.ok && answer.state === "waiting") {
      host = { ...host, state: answer.state };
      history.replaceState(null, "", "/pair");
      token = ""; // it is used up
      ask();
      setTimeout(look, LOOK_MS);
      return;
    }
    if (response.ok) {
      location.replace("/");
      return;
    }
    say("bad", answer.detail ?? answer.title);
  } catch {
    say("bad", words().unreached);
  }
  element("pair").disabled = false;
}

async function begin() {
  element("language").addEventListener("click", () => {
    language = language === "ur" ? "en" : "ur";
    show();
  });
  element("pair").addEventListener("click", () => void pair());
  const open = /iPhone|iPad|Mac/.test(navigator.userAgent) ? "ios" : /Android/.test(navigator.userAgent) ? "android" : "windows";
  element(open).open = true;
  const held = fetch("/pair/host", { cache: "no-store" }).then((response) => response.json()).catch(() => ({}));
  trusts = await trusted();
  host = await held;
  show();
  element("fingerprint").textContent = host.fingerprint ?? "";
  if (asking()) void look();
  else if (token && (await waiting())) say("", words().waiting);
}

void begin();
