// Hooks into what other scripts keep in the page. Their call runs first and with their own arguments; what a hook then
// does with it never reaches them. Where the page forbids a hook (frozen, not configurable) it goes on without.

import { attempt, on } from "../guard.js";
import { onLook } from "./look.js";

/** @type {WeakSet<object>} */
const queues = new WeakSet();

/** @type {(() => void)[]} hooks into what the page does not have yet */
const awaited = [];

/** Tries those: at every look, when a snippet has put its script into the head, and when something has arrived. */
const tryAgain = () => {
  for (const hook of awaited.splice(0)) hook();
};
onLook(tryAgain);
on(document, "load", tryAgain);
attempt(() => new MutationObserver(tryAgain).observe(document.head, { childList: true }));

/**
 * Shows `change` the value of a property, now and whenever it is replaced; what it returns takes the value's place. A
 * global that the page does not have stays undefined: to find out, pages ask for `"fbq" in window` and call it. Klaviyo's
 * are on every page that the tag is for, and its script empties them as soon as it comes.
 * @param {any} object
 * @param {string} name
 * @param {(value: any) => any} change
 */
export const property = (object, name, change) => {
  if (object === window && !/kl|_l/.test(name) && !(name in window)) {
    awaited.push(() => property(object, name, change));
    return;
  }
  const changed = (/** @type {any} */ value) => (value && attempt(() => change(value))) || value;
  let value = changed(object[name]);
  const done = attempt(() =>
    Object.defineProperty(object, name, {
      configurable: true,
      get: () => value,
      set(next) {
        value = changed(next);
      },
    }),
  );
  if (!done) attempt(() => (object[name] = value)); // declared with `var`
};

/**
 * The same function, that tells of its calls. A proxy, because such functions carry properties: `fbq.queue`.
 * @param {any} method
 * @param {(args: any[], self: any) => ((result: any) => void) | void} before told of each; what it returns is called after
 */
export const told = (method, before) =>
  new Proxy(method, {
    apply(target, self, args) {
      const after = attempt(() => before(args, self));
      const result = Reflect.apply(target, self, args);
      if (after) attempt(() => after(result));
      return result;
    },
  });

/**
 * Tells of every call of a method, also of the one that takes its place.
 * @param {any} object
 * @param {string} name
 * @param {(args: any[]) => void} seen
 */
export const calls = (object, name, seen) => property(object, name, (method) => told(method, (args) => () => seen(args)));

/**
 * Reads every item of a queue: those it holds, those pushed later, and those of the object that takes its place.
 * @param {any} object
 * @param {string} name
 * @param {(item: any) => void} read
 */
export const queue = (object, name, read) =>
  property(object, name, (list) => {
    if (queues.has(list)) return; // `window.dataLayer = window.dataLayer || []`
    queues.add(list);
    const all = (/** @type {any} */ items) => {
      for (const item of items) attempt(() => read(item));
    };
    if (list.length) all([...list]);
    calls(list, "push", all);
  });

/**
 * Runs `call` when the page's own scripts have run.
 * @param {() => void} call
 */
export const ready = (call) => {
  if (document.readyState === "loading") on(document, "DOMContentLoaded", call);
  else call();
};
