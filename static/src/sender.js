// Takes the queue to the relay, oldest first. A message leaves the queue only when the relay has answered for good:
// 2xx is a commit, some 4xx are final. Everything else, silence too, is tried again; the relay knows repeats by messageId.
//
// One request is in flight at a time. Until the relay has given its mirror token, every batch begins with the oldest
// message: the relay makes a new visitor's ID from it, so a repeat whose first answer got lost is the same visitor.

import { allowed } from "./consent.js";
import { attempt, guarded, ignore, on } from "./guard.js";
import { oldest, remove } from "./queue.js";
import { relay, settings } from "./settings.js";
import { local } from "./storage.js";

/** @typedef {import("./queue.js").Entry} Entry */

export const VISITOR = "backflow.visitor";
const WAIT = "backflow.wait"; // not before this time (ms), as the relay asked; for all tabs and the next page
const LONGEST_WAIT = 600_000; // ms; a larger value is a clock that was moved
const TIMEOUT = 20_000; // ms
const FINAL = [400, 401, 403, 404, 413, 415, 422];

// The page may replace these later, and other scripts wrap them: the tag's own requests shall not pass through those.
const { fetch, XMLHttpRequest, setTimeout, clearTimeout } = window;

/** @type {Set<string>} keys of the messages in flight */
const flying = new Set();
let locking = false;
let missed = false; // something came while the lock was ours
let failures = 0;
let most = Infinity; // messages a batch, after a 413
/** @type {number | undefined} */
let timer;

/** Sends what is queued, unless a request is in flight or the relay has asked to wait. */
export const send = guarded(() => {
  missed = true;
  if (locking || flying.size || timer || allowed() === undefined) return;
  const pause = pauseLeft();
  if (pause) return later(pause);
  if (!oldest(1).length) return;
  locking = true;
  missed = false;
  // Another tab that is sending reads our messages too; should it just have looked, we come back.
  const turn = (/** @type {Lock | null} */ lock) => (lock ? drain() : later(1000));
  const { locks } = navigator;
  (locks ? locks.request(`backflow.send.${settings.writeKey}`, { ifAvailable: true }, turn).catch(drain) : drain()).then(() => {
    locking = false;
    if (missed) send();
  });
});

/** Tries again now: the connection or the page has come back. */
const retry = () => {
  clearTimeout(timer);
  timer = undefined;
  failures = 0;
  send();
};

/** @param {number} delay in ms */
const later = (delay) => {
  clearTimeout(timer);
  timer = setTimeout(() => {
    timer = undefined;
    send();
  }, delay);
};

const drain = async () => {
  for (;;) {
    const batch = allowed() === undefined || flying.size ? [] : oldest(most);
    if (!batch.length || !(await deliver(batch))) return;
  }
};

/**
 * @param {Entry[]} batch
 * @param {boolean} [leaving]
 * @returns {Promise<boolean>} whether the queue may go on
 */
const deliver = async (batch, leaving) => {
  batch.forEach(({ key }) => flying.add(key));
  try {
    const answer = await post(bodyOf(batch), leaving);
    const { status } = answer;
    if (status === 413 && batch.length > 1) {
      most = batch.length >> 1;
      return true;
    }
    if (answer.ok || FINAL.includes(status)) {
      remove(batch);
      failures = 0;
      most = Infinity;
      await answer.json().then(keepMirror).catch(ignore);
      return true;
    }
    backOff(Number(answer.headers.get("Retry-After")) * 1000 || 0);
  } catch (_) {
    backOff(0);
  } finally {
    batch.forEach(({ key }) => flying.delete(key));
  }
  return false;
};

/** @param {any} answer */
const keepMirror = ({ visitor }) => {
  if (visitor) local.set(VISITOR, visitor);
};

/** One second, doubled to thirty, half of it by chance. @param {number} asked by the relay, in ms */
const backOff = (asked) => {
  if (asked) local.set(WAIT, String(Date.now() + asked));
  later(Math.max(asked, Math.min(30_000, 1000 * 2 ** failures++) * (0.5 + Math.random() / 2)));
};

const pauseLeft = () => {
  const left = Number(local.get(WAIT)) - Date.now();
  return left > 0 && left < LONGEST_WAIT ? left : 0;
};

/** @param {Entry[]} batch */
const bodyOf = (batch) =>
  JSON.stringify({
    writeKey: settings.writeKey,
    sentAt: new Date().toISOString(),
    visitor: local.get(VISITOR) || undefined,
    batch: batch.map(({ message }) => message),
  });

/**
 * @param {string} body
 * @param {boolean} [leaving]
 */
const post = (body, leaving) => {
  const url = `${relay}/v1/batch`;
  /** @type {Promise<Response>} */
  const answer = attempt(() =>
    fetch(url, {
      method: "POST",
      headers: { "Content-Type": "text/plain" },
      body,
      credentials: "include",
      keepalive: true,
      signal: AbortSignal.timeout && AbortSignal.timeout(TIMEOUT),
    }),
  ) || postWithoutFetch(url, body); // fetch is missing, or the page has broken it
  if (leaving) {
    // Where keepalive is unknown the request dies with the page, where its share is used up it is refused at once.
    const beacon = guarded(() => navigator.sendBeacon(url, new Blob([body], { type: "text/plain" })));
    if ("keepalive" in Request.prototype) answer.catch(beacon);
    else beacon();
  }
  return answer;
};

/**
 * @param {string} url
 * @param {string} body
 * @returns {Promise<Response>}
 */
const postWithoutFetch = (url, body) =>
  new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.open("POST", url);
    request.withCredentials = true;
    request.onload = () => {
      const headers = { "Retry-After": request.getResponseHeader("Retry-After") || "" };
      resolve(new Response(request.responseText || null, { status: request.status, headers }));
    };
    request.onerror = request.onabort = reject;
    request.send(body);
  });

/**
 * The page may never come back: what no request carries yet goes out now, beside the one in flight. As long as the
 * relay has given no mirror, that one's messages are repeated, so that this batch too begins with the oldest.
 */
const leave = () => {
  if (allowed() === undefined || pauseLeft()) return;
  const batch = oldest(most, local.get(VISITOR) ? flying : undefined);
  if (batch.some(({ key }) => !flying.has(key))) deliver(batch, true).then(send);
};

/** Sends now, and whenever the page's life gives a reason to. */
export const startSending = () => {
  on(document, "visibilitychange", () => (document.hidden ? leave() : retry()));
  on(window, "pagehide", leave);
  on(window, "online", retry);
  on(window, "pageshow", (event) => {
    if (!event.persisted) return;
    flying.clear(); // Whatever was in flight when the page was frozen has no answer any more.
    retry();
  });
  send();
};
