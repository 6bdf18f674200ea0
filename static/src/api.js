// window.backflow: the calls a shop makes.

import { decide } from "./consent.js";
import { attempt, guarded } from "./guard.js";
import { checkConsent } from "./recorder.js";
import { leave } from "./sender.js";
import { VERSION } from "./settings.js";
import { seen } from "./sources/index.js";

/** @param {any} value */
const isObject = (value) => Object(value) === value;

/** The stub's own array, so that a reference to it that a script has kept goes on working. */
const api = (window.backflow = Object(window.backflow ?? []));

/**
 * A call of the shop's, by the names of its two arguments. The first may be left out.
 * @param {string} type
 * @param {string} name
 * @param {string} bag
 */
const caller = (type, name, bag) =>
  guarded((/** @type {any} */ value, /** @type {any} */ values) => {
    if (isObject(value)) [value, values] = [undefined, value];
    if (value || type !== "track") {
      seen(type, { [name]: value && "" + value, [bag]: isObject(values) ? values : {} }, "api");
    }
  });

/** @type {Record<string, any>} */
const calls = {
  version: VERSION,
  track: caller("track", "event", "properties"),
  page: caller("page", "name", "properties"),
  identify: caller("identify", "userId", "traits"),

  reset() {
    calls.track("Signed Out");
    leave(); // In this tick: who signs a shopper out may clear the storage next.
  },

  consent: guarded((choice) => {
    decide(choice);
    checkConsent();
  }),

  /**
   * A call as data, `["track", event, properties]`, a message of the stub's, or a function that is given the API.
   * @param {any[]} items
   */
  push(...items) {
    for (const item of items) {
      attempt(() => {
        if (item.call) item(api); // a function
        else if (item.messageId) seen(item.type, item, "api");
        else calls[item[0]](item[1], item[2]);
      });
    }
  },
};

/** Whether another copy of the tag is already at work on this page. */
export const installed = () => api.version;

/** Turns the stub into the real thing and replays what it has kept. */
export const install = () => {
  const kept = api.splice?.(0) ?? [];
  // Not by assignment: that does nothing where the page has frozen the prototype of arrays.
  Object.defineProperties(api, Object.getOwnPropertyDescriptors(calls));
  api.push(...kept);
};
