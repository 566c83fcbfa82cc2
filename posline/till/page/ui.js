// The few names of the vendored libraries that the page uses, in one place: markup, state, and their hooks.

import htm from "./vendor/htm.mjs";
import { Fragment, h, render } from "./vendor/preact.mjs";

export { batch, computed, effect, signal, useComputed, useSignal } from "./vendor/signals.mjs";
export { useEffect, useErrorBoundary, useLayoutEffect, useRef } from "./vendor/hooks.mjs";
export { Fragment, render };
export const html = htm.bind(h);
