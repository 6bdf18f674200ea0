// What Klaviyo's own script on the page knows of the visitor. Decides at the relay whether native or backup is due.

import { cookie } from "./cookies.js";
import { attempt, guarded, ignore, parsed } from "./guard.js";
import { local } from "./storage.js";

/**
 * @typedef {object} KlaviyoState
 * @property {boolean} present Klaviyo's script, or its stub, is on the page
 * @property {boolean | null} identified null: cannot be told
 * @property {number} queued events that Klaviyo's script keeps until it knows the visitor
 */

/** @type {boolean | null} */
let answer = null;
/** @type {unknown} the object that was asked and has not answered yet */
let asked;

/** @returns {KlaviyoState} */
export const klaviyoState = () => {
  const byCookie = cookieIdentified();
  const queue = parsed(local.get("kl-post-identification-sync"));
  return {
    present: !!(
      window.klaviyo ||
      window._klOnsite ||
      window._learnq ||
      document.querySelector('script[src*="klaviyo.js"]')
    ),
    identified: byCookie || answer === null ? byCookie : answer,
    queued: (queue && queue.length) || 0,
  };
};

/**
 * Asks Klaviyo's script; its answer goes into later states.
 * Its stub is a Proxy with a function for every name, `then` too: the object itself must never be awaited or returned
 * from a promise. A stub whose script is blocked never answers: then the state stays unknown, and it is not asked again.
 * @param {() => void} answered
 */
export const askKlaviyo = guarded((/** @type {() => void} */ answered) => {
  const klaviyo = window.klaviyo;
  if (!klaviyo || asked === klaviyo || typeof klaviyo.isIdentified !== "function") return;
  asked = klaviyo;
  const settle = guarded((/** @type {unknown} */ value) => {
    if (asked === klaviyo && typeof value === "boolean") {
      asked = undefined;
      answer = value;
      answered();
    }
  });
  const promise = klaviyo.isIdentified(settle);
  if (promise && promise.then) promise.then(settle, ignore);
});

/**
 * Klaviyo's cookie: base64 of JSON, at times percent-encoded. An anonymous one holds only `cid`.
 * @returns {boolean | null}
 */
const cookieIdentified = () => {
  const value = attempt(() => parsed(atob(decodeURIComponent(cookie("__kla_id") || ""))));
  if (!value) return null;
  return ["$exchange_id", "$email", "email", "$phone_number", "$id", "id"].some((key) => value[key]);
};
