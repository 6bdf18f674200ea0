// What changes on a page without telling anybody: consent platforms, Klaviyo's script, snippets put in later, data written
// late. All of it is looked at together, so that a page at rest wakes up once and not for each of them.

import { attempt } from "../guard.js";
import { checkConsent } from "../recorder.js";

/** @type {((now?: unknown) => void)[]} */
const looks = [];

/**
 * Runs `call` at every look: each 1.8 seconds, and when the page goes away; then it is told that there is no later.
 * @param {(now?: unknown) => void} call
 */
export const onLook = (call) => looks.push(call);

/** @param {unknown} [now] */
export const look = (now) => {
  for (const call of looks) attempt(() => call(now));
  checkConsent();
};
