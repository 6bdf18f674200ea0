// The browser's own functions, for pages that have replaced them. Taken at the start, so that what the page changes
// later changes nothing for the tag; taken from an empty frame where the page was quicker and what it left is broken.

import { attempt } from "./guard.js";

/** @type {HTMLIFrameElement | undefined} */
let frame;

/** An untouched window of the page's own origin. @returns {Window & typeof globalThis} */
export const untouched = () => {
  if (!frame) {
    frame = document.createElement("iframe");
    frame.hidden = true;
    document.documentElement.appendChild(frame);
  }
  return /** @type {any} */ (frame.contentWindow);
};

const works = attempt(() => JSON.parse(JSON.stringify({ a: [1] })).a[0]);

const json = works ? JSON : attempt(() => untouched().JSON) || JSON;
const { parse } = json;

export const { stringify } = json;

/**
 * The value of a JSON text; `undefined` when it is none.
 * @param {string | null | undefined} text
 * @returns {any}
 */
export const parsed = (text) => (text ? attempt(() => parse(text)) : undefined); // Exceptions are dear.
