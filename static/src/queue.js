// Messages on their way to the relay. Each has its own storage key, so that tabs of one shop never overwrite each
// other's; the key ends with the message's ID, which begins with the time: the order of the keys is that of the messages.
// The stub in the page writes here too, in the same form.

import { allowed } from "./consent.js";
import { attempt } from "./guard.js";
import { parsed, stringify } from "./realm.js";
import { settings } from "./settings.js";
import { local } from "./storage.js";

/** @typedef {[key: string, message: any, size: number]} Entry */

const PREFIX = `backflow.queue.${settings.writeKey}.`;
const STORED = 2_000_000; // characters on the device: less than half of what browsers give one origin
const LARGEST = 8_000_000; // characters in all: beyond what is stored, only in this page's memory
const CHUNK = 30_000; // bytes: with the largest message below the 64 KiB that keepalive requests may share
const LARGEST_MESSAGE = 32_768; // characters; the relay takes as many bytes

let last = 0;
let dropped = 0;
let size = local.keys(PREFIX).length * 1000; // about: what earlier pages and other tabs have left is not read for it

/**
 * A new message's ID: the time in microseconds, which never repeats in this page, and a random part nobody can guess,
 * because the relay may make a visitor's ID of it.
 */
export const newId = () => {
  last = Math.max(Date.now() * 1000, last + 1);
  return `${last.toString(36)}-${crypto.getRandomValues(new Uint32Array(3)).join("-")}`;
};

/**
 * Keeps a message, over its earlier self if it has one; without room it is lost, and the next one says so.
 * @param {any} message
 * @param {number} [before] characters of that self
 */
export const enqueue = (message, before = 0) => {
  message.context.dropped = dropped || undefined;
  // A circle or a BigInt somewhere: what happened still counts.
  const text = attempt(() => stringify(message)) ?? stringify({ ...message, properties: undefined, traits: undefined });
  const sum = size + text.length - before;
  if (text.length > LARGEST_MESSAGE || sum > LARGEST) dropped++;
  else {
    size = sum;
    dropped = 0;
    local.set(PREFIX + message.messageId, text, sum > STORED ? false : undefined);
  }
};

/**
 * The oldest messages that may be sent, whole ones up to a chunk's size but at least one.
 * @param {number} most
 * @param {Set<string>} without keys to leave out
 * @param {Set<string>} [until] keys none of which is passed
 */
export const oldest = (most, without, until) => {
  /** @type {Entry[]} */
  const batch = [];
  let sum = 0;
  for (const key of allowed === undefined ? [] : local.keys(PREFIX)) {
    if (until?.has(key)) break;
    if (without.has(key)) continue;
    const text = local.get(key) ?? "";
    const message = parsed(text);
    if (message) {
      sum += new TextEncoder().encode(text).length;
      if (batch.length && (sum > CHUNK || batch.length >= most)) break;
      batch.push([key, message, text.length]);
    } else local.remove(key); // Somebody else has written here.
  }
  return batch;
};

/** @param {Entry[]} batch */
export const remove = (batch) => {
  for (const [key, , length] of batch) {
    size -= length;
    local.remove(key);
  }
};

/** @param {string | undefined} id */
export const keyOf = (id) => PREFIX + id;
