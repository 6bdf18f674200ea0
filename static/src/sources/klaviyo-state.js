// What Klaviyo's own script on the page knows of the visitor. Decides at the relay whether native or backup is due.

import { allowed } from "../consent.js";
import { cookie } from "../cookies.js";
import { attempt, guarded, ignore } from "../guard.js";
import { parsed } from "../realm.js";
import { local } from "../storage.js";
import { tidy } from "../visit.js";
import { onLook } from "./look.js";

const LIVE = "backflow.klaviyo"; // when its script last answered
const UNKNOWN = "backflow.unknown"; // a message said that Klaviyo does not know the visitor
const VISIT = 1_800_000; // ms
const PATIENCE = 15_000; // ms that Klaviyo's script has to read its parameter

/**
 * @typedef {object} KlaviyoState
 * @property {boolean} present Klaviyo's script, or its stub, is on the page
 * @property {boolean | null} identified as the running script has it; null: it does not run (yet, or is blocked)
 * @property {number} queued events that Klaviyo's script keeps until it knows the visitor
 */

/** Tells when Klaviyo has come to know a visitor who was unknown. */
let compare = ignore;

/** @type {boolean | null} */
let answer = null;
/** @type {unknown} the object that was asked and has not answered yet */
let asked;

/**
 * Klaviyo's cookie outlives a blocker that stops its script, and a stub alone files nothing: what the cookie says counts
 * only where the script itself runs, here or earlier in this visit.
 * @returns {KlaviyoState}
 */
const state = () => {
  const { klaviyo, _klOnsite, _learnq } = window;
  const byCookie = runs() ? cookieIdentified() : null;
  return {
    present: !!(klaviyo || _klOnsite || _learnq || document.querySelector('script[src*="klaviyo.js"]')),
    identified: byCookie || answer === null ? byCookie : answer,
    queued: parsed(local.get("kl-post-identification-sync"))?.length || 0,
  };
};

/** The state as a message tells it: that the visitor is unknown is remembered, and Klaviyo is asked again. */
export const klaviyoState = () => {
  ask();
  const now = state();
  if (!now.identified) local.set(UNKNOWN, 1);
  return now;
};

/**
 * Asks Klaviyo's script; its answer goes into later states.
 * Its stub is a Proxy with a function for every name, `then` too: the object itself must never be awaited or returned
 * from a promise. A stub whose script is blocked never answers: then the state stays unknown, and it is not asked again.
 */
const ask = () => {
  const { klaviyo } = window;
  if (!klaviyo || asked === klaviyo || typeof klaviyo.isIdentified !== "function") return;
  asked = klaviyo;
  const settle = guarded((/** @type {unknown} */ value) => {
    if (asked === klaviyo && typeof value === "boolean") {
      asked = undefined;
      answer = value;
      local.set(LIVE, Date.now());
      compare();
    }
  });
  klaviyo.isIdentified(settle)?.then?.(settle, ignore);
};

/** It has answered, or what is there is no stub: a stub has a function for every name, and its queue is an array. */
const runs = () =>
  answer !== null ||
  Date.now() - (local.get(LIVE) ?? 0) < VISIT ||
  (window.klaviyo && typeof window.klaviyo.isIdentified !== "function") ||
  (window._learnq && !Array.isArray(window._learnq));

/**
 * Klaviyo's cookie: base64 of JSON, at times percent-encoded. An anonymous one holds only `cid`.
 * @returns {boolean | null}
 */
const cookieIdentified = () => {
  const value = attempt(() => parsed(atob(decodeURIComponent(cookie("__kla_id") ?? ""))));
  return value ? !!(value.$exchange_id || value.$email || value.email || value.$phone_number || value.$id || value.id) : null;
};

/**
 * Notices when Klaviyo comes to know a visitor who was unknown, because it then replays by itself what the relay holds;
 * and takes its parameter out of the address bar once its script has read it.
 * @type {import("../main.js").Source}
 */
export const klaviyoWatch = (emit) => {
  compare = () => {
    if (allowed && local.get(UNKNOWN) && state().identified) {
      local.remove(UNKNOWN);
      emit("", {}, 0, "identify");
    }
  };
  const ready = () => document.readyState === "complete" && (!state().present || runs() || performance.now() > PATIENCE);
  const see = () => {
    if (document.hidden) return;
    ask();
    compare();
    if (ready()) tidy("_kx");
  };
  onLook(see);
  see();
};
