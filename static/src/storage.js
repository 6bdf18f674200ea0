// localStorage that never throws. Until consent is given nothing is written to the device: values stay in the page's
// memory, where they also stay when the browser refuses to store (private modes, full or disabled storage).

import { allowed } from "./consent.js";
import { attempt } from "./guard.js";

/** @type {Map<string, any>} */
const memory = new Map();

/**
 * @template T
 * @param {(storage: Storage) => T} use
 */
const device = (use) => attempt(() => use(localStorage));

/** @param {string} key */
const get = (key) => memory.get(key) ?? device((storage) => storage.getItem(key));

/**
 * @param {string} key
 * @param {any} value text, or a number that becomes one
 * @param {boolean} [write] to the device; `true` without consent is for the shopper's own decision about it
 */
const set = (key, value, write = allowed) => {
  memory.set(key, value);
  if (write) {
    device((storage) => {
      storage.setItem(key, value);
      memory.delete(key);
    });
  }
};

/** @param {string} key */
const remove = (key) => {
  memory.delete(key);
  device((storage) => storage.removeItem(key));
};

/**
 * The keys that begin with `prefix`, in the order of their text.
 * @param {string} prefix
 */
const keys = (prefix) => {
  /** @type {string[]} */
  const found = [];
  for (const key of [...memory.keys(), ...(device(Object.keys) ?? [])]) key.startsWith(prefix) && found.push(key);
  attempt(() => found.sort());
  return found;
};

/** Stores what has waited in memory. */
const flush = () => {
  for (const [key, value] of memory) set(key, value);
};

export const local = { get, set, remove, keys, flush };
