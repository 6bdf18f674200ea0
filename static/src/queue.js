// Messages on their way to the relay. Each has its own storage key, so that tabs of one shop never overwrite each
// other's; the key begins with the time, so that the order of the keys is the order of the messages.

import { guarded, parsed } from "./guard.js";
import { settings } from "./settings.js";
import { local } from "./storage.js";

/** @typedef {{ key: string, message: object }} Entry */

const PREFIX = `backflow.queue.${settings.writeKey}.`;
const MOST = 300; // messages
const LARGEST = 500_000; // characters in all: a tenth of what browsers give one origin
const CHUNK = 30_000; // bytes: with the largest message below the 64 KiB that keepalive requests may share
const LARGEST_MESSAGE = 32_768; // bytes, as the relay takes it

let last = 0;
let dropped = 0;

/** @param {any} text */
const bytes = (text) => new Blob([text]).size;

/**
 * Keeps a message; when there is no more room the oldest go.
 * @param {string} id the messageId
 * @param {string} text the message as JSON
 */
export const enqueue = (id, text) => {
  if (bytes(text) > LARGEST_MESSAGE) {
    dropped++; // No relay would take it.
    return;
  }
  last = Math.max(Date.now() * 1000, last + 1);
  local.set(`${PREFIX}${last.toString(36)}.${id}`, text);
  const keys = local.keys(PREFIX);
  let size = 0;
  for (let index = keys.length; index--; ) {
    size += (local.get(keys[index]) || "").length;
    if (size > LARGEST || keys.length - index > MOST) {
      local.remove(keys[index]);
      dropped++;
    }
  }
};

/**
 * The oldest messages, whole ones up to a chunk's size but at least one.
 * @param {number} most
 * @param {Set<string>} [without] keys to leave out
 * @returns {Entry[]}
 */
export const oldest = (most, without) => {
  const batch = [];
  let size = 0;
  for (const key of local.keys(PREFIX)) {
    const text = local.get(key);
    const message = parsed(text);
    if (!message) local.remove(key); // Somebody else has written here.
    else if (!without || !without.has(key)) {
      size += bytes(text);
      if (batch.length && (size > CHUNK || batch.length >= most)) break;
      batch.push({ key, message });
    }
  }
  return batch;
};

/** @param {Entry[]} batch */
export const remove = (batch) => batch.forEach(({ key }) => local.remove(key));

/**
 * Writes a decision onto the messages that have waited for it.
 * @param {import("./consent.js").Consent} consent
 */
export const stamp = (consent) =>
  local.keys(PREFIX).forEach(
    guarded((key) => {
      const message = parsed(local.get(key));
      if ((message.context.consent || {}).marketing !== undefined) return;
      message.context.consent = consent;
      local.set(key, JSON.stringify(message));
    }),
  );

/** How many messages were lost for want of room, here or at the relay, since the last question. */
export const takeDropped = () => {
  const count = dropped;
  dropped = 0;
  return count || undefined;
};

