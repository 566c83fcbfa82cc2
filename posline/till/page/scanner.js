// A barcode scanner is a keyboard that types very fast and ends with Enter. It is heard wherever the focus is, and what
// it typed into a field is taken out again.

const GAP_MS = 75; // between two keys of a scanner: 30 ms is slow for one, and nobody types that fast for long
const LENGTH_MIN = 3; // of a code that is known here
const SURE = 8; // keys in a row at that speed are a scanner's, known or not: the next ones are kept out of fields
const FIELD = "input, textarea, [contenteditable]";

/** Call `scanned(code, whole)` for each code that a scanner types, in any state of the page. `main()` is the field that
 * codes are typed into by hand, and `whole` what stood in it then, if that is where the focus was: should the machine
 * have dawdled between two keys, the code's beginning is there. `known(code)` says whether a short one is a code at all,
 * and no amount that somebody typed fast. */
export function hearScanner(scanned, main, known) {
  let code = "", last = 0, before = null;

  const forget = () => {
    code = "";
    before = null;
  };

  addEventListener("keydown", (event) => {
    if (event.isComposing || event.altKey || event.metaKey) return;
    const gap = event.timeStamp - last;
    const fast = gap >= 0 && gap < GAP_MS;
    const ends = event.key === "Enter" || event.key === "Tab";
    if (ends && fast && (code.length >= SURE || (code.length >= LENGTH_MIN && known(code)))) {
      event.preventDefault();
      event.stopImmediatePropagation();
      const found = code, whole = before?.field === main() ? main().value : "";
      restore(before);
      forget();
      last = event.timeStamp;
      scanned(found, whole);
      return;
    }
    if (event.key.length !== 1) {
      if (event.key !== "Shift") {
        // scanners send control characters (GS between the parts of a code) as Ctrl with a key: they say nothing here
        if (event.ctrlKey && code.length >= SURE && fast) event.preventDefault();
        else if (!event.ctrlKey) forget();
      }
      return;
    }
    if (event.ctrlKey) {
      if (fast && code.length >= SURE) {
        event.preventDefault();
        last = event.timeStamp;
      }
      return;
    }
    if (!fast || !code) {
      forget();
      before = snapshot(document.activeElement);
    }
    code += event.key;
    last = event.timeStamp;
    if (code.length >= SURE && before && before.field !== main()) {
      event.preventDefault();
      event.stopImmediatePropagation();
      restore(before);
    }
  }, true);
}

function snapshot(field) {
  return field?.matches?.(FIELD) ? { field, value: field.value, start: field.selectionStart, end: field.selectionEnd } : null;
}

/** Give a field back what it held before the scanner typed into it. */
function restore(before) {
  if (!before || before.field.value === before.value) return;
  const { field, value, start, end } = before;
  field.value = value;
  field.dispatchEvent(new Event("input", { bubbles: true }));
  try {
    field.setSelectionRange(start, end);
  } catch {
    // a field of numbers has no selection
  }
}
