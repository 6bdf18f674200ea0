// One shopper action that several sources see is one event. The first sighting is stored at once, its request starts a
// little later, and what others know of it is added until then. The same source twice is twice, unless it says the same.

import { attempt } from "./guard.js";
import { record, revise } from "./recorder.js";
import { stringify } from "./realm.js";
import { kindOf } from "./sources/shape.js";
import { completed } from "./cart.js";

/** @typedef {Record<string, any>} Properties */
/**
 * @typedef {object} Entry an event of this page
 * @property {string | undefined} id of its message
 * @property {string} event
 * @property {Properties} properties
 * @property {string[]} capture
 * @property {Set<string>} said the properties as each source gave them
 * @property {number} at
 * @property {number} visit
 */

const MERGE = 300; // ms in which others may add to what the first has seen
const SAME = 2000; // ms in which two sightings of a change to the cart are one, and the shop's answer may add to it
const MOST = 50; // events remembered
const IDENTITY = ["product_id", "variant_id", "sku", "name", "search_term", "search_string", "query"];
/** Catalogue plug-ins put their own words before an ID. */
const CATALOGUE = /^(shopify|wc_post_id|gid:).*\D(?=\d)/;

/** @type {Entry[]} */
let entries = [];
/** @type {Set<string>} people whom this page has named */
const people = new Set();
/** @type {(() => void)[]} */
const visitors = [];
/** @type {string} */
let path;
let visit = 0;

/**
 * Calls back at each page view, also of a single-page shop.
 * @param {() => void} call
 */
export const onPage = (call) => visitors.push(call);

/**
 * What one source has seen.
 * @param {string} type of the Segment spec
 * @param {import("./recorder.js").Call} call
 * @param {string} name of the source
 * @param {number} [wait] ms that its request may wait for what is still to be added: a source that gives it has the
 *   shop's own word for each event
 * @returns {Entry | undefined} the event it is or belongs to
 */
export const seen = (type, call, name, wait) => {
  if (path !== location.pathname) visit++;
  path = location.pathname;
  const api = name === "api";
  if (type !== "track" || !call.event) {
    const text = type + attempt(() => stringify(call));
    if (type === "identify" && !api && people.has(text)) return;
    people.add(text);
    record(type, call, [name]);
    if (type === "page") for (const visitor of visitors) visitor();
    return;
  }
  const { event, properties: own = {} } = call;
  const said = name + attempt(() => stringify(own)); // the recorder mends what is no JSON
  for (const entry of entries) {
    // A call that the stub has kept may be on its way already.
    if (!call.messageId && entry.event === event && isSame(entry, own, name, said, api || !!wait)) {
      entry.said.add(said);
      if (!entry.capture.includes(name)) entry.capture.push(name);
      amend(entry, own);
      return entry;
    }
  }
  const properties = __SHOPIFY__ || __WOOCOMMERCE__ || __MAGENTO__ ? completed(event, own) : own; // Others tell no whole cart.
  const capture = [name];
  const id = record(type, { ...call, properties }, capture, api ? 0 : wait || (/Added/.test(event) ? SAME : MERGE));
  const entry = { id, event, properties, capture, said: new Set([said]), at: Date.now(), visit };
  entries = [entry, ...entries.slice(0, MOST)];
  return entry;
};

/**
 * Adds to an event what it does not say yet; without effect once its message is under way.
 * @param {Entry} entry
 * @param {Properties} more
 */
export const amend = (entry, more) => {
  if (!attempt(() => stringify(more))) return; // what is no JSON must not take the rest with it
  const rich = Object.keys(entry.properties).length < Object.keys(more).length;
  entry.properties = rich ? { ...entry.properties, ...more } : { ...more, ...entry.properties };
  if (entry.id) revise(entry.id, { event: entry.event, properties: entry.properties }, entry.capture);
};

/**
 * What this page shows of a product.
 * @param {Properties} line
 */
export const shown = (line) =>
  entries.find((entry) => entry.event === "Product Viewed" && entry.visit === visit && alike(entry.properties, { ...line, quantity: 0 }))?.properties;

/**
 * @param {Entry} entry
 * @param {Properties} own
 * @param {string} name
 * @param {string} said
 * @param {boolean} sure whether the source knows that it has not told this before
 */
const isSame = ({ event, properties, capture, said: before, at, visit: then }, own, name, said, sure) => {
  const told = capture.includes(name);
  if (told && sure) return false;
  const fresh = Date.now() - at < SAME;
  const known = kindOf(event);
  const once = known && !/Added|Removed/.test(event); // a page is viewed once, however late somebody says so
  if (once ? then !== visit : !fresh) return false;
  return before.has(said) || (known && (!told || (once && fresh)) && alike(properties, own));
};

/**
 * Whether two descriptions may be of the same product and number: they share an ID or a name, or one has none.
 * @param {Properties} one
 * @param {Properties} other
 */
export const alike = (one, other) => {
  for (const name of ["variant_id", "quantity"]) {
    if (one[name] && other[name] && idOf(one[name]) !== idOf(other[name])) return false;
  }
  const [ours, theirs] = [identity(one), identity(other)];
  return !ours.length || !theirs.length || ours.some((id) => theirs.includes(id));
};

/** @param {Properties} properties */
const identity = (properties) => IDENTITY.filter((name) => properties[name]).map((name) => idOf(properties[name]));

/** @param {unknown} value */
const idOf = (value) => String(value).replace(CATALOGUE, "").toLowerCase();
