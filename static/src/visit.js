// Where this visit came from: click IDs and campaign of the landing, carried by every page of the visit.

import { guarded, parsed } from "./guard.js";
import { settings } from "./settings.js";
import { session } from "./storage.js";

/**
 * @typedef {object} Visit
 * @property {Record<string, string>} clickIds
 * @property {Record<string, string>} campaign as Segment names them: source, medium, name, term, content, id
 */

const KEY = "backflow.visit";
const LONGEST = 1000; // characters; a longer value is no click ID that anybody issues

/** @type {string} */
let seen;

/**
 * Reads the address bar when it has changed. A new click ID joins the visit's others, a new campaign replaces the old.
 * @returns {Visit}
 */
export const visit = () => {
  /** @type {Visit} */
  const known = parsed(session.get(KEY)) || { clickIds: {}, campaign: {} };
  if (seen === location.search) return known;
  seen = location.search;
  /** @type {Record<string, string>} */
  const campaign = {};
  for (const pair of seen.slice(1).split("&")) readPair(pair, known.clickIds, campaign);
  if (Object.keys(campaign).length) known.campaign = campaign;
  session.set(KEY, JSON.stringify(known));
  return known;
};

const readPair = guarded(
  /**
   * Decoded once. A plus sign is a space in a campaign's name, but a character of its own in a click ID (base64).
   * @param {string} pair
   * @param {Record<string, string>} clickIds
   * @param {Record<string, string>} campaign
   */
  (pair, clickIds, campaign) => {
    const cut = pair.indexOf("=");
    const name = decodeURIComponent(pair.slice(0, cut));
    const raw = pair.slice(cut + 1);
    if (cut < 1 || !raw || raw.length > LONGEST) return;
    const utm = /^utm_(source|medium|campaign|term|content|id)$/.exec(name);
    if (utm) campaign[utm[1] === "campaign" ? "name" : utm[1]] = decodeURIComponent(raw.replace(/\+/g, " "));
    if (settings.clickIds.includes(name)) clickIds[name] = decodeURIComponent(raw);
  },
);
