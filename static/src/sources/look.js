// What changes on a page without telling anybody: consent platforms, Klaviyo's script, snippets put in later, data written
// late. All of it is looked at together, so that a page at rest wakes up once and not for each of them.

import { attempt } from "../guard.js";
import { checkConsent } from "../recorder.js";

/** @type {(() => void)[]} */
const looks = [];

/**
 * Runs `call` at every look: each two seconds or so, and when the page goes away.
 * @param {() => void} call
 */
export const onLook = (call) => looks.push(call);

export const look = () => {
  for (const call of looks) attempt(call);
  checkConsent();
};
