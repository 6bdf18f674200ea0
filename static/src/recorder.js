// Makes a message of what was seen and has it stored in the same tick, if the visitor's consent allows.

import { allowed, consent, CONSENT } from "./consent.js";
import { bareContext, fullContext, pageProperties } from "./context.js";
import { askKlaviyo, klaviyoState } from "./klaviyo.js";
import { enqueue, stamp, takeDropped } from "./queue.js";
import { send, VISITOR } from "./sender.js";
import { local, session } from "./storage.js";

/**
 * @typedef {object} Call what one Segment call carries besides its context
 * @property {string} [event]
 * @property {string} [name]
 * @property {string} [userId]
 * @property {Record<string, any>} [traits]
 * @property {Record<string, any>} [properties]
 */

const PREFIX = "backflow."; // of all that the tag stores
const UNKNOWN = "backflow.unknown"; // a message of this visit said that Klaviyo does not know the visitor
const TOLD = "backflow.told"; // the relay has heard that this visitor refuses
const WATCH = 180_000; // ms after the last message in which Klaviyo may come to know the visitor
const LOOK = 2000; // ms between two looks

/** @type {boolean | undefined} */
let open;
let watchUntil = 0;

/**
 * Records one call; none after the visitor's refusal.
 * @param {string} type of the Segment spec
 * @param {Call} call
 * @param {string} capture which source saw it
 */
export const record = (type, call, capture) => {
  checkConsent();
  if (open === false) return;
  if (type === "page") call.properties = { ...pageProperties(), ...call.properties };
  const context = fullContext(capture);
  if (!context.klaviyo.identified) session.set(UNKNOWN, "1");
  keep(type, call, context);
  watchUntil = Date.now() + WATCH;
  checkKlaviyo();
};

/**
 * @param {string} type
 * @param {Call} call
 * @param {object} context
 */
const keep = (type, call, context) => {
  const messageId = uuid();
  const message = {
    type,
    messageId,
    timestamp: new Date().toISOString(),
    ...call,
    context: { ...context, dropped: takeDropped() },
  };
  enqueue(messageId, serialized(message));
  send();
};

/**
 * Acts on a change of consent: what waited in memory is sent, or gone.
 * @param {boolean} [told] whether the caller tells the relay
 */
export const checkConsent = (told) => {
  const now = allowed();
  if (now === open) return;
  const given = consent();
  open = now;
  local.open(!!now);
  session.open(!!now);
  if (now) {
    local.remove(TOLD);
    if (given) stamp(given);
    send();
  } else if (now === false) {
    const mirror = local.get(VISITOR);
    const known = told || local.get(TOLD);
    for (const shelf of [local, session]) shelf.keys(PREFIX).forEach((key) => key !== CONSENT && shelf.remove(key));
    if (mirror) local.set(VISITOR, mirror); // In memory only: the relay shall learn who refuses.
    if (!known) consentUpdated();
    local.set(TOLD, "1", true);
  }
};

/** The shop has passed on the visitor's decision. */
export const consentUpdated = () => {
  const { marketing, analytics } = consent() || {};
  const call = { event: "Consent Updated", properties: { marketing, analytics } };
  if (open) record("track", call, "api");
  else keep("track", call, bareContext("api"));
};

/** Looks whether Klaviyo has come to know a visitor who was unknown: then it replays by itself what the relay holds. */
export const checkKlaviyo = () => {
  askKlaviyo(compareKlaviyo);
  compareKlaviyo();
};

const compareKlaviyo = () => {
  if (open && session.get(UNKNOWN) && klaviyoState().identified) {
    session.remove(UNKNOWN);
    record("identify", {}, "klaviyo");
  }
};

/** Looks now and then, as long as it can make a difference. */
export const watchKlaviyo = () =>
  setInterval(() => {
    if (Date.now() < watchUntil && !document.hidden) checkKlaviyo();
  }, LOOK);

/** @param {object} message */
const serialized = (message) => {
  try {
    return JSON.stringify(message);
  } catch (_) {
    // A circle or a BigInt: leave out what was seen before, write the number as text.
    const seen = new Set();
    return JSON.stringify(message, (_key, value) => {
      if (typeof value === "bigint") return String(value);
      if (typeof value !== "object" || !value) return value;
      return seen.has(value) ? undefined : seen.add(value) && value;
    });
  }
};

/** A UUID version 4. Not by `crypto.randomUUID`: browsers have that on https only. */
const uuid = () =>
  "10000000-1000-4000-8000-100000000000".replace(/[018]/g, (digit) =>
    (+digit ^ (crypto.getRandomValues(new Uint8Array(1))[0] & (15 >> (+digit / 4)))).toString(16),
  );
