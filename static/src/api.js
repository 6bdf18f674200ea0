// window.backflow: the calls a shop makes.

import { decide } from "./consent.js";
import { guarded } from "./guard.js";
import { checkConsent, consentUpdated, record } from "./recorder.js";
import { VERSION } from "./settings.js";

/** @param {any} value */
const isObject = (value) => Object(value) === value;

/** @param {any} value */
const object = (value) => (isObject(value) ? value : {});

/** @type {Record<string, (...args: any[]) => void>} */
const calls = {
  track(event, properties) {
    if (event) record("track", { event: String(event), properties: object(properties) }, "api");
  },

  page(name, properties) {
    if (isObject(name)) [name, properties] = [undefined, name];
    record("page", { name: name && String(name), properties: object(properties) }, "api");
  },

  identify(userId, traits) {
    if (isObject(userId)) [userId, traits] = [undefined, userId];
    record("identify", { userId: userId ? String(userId) : undefined, traits: object(traits) }, "api");
  },

  reset() {
    calls.track("Signed Out");
  },

  consent(choice) {
    decide(object(choice));
    checkConsent(true);
    consentUpdated();
  },

  /** A call as data, `["track", event, properties]`, or a function that is given the API. */
  push(...items) {
    for (const item of items) {
      if (typeof item === "function") item(api);
      else if (Object.keys(calls).includes(item[0])) api[item[0]](...item.slice(1));
    }
  },
};

/** The stub's own array, so that a reference to it that a script has kept goes on working. */
const api = (window.backflow = isObject(window.backflow) ? window.backflow : []);

/** Whether another copy of the tag is already at work on this page. */
export const installed = () => !!api.version;

/** Turns the stub into the real thing and replays what it has kept. */
export const install = () => {
  const kept = api.splice ? api.splice(0) : [];
  api.version = VERSION;
  for (const name of Object.keys(calls)) {
    api[name] = guarded(calls[name]);
  }
  kept.forEach((/** @type {any} */ item) => api.push(item));
};
