// What Klaviyo's own script on the page knows of the visitor. Decides at the relay whether native or backup is due.

import { cookie } from "./cookies.js";
import { attempt, guarded, ignore, parsed } from "./guard.js";
import { local, session } from "./storage.js";

const LIVE = "backflow.klaviyo";

/**
 * @typedef {object} KlaviyoState
 * @property {boolean} present Klaviyo's script, or its stub, is on the page
 * @property {boolean | null} identified as the running script has it; null: it does not run (yet, or is blocked)
 * @property {number} queued events that Klaviyo's script keeps until it knows the visitor
 */

/** @type {boolean | null} */
let answer = null;
/** @type {unknown} the object that was asked and has not answered yet */
let asked;

/**
 * Klaviyo's cookie outlives a blocker that stops its script, and a stub alone files nothing: what the cookie says counts
 * only where the script itself runs, here or earlier in this visit.
 * @returns {KlaviyoState}
 */
export const klaviyoState = () => {
  const byCookie = isLive() ? cookieIdentified() : null;
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
      session.set(LIVE, "1");
      answered();
    }
  });
  const promise = klaviyo.isIdentified(settle);
  if (promise && promise.then) promise.then(settle, ignore);
});

/** It has answered, or what is there is no stub: a stub has a function for every name, and its queue is an array. */
const isLive = () =>
  answer !== null ||
  session.get(LIVE) ||
  (window.klaviyo && typeof window.klaviyo.isIdentified !== "function") ||
  (window._learnq && !Array.isArray(window._learnq));

/**
 * Klaviyo's cookie: base64 of JSON, at times percent-encoded. An anonymous one holds only `cid`.
 * @returns {boolean | null}
 */
const cookieIdentified = () => {
  const value = attempt(() => parsed(atob(decodeURIComponent(cookie("__kla_id") || ""))));
  if (!value) return null;
  return ["$exchange_id", "$email", "email", "$phone_number", "$id", "id"].some((key) => value[key]);
};
