// Where the visitor came from: click IDs, each for its own lifetime, and the first and the last landing that told one.

import { parsed, stringify } from "./realm.js";
import { settings } from "./settings.js";
import { local } from "./storage.js";

/**
 * @typedef {Record<string, string>} Names
 *
 * @typedef {object} Touch a landing that says where it came from
 * @property {Names} clickIds
 * @property {Names} campaign whatever follows `utm_`, as Segment names it: source, medium, name, term, content...
 * @property {string} url
 * @property {string} referrer
 * @property {number} time ms
 *
 * @typedef {object} Visit
 * @property {Record<string, [value: string, until: number]>} ids
 * @property {Touch} [first]
 * @property {Touch} [last]
 */

const KEY = "backflow.visit";
const LONGEST = 1000; // characters; a longer value is no click ID that anybody issues
const DAY = 86_400_000; // ms
const TOUCH = 90; // days that a landing is kept: as long as most click IDs

/** @type {string} */
let seen;

/**
 * An address without what names one recipient, so that it is not passed on.
 * @param {string} url or its query
 * @param {string} [names] of parameters
 */
export const tidied = (url, names = "_kx|bf") =>
  url.replace(/\?[^#]*/, (query) => query.replace(RegExp(`[?&](${names})=[^&]*`, "g"), "").replace(/^&/, "?"));

/**
 * Takes parameters out of the address bar.
 * @param {string} [names]
 */
export const tidy = (names) => {
  const { origin, pathname, search, hash } = location;
  const rest = tidied(search, names);
  if (rest !== search) history.replaceState(history.state, "", origin + pathname + rest + hash);
};

/** The shopper has left the account: who comes next on this device came from elsewhere. */
export const forgetVisit = () => local.remove(KEY);

/** Reads the address bar when it has changed. A new click ID joins the others, a new landing replaces the last. */
export const visit = () => {
  const now = Date.now();
  /** @type {Visit} */
  const known = parsed(local.get(KEY)) || { ids: {} };
  const { search, href } = location;
  if (seen !== search) {
    seen = search;
    /** @type {Touch} */
    const touch = { clickIds: {}, campaign: {}, url: tidied(href), referrer: tidied(document.referrer), time: now };
    // A plus sign is a space in a campaign's name, but a character of its own in a click ID (base64).
    for (const [name, value] of new URLSearchParams(search.replace(/\+/g, "%2B"))) {
      const days = settings.clickIds[name];
      const utm = name.split("utm_")[1];
      if (!value || value.length > LONGEST || !(utm || days > 0)) continue;
      if (utm) touch.campaign[utm === "campaign" ? "name" : utm] = value.replace(/\+/g, " ");
      else known.ids[name] = [(touch.clickIds[name] = value), now + days * DAY];
      known.last = touch;
      known.first = fresh(known.first) || touch;
      local.set(KEY, stringify(known));
    }
    tidy("bf"); // Ours, so nobody else waits for it.
  }
  /** @type {Names} */
  const clickIds = {};
  for (const [name, [value, until]] of Object.entries(known.ids)) if (until > now) clickIds[name] = value;
  const lastTouch = fresh(known.last);
  return { clickIds, campaign: lastTouch?.campaign, firstTouch: fresh(known.first), lastTouch };
};

/** @param {Touch} [touch] */
const fresh = (touch) => (touch && Date.now() - touch.time < TOUCH * DAY ? touch : undefined);
