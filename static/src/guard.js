// The page must never notice a fault of the tag.

/** @returns {void} */
export const ignore = () => {};

/**
 * The same function, but an exception ends in `undefined` and not in the page.
 * @template {(...args: any[]) => any} F
 * @param {F} call
 * @returns {(...args: Parameters<F>) => ReturnType<F> | undefined}
 */
export const guarded =
  (call) =>
  (...args) => {
    try {
      return call(...args);
    } catch (_) {
      return undefined;
    }
  };

/**
 * The result of `call`, `undefined` if it throws.
 * @template T
 * @param {() => T} call
 * @returns {T | undefined}
 */
export const attempt = (call) => guarded(call)();

/**
 * Listens without ever throwing into the page.
 * @param {EventTarget} target
 * @param {string} type
 * @param {(event: any) => void} listener
 */
export const on = (target, type, listener) => target.addEventListener(type, guarded(listener), true);

/**
 * The value of a JSON text; `undefined` when it is none.
 * @param {string | null | undefined} text
 * @returns {any}
 */
export const parsed = guarded((text) => JSON.parse(text || ""));
