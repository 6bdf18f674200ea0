// Makes a message of what was seen and has it stored in the same tick, if the visitor's consent allows.

import { allowed, askConsent, consent, CONSENT, decide } from "./consent.js";
import { BARE, fullContext } from "./context.js";
import { enqueue, keyOf, newId, remove } from "./queue.js";
import { parsed, stringify } from "./realm.js";
import { flying, hold, send, VISITOR } from "./sender.js";
import { local } from "./storage.js";
import { forgetVisit } from "./visit.js";

/**
 * @typedef {object} Call what one Segment call carries besides its context
 * @property {string} [messageId] given by the stub
 * @property {string} [event]
 * @property {string} [name]
 * @property {string} [userId]
 * @property {Record<string, any>} [traits]
 * @property {Record<string, any>} [properties]
 */

/** @type {boolean | undefined} `allowed` as last acted on */
let open;

/** @type {string | undefined} the decision as this page has last heard it */
let told;

/** @type {any} this tick's: ten thousand calls in a loop share one */
let context;

/**
 * Records one call; none after the visitor's refusal.
 * @param {string} type of the Segment spec
 * @param {Call} call
 * @param {string[]} capture which sources saw it
 * @param {number} [wait] ms in which `revise` may still come: until then it and what follows stay here
 * @returns {string | undefined} the message's ID
 */
export const record = (type, call, capture, wait) => {
  if (!context) {
    checkConsent();
    if (open === false) return undefined;
    context = fullContext();
    queueMicrotask(() => (context = undefined));
  }
  if (type === "page") call.properties = { ...context.page, ...call.properties };
  const message = { type, messageId: newId(), timestamp: new Date(), ...call, context: { ...context, capture } };
  if (call.event === "Signed Out") {
    forgetVisit();
    context = undefined; // What follows, in this very tick too, is somebody else's.
  }
  enqueue(message);
  hold(keyOf(message.messageId), wait);
  return message.messageId;
};

/**
 * Says more of a message that is stored and not under way yet.
 * @param {string} id
 * @param {Call} call
 * @param {string[]} capture
 * @returns {boolean} whether there was still time
 */
export const revise = (id, call, capture) => {
  const key = keyOf(id);
  const text = flying.has(key) ? "" : local.get(key);
  const message = parsed(text);
  if (message) enqueue({ ...message, ...call, context: { ...message.context, capture } }, text.length);
  return !!message;
};

/**
 * Takes back a message that is stored and not under way yet.
 * @param {string | undefined} id
 * @returns {boolean} whether there was still time
 */
export const withdraw = (id) => {
  const key = keyOf(id);
  const text = flying.has(key) ? "" : local.get(key);
  if (text) remove([[key, 0, text.length]]);
  return !!text;
};

/** Acts on a change of consent: what waited in memory is sent, or gone. */
export const checkConsent = () => {
  askConsent();
  if (open !== allowed) {
    open = allowed;
    context = undefined;
    if (open) local.flush();
    else if (open === false) {
      const mirror = local.get(VISITOR);
      for (const key of local.keys("backflow.")) key === CONSENT || local.remove(key);
      if (mirror) local.set(VISITOR, mirror); // In memory only: the relay shall learn who refuses.
    }
    send();
  }
  const text = stringify(consent);
  // Of two tabs whose platforms differ each tells its own once.
  const known = text === told || text === local.get(CONSENT);
  told = text;
  if (consent?.marketing !== undefined && !known) {
    local.set(CONSENT, text, true);
    context = open === false && BARE;
    record("track", { event: "Consent Updated", properties: { ...consent, source: undefined } }, ["api"]);
    context = undefined;
  }
  decide(); // Kept now: from here on a later word, in whichever tab, counts.
};
