// What views are made of: sheets that come before the cart, fields, keys that show which key they are.

import { dialog } from "../state.js";
import { direction, language, t } from "../texts.js";
import { html, useEffect, useLayoutEffect, useRef } from "../ui.js";
import { plainText } from "../core/codes.js";

const KEY_NAMES = { Del: "Delete", Esc: "Escape" }; // what stands on the key, where the browser calls it otherwise

/** A button that says which key does the same. `hint` is what stands on the key. */
export function Key({ hint, children, kind = "", onPress, disabled = false, label, ...rest }) {
  return html`<button type="button" class=${`key ${kind}`} onClick=${onPress} disabled=${disabled} aria-label=${label} aria-keyshortcuts=${KEY_NAMES[hint] ?? hint} data-key=${KEY_NAMES[hint] ?? hint} ...${rest}>
    <span class="key-text">${children}</span>${hint && html`<kbd>${hint}</kbd>`}
  </button>`;
}

/** Something that stands before the cart until it is done or given up. Escape gives it up; what is scanned meanwhile is
 * added to the cart all the same. */
export function Sheet({ title, children, onClose = close, wide = false }) {
  const box = useRef(null);
  const begun = useRef(false);
  useLayoutEffect(() => {
    if (begun.current && document.activeElement !== box.current) return; // else its field has only just come up
    begun.current = true;
    const first = box.current.querySelector("[data-focus]") ?? box.current.querySelector("input, select, .row-key, button:not(.close)") ?? box.current;
    first.focus();
    first.select?.();
  });
  const keys = (event) => {
    const meant = /^(F[0-9]+|Delete)$/.test(event.key) && box.current.querySelector(`button[data-key="${event.key}"]:not(:disabled)`);
    if (meant && !(event.key === "Delete" && event.target.value)) {
      event.preventDefault();
      event.stopPropagation();
      meant.click();
      return;
    }
    if (event.key !== "Tab") return;
    const all = [...box.current.querySelectorAll("button:not(:disabled), input, select, textarea, a[href]")];
    const edge = event.shiftKey ? all[0] : all.at(-1);
    if (document.activeElement === edge && all.length) {
      event.preventDefault();
      (event.shiftKey ? all.at(-1) : all[0]).focus();
    }
  };
  return html`<div class="veil" onPointerDown=${(event) => event.target === event.currentTarget && onClose()}>
    <section class=${wide ? "sheet wide" : "sheet"} role="dialog" aria-modal="true" aria-label=${title} ref=${box} tabindex="-1" onKeyDown=${keys}>
      <header><h2>${title}</h2><button type="button" class="close" onClick=${onClose}><span class="unseen">${t("close")}</span><kbd>Esc</kbd><span class="cross" aria-hidden="true">×</span></button></header>
      <div class="sheet-body">${children}</div>
    </section>
  </div>`;
}

export function close() {
  dialog.value = null;
}

/** What closes the sheet that stands now, and no other: by the time the till answers, a scan may have closed this one
 * and opened another. */
export function closer() {
  const mine = dialog.value;
  return () => {
    if (dialog.value === mine) close();
  };
}

/** A field with its name above it. `amount` and `number` take figures of any keyboard. */
export function Field({ label, value, onText, amount = false, focus = false, type = "text", note, mode, pad = false, ...rest }) {
  const write = (event) => {
    const text = amount ? plainText(event.target.value).replace(/[^0-9.]/g, "") : event.target.value;
    if (text !== event.target.value) event.target.value = text;
    onText(text);
  };
  return html`<label class="field"><span>${label}</span>
    <input type=${type} value=${value} onInput=${write} inputmode=${mode ?? (amount ? (pad && touched ? "none" : "decimal") : undefined)} data-focus=${focus || undefined} autocomplete="off"
      dir=${amount || type === "password" ? "ltr" : "auto"} class=${amount ? "amount" : ""} spellcheck=${false} ...${rest} />
    ${note && html`<small>${note}</small>`}${pad && html`<${Pad} value=${value} onText=${onText} />`}</label>`;
}

/** Figures under the thumb, where there is no keyboard: the browser's own would cover half the screen. */
export const touched = matchMedia("(pointer: coarse)").matches;

export function Pad({ value, onText }) {
  if (!touched) return null;
  const press = (key) => onText(key === "⌫" ? value.slice(0, -1) : `${value}${key}`);
  return html`<div class="pad" dir="ltr">${["7", "8", "9", "4", "5", "6", "1", "2", "3", ".", "0", "⌫"].map(
    (key) => html`<button type="button" key=${key} class="key" tabindex="-1" aria-label=${key === "⌫" ? t("delete") : key} onClick=${() => press(key)}>${key}</button>`,
  )}</div>`;
}

/** A form whose Enter does what its main button does: once, until that is done, however the key bounces. `onDone` is
 * given what closes the sheet that it stands in. */
export function Form({ onDone, children, ...rest }) {
  const busy = useRef(false);
  const done = async (event) => {
    event.preventDefault();
    if (busy.current) return;
    busy.current = true;
    try {
      await onDone(closer());
    } finally {
      busy.current = false;
    }
  };
  return html`<form onSubmit=${done} ...${rest}>${children}</form>`;
}

/** Some of several, by their number on the keyboard or a click. `items` are [{text, note, hint, pick, tone}]. */
export function Choices({ items, empty, focus = true }) {
  const list = useRef(null);
  useEffect(() => {
    if (focus) list.current?.querySelector("button")?.focus();
  }, [items.length]);
  const move = (event) => {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (step) {
      const all = [...list.current.querySelectorAll("button")];
      const next = all[(all.indexOf(document.activeElement) + step + all.length) % all.length];
      next?.focus();
      event.preventDefault();
      return;
    }
    const pressed = items.find((item) => item.hint && item.hint.toLowerCase() === event.key.toLowerCase());
    if (pressed && !event.ctrlKey && !event.altKey && !event.metaKey) {
      event.preventDefault();
      event.stopPropagation();
      pressed.pick();
    }
  };
  if (!items.length) return html`<p class="quiet">${empty}</p>`;
  return html`<ul class="choices" ref=${list} onKeyDown=${move}>${items.map(
    (item) => html`<li key=${item.key ?? item.text}><button type="button" class=${`row-key ${item.tone ?? ""}`} onClick=${item.pick}>
      ${item.hint && html`<kbd>${item.hint}</kbd>`}<span class="grow"><b><bdi>${item.text}</bdi></b>${item.note && html`<small>${item.note}</small>`}</span>${item.end && html`<span class="end">${item.end}</span>`}
    </button></li>`,
  )}</ul>`;
}

/** The root of every page: language and direction stand on the document, where readers and stylesheets look. */
export function useLanguage() {
  const spoken = language.value;
  const from = direction.value;
  useLayoutEffect(() => {
    document.documentElement.lang = spoken;
    document.documentElement.dir = from;
  }, [spoken, from]);
}
