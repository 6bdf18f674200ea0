// Web storage that never throws. Until `open(true)` nothing is written to the device: values stay in the page's memory,
// where they also stay when the browser refuses to store (private modes, full or disabled storage).

import { attempt } from "./guard.js";

/** @param {"localStorage" | "sessionStorage"} name */
const shelf = (name) => {
  /** @type {Map<string, string>} */
  const memory = new Map();
  let open = false;

  const self = {
    /** @param {string} key */
    get: (key) => memory.get(key) || attempt(() => window[name].getItem(key)),

    /**
     * @param {string} key
     * @param {string} value
     * @param {boolean} [always] also before `open(true)`: for the shopper's own decision about storing
     */
    set(key, value, always) {
      memory.set(key, value);
      attempt(() => {
        if (open || always) {
          window[name].setItem(key, value);
          memory.delete(key);
        }
      });
    },

    /** @param {string} key */
    remove(key) {
      memory.delete(key);
      attempt(() => window[name].removeItem(key));
    },

    /**
     * The keys that begin with `prefix`, in the order of their text.
     * @param {string} prefix
     */
    keys(prefix) {
      const stored = attempt(() => Object.keys(window[name])) || [];
      return [...new Set([...memory.keys(), ...stored])].filter((key) => key.startsWith(prefix)).sort();
    },

    /**
     * Whether values may be stored from now on. Those in memory are stored then; what is stored already remains.
     * @param {boolean} may
     */
    open(may) {
      open = may;
      if (may) memory.forEach((value, key) => self.set(key, value));
    },
  };
  return self;
};

export const local = shelf("localStorage");
export const session = shelf("sessionStorage");
