// Pairing this device with the till that served this page: first its certificate, then the one-time token that the code on
// the owner's screen carries behind `#`, which no server ever sees in an address.

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
const REQUEST = "posline-pairing"; // under which this device asks: the same at every try, so that it is paired once

const element = (id) => document.getElementById(id);
const token = decodeURIComponent(location.hash.slice(1));
let language = navigator.language.startsWith("ur") ? "ur" : "en";
let trusts = null;

function show() {
  const texts = TEXTS[language];
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
  element("pair").disabled = !token;
  if (!token) say("bad", texts.no_token);
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
  say("", TEXTS[language].wait);
  try {
    const response = await fetch("/pair", {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ token, request: request() }),
      signal: AbortSignal.timeout(ASK_MS),
    });
    const answer = await response.json();
    if (response.ok) {
      location.replace("/");
      return;
    }
    say("bad", answer.detail ?? answer.title);
  } catch {
    say("bad", TEXTS[language].unreached);
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
  show();
  trusts = await trusted();
  show();
  if (token && (await waiting())) say("", TEXTS[language].waiting);
  const host = await fetch("/pair/host").then((response) => response.json()).catch(() => null);
  element("fingerprint").textContent = host?.fingerprint ?? "";
}

void begin();
