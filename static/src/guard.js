// The page must never notice a fault of the tag.

/** @returns {void} */
export const ignore = () => {};

/**
 * The result of `call`, `undefined` if it throws.
 * @template T
 * @param {() => T} call
 * @returns {T | undefined}
 */
export const attempt = (call) => {
  try {
    return call();
  } catch (_) {
    return undefined;
  }
};

/**
 * The same function, but an exception ends in `undefined` and not in the page.
 * @template {(...args: any[]) => any} F
 * @param {F} call
 * @returns {(...args: Parameters<F>) => ReturnType<F> | undefined}
 */
export const guarded =
  (call) =>
  (...args) =>
    attempt(() => call(...args));

/**
 * Listens without ever throwing into the page or holding it up.
 * @param {EventTarget} target
 * @param {string} type
 * @param {(event: any) => void} listener
 */
export const on = (target, type, listener) =>
  target.addEventListener(type, guarded(listener), { capture: true, passive: true });

/**
 * Runs `call` when the browser has nothing better to do, within a second or so.
 * @param {() => void} call
 */
export const idle = (call) =>
  (window.requestIdleCallback || window.setTimeout)(guarded(call), /** @type {any} */ ({ timeout: 1000 }));
