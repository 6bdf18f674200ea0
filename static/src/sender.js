// Takes the queue to the relay, oldest first. A message leaves the queue only when the relay has answered for good:
// 2xx is a commit, a 4xx is final. Everything else, silence too, is tried again; the relay knows repeats by messageId.
//
// One request is in flight at a time. Until the relay has given its mirror token, every batch begins with the oldest
// message: the relay makes a new visitor's ID from it, so a repeat whose first answer got lost is the same visitor.

import { allowed, consent } from "./consent.js";
import { attempt, guarded, on } from "./guard.js";
import { oldest, remove } from "./queue.js";
import { stringify, untouched } from "./realm.js";
import { relay, settings } from "./settings.js";
import { local } from "./storage.js";

/** @typedef {import("./queue.js").Entry} Entry */

export const VISITOR = "backflow.visitor";
const WAIT = "backflow.wait"; // not before this time (ms), as the relay asked; for all tabs and the next page
const LONGEST_WAIT = 86_400_000; // ms; a larger value is a clock that was moved
const TIMEOUT = 10_000; // ms until a silent relay is asked again
const LONGEST_PAUSE = 15_000; // ms: a relay that is back is found within this time
const URL = `${relay}/v1/batch`;

// The page may replace these later, and other scripts wrap them: the tag's own requests shall not pass through those.
const { clearTimeout, fetch, setTimeout } = window;

/** @type {Set<string>} keys of the messages in flight */
export const flying = new Set();
/** @type {Set<string>} keys of the messages that more may still be said of */
const held = new Set();
let locked = false;
let failures = 0;
let most = Infinity; // messages a batch, after a 413
let timer = 0;

/** Sends what is queued, unless a request is in flight or the relay has asked to wait. */
export const send = guarded(() => {
  if (locked || flying.size || timer) return;
  const pause = pauseLeft();
  if (pause) later(pause);
  else {
    locked = true;
    // Another tab that is sending reads our messages too. Not every browser, and not every origin, has locks.
    (attempt(() => navigator.locks.request(`backflow.send.${settings.writeKey}`, drain)) ?? drain()).catch(drain);
  }
});

const drain = async () => {
  /** @type {Entry[]} */
  let batch;
  while ((batch = flying.size ? [] : oldest(most, flying, held)).length && (await deliver(batch)));
  locked = false; // In the tick of the last look: what is recorded from now on asks anew.
};

/**
 * Sends a message, after a wait if more may be said of it.
 * @param {string} key
 * @param {number} [wait] ms
 */
export const hold = (key, wait) => {
  if (!wait) return send();
  held.add(key);
  setTimeout(() => {
    held.delete(key);
    send();
  }, wait);
};

/** Tries again now: the connection or the page has come back. */
const retry = () => {
  clearTimeout(timer);
  timer = failures = 0;
  send();
};

/** @param {number} delay in ms */
const later = (delay) => {
  clearTimeout(timer);
  timer = setTimeout(() => {
    timer = 0;
    send();
  }, delay);
};

/**
 * @param {Entry[]} batch
 * @param {boolean} [leaving]
 * @returns {Promise<boolean>} whether the queue may go on
 */
const deliver = async (batch, leaving) => {
  const messages = [];
  for (const [key, message] of batch) {
    flying.add(key);
    messages.push({ ...message, context: { ...message.context, consent } });
  }
  const body = stringify({
    writeKey: settings.writeKey,
    sentAt: new Date(),
    visitor: local.get(VISITOR) || undefined,
    batch: messages,
  });
  let asked = 0;
  let done = false;
  try {
    // Where keepalive is unknown the request dies with the page, where its share is used up it is refused at once.
    if (leaving && !("keepalive" in Request.prototype)) throw 0;
    // After a failure it may be the page's own fetch that fails.
    const answer = await (failures % 2 ? untouched().fetch : fetch)(URL, {
      method: "POST",
      body, // A text, so the browser calls it text/plain, and no preflight goes ahead of it.
      credentials: "include",
      keepalive: true,
      signal: AbortSignal.timeout?.(TIMEOUT),
    });
    const status = /** @type {any} */ (answer.status);
    asked = +(/** @type {any} */ (answer.headers.get("Retry-After"))) * 1000 || 0;
    done = /^(2|4(?!08|29))/.test(status);
    if (status === 413 && batch[1]) most = batch.length >> 1;
    else if (done) {
      remove(batch);
      failures = 0;
      most = Infinity;
      // The mirror token, and the handle that may stand in a cart.
      const { visitor, handle } = await answer.json();
      if (visitor) local.set(VISITOR, visitor);
      if (handle) local.set("backflow.handle", handle);
    }
  } catch (_) {
    if (leaving) attempt(() => navigator.sendBeacon(URL, body));
  }
  for (const [key, message] of batch) {
    flying.delete(key);
    // Who signs a shopper out may have emptied the storage.
    done || (allowed && local.set(key, stringify(message)));
  }
  if (!done) {
    if (asked) local.set(WAIT, Date.now() + asked);
    later(Math.max(asked, Math.min(LONGEST_PAUSE, 1000 * 2 ** failures++) * (0.5 + Math.random() / 2)));
  }
  return done;
};

const pauseLeft = () => {
  const left = /** @type {any} */ (local.get(WAIT)) - Date.now();
  return left > 0 && left < LONGEST_WAIT ? left : 0;
};

/**
 * The page or what is stored may go at once: what no request carries yet goes out now, beside the one in flight. As long as the
 * relay has given no mirror, that one's messages are repeated, so that this batch too begins with the oldest.
 */
export const leave = () => {
  if (pauseLeft()) return;
  const without = local.get(VISITOR) ? flying : new Set();
  const batch = oldest(most, without);
  if (batch.length > flying.size - without.size) deliver(batch, true).then(send);
};

/** Sends whenever the page's life gives a reason to. The first is its page view, which takes along what is left. */
export const startSending = () => {
  on(document, "visibilitychange", () => (document.hidden ? leave() : retry()));
  on(window, "pagehide", leave);
  on(window, "online", retry);
  on(window, "pageshow", ({ persisted }) => {
    if (persisted) {
      flying.clear(); // Whatever was in flight when the page was frozen has no answer any more.
      retry();
    }
  });
};
