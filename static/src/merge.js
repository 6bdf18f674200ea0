// One shopper action that several sources see is one event. The first sighting is stored at once, its request starts a
// little later, and what others know of it is added until then. The same source twice is twice, unless it says the same.

import { allowed } from "./consent.js";
import { attempt } from "./guard.js";
import { record, revise, withdraw } from "./recorder.js";
import { parsed, stringify } from "./realm.js";
import { kindOf } from "./sources/shape.js";
import { completed } from "./cart.js";

/** @typedef {Record<string, any>} Properties */
/**
 * @typedef {object} Entry an event of this page
 * @property {string | undefined} id of its message
 * @property {string} event
 * @property {string} kind what it is in Segment's words, whatever the shop has called it
 * @property {Properties} properties
 * @property {string[]} ids every name that a source gave to its product
 * @property {string[]} capture
 * @property {Set<string>} said the properties as each source gave them
 * @property {number} at
 * @property {number} visit the page view it belongs to; 0: a form on the page before this one
 */

const MERGE = 300; // ms in which others may add to what the first has seen
const SAME = 2000; // ms in which two sightings of a change to the cart are one, and the shop's answer may add to it
const MOST = 50; // events remembered
const IDENTITY = ["product_id", "variant_id", "sku", "name", "search_term", "search_string", "query"];
/** Catalogue plug-ins put their own words before an ID. */
const CATALOGUE = /^(gla|shopify|wc_post_id|gid:).*\D(?=\d)/;
/** Meta's for WooCommerce puts the product's SKU there. What is left is marked, for it names it only beside a bare ID. */
const SKU = /.+_(?=\d+$)/;
const POSTED = "backflow.posted";
const ANSWER = 30_000; // ms in which a shop answers with its next page
const LATE = 10_000; // ms in which plug-ins of that page tell of it

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
  visit || attempt(answered);
  if (path !== location.pathname) visit++;
  path = location.pathname;
  const api = name === "api";
  if (call.event === "Signed Out") {
    people.clear(); // Whoever comes next may be one of them again.
    entries = []; // And what they do is theirs.
  }
  if (type !== "track" || !call.event) {
    const text = type + attempt(() => stringify(call));
    if (type === "identify" && !api && people.has(text)) return;
    people.add(text);
    record(type, call, [name]);
    if (type === "page") for (const visitor of visitors) visitor();
    return;
  }
  const { event, properties: own = {} } = call;
  const known = kindOf(event);
  const kind = known || event;
  const said = name + attempt(() => stringify(own)); // the recorder mends what is no JSON
  /** @type {Entry | undefined} */
  let found;
  for (const entry of entries) {
    // A call that the stub has kept may be on its way already.
    if (call.messageId || entry.kind !== kind || !isSame(entry, own, name, said, api || !!wait, known)) continue;
    if (!found) {
      found = entry;
      entry.said.add(said);
      if (!entry.capture.includes(name)) entry.capture.push(name);
      amend(entry, own);
    } else if (identity(own)[0] && !entry.capture.some((other) => /** @type {Entry} */ (found).capture.includes(other)) && withdraw(entry.id)) {
      // Two have told of it in words of their own, and now a third knows both.
      found.capture.push(...entry.capture);
      amend(found, entry.properties);
      Object.assign(entry, found);
    }
  }
  if (found) return found;
  const properties = __SHOPIFY__ || __WOOCOMMERCE__ || __MAGENTO__ ? completed(kind, own) : own; // Others tell no whole cart.
  const capture = [name];
  const id = record(type, { ...call, properties }, capture, api ? 0 : wait || (/Added/.test(kind) ? SAME : MERGE));
  const entry = { id, event, kind, properties, ids: identity(properties), capture, said: new Set([said]), at: Date.now(), visit };
  entries = [entry, ...entries.slice(0, MOST)];
  return entry;
};

/**
 * A form or a link takes something into the cart and the shopper to another page, where plug-ins tell of it.
 * @param {(Entry | undefined)[]} told
 */
export const posted = (told) => attempt(() => allowed && sessionStorage.setItem(POSTED, stringify(told))); // In no other tab.

/** What the page before this one has told in this way. */
const answered = () => {
  for (const entry of parsed(sessionStorage.getItem(POSTED)) ?? []) {
    if (Date.now() - entry?.at < ANSWER) entries.push({ ...entry, said: new Set(), at: Date.now(), visit: 0 });
  }
  sessionStorage.removeItem(POSTED);
};

/**
 * Adds to an event what it does not say yet; without effect once its message is under way.
 * @param {Entry} entry
 * @param {Properties} more
 */
export const amend = (entry, more) => {
  if (!attempt(() => stringify(more))) return; // what is no JSON must not take the rest with it
  entry.ids.push(...identity(more));
  const rich = Object.keys(entry.properties).length < Object.keys(more).length;
  entry.properties = rich ? { ...entry.properties, ...more } : { ...more, ...entry.properties };
  if (entry.id) revise(entry.id, { event: entry.event, properties: entry.properties }, entry.capture);
};

/**
 * What this page shows of a product.
 * @param {Properties} line
 */
export const shown = (line) =>
  entries.find((entry) => entry.kind === "Product Viewed" && entry.visit === visit && alike(entry.properties, { ...line, quantity: 0 }))?.properties;

/**
 * @param {Entry} entry
 * @param {Properties} own
 * @param {string} name
 * @param {string} said
 * @param {boolean} sure whether the source knows that it has not told this before
 * @param {string | undefined} known the Segment event that both are
 */
const isSame = ({ properties, ids, capture, said: before, at, visit: then }, own, name, said, sure, known) => {
  const told = capture.includes(name);
  if (sure && (told || !then)) return false; // The shop's own word for something on this page.
  if (told && !then && name === "form") return false; // Submitted again.
  const age = Date.now() - at;
  const soon = age < SAME;
  const once = known && !/Added|Removed/.test(known); // a page is viewed once, however late somebody says so
  if (once ? then !== visit : age > (then ? SAME : LATE)) return false;
  // The same source in other words: a page viewed by two of its calls, an addition told to two of its accounts.
  const again = soon && (once || (ids.includes(idOf(own.product_id)) && !differ(properties, own, ["sku", "name", "variant"])));
  return ((once || soon) && before.has(said)) || (known && (!told || again) && alike(properties, own, ids));
};

/**
 * Whether two descriptions may be of the same product and number: they share an ID or a name, or one has none.
 * @param {Properties} one
 * @param {Properties} other
 * @param {string[]} [ours] what the one is called
 */
export const alike = (one, other, ours = identity(one)) => {
  const theirs = identity(other);
  const shares = (/** @type {string} */ id) => theirs.includes(id[0] === "~" ? id.slice(1) : id) || theirs.includes("~" + id);
  return !differ(one, other, ["variant_id", "quantity"]) && (!ours.length || !theirs.length || ours.some(shares));
};

/**
 * Whether two descriptions contradict each other.
 * @param {Properties} one
 * @param {Properties} other
 * @param {string[]} names
 */
const differ = (one, other, names) => names.some((name) => one[name] && other[name] && idOf(one[name]) !== idOf(other[name]));

/** @param {Properties} properties */
const identity = (properties) => {
  const ids = [];
  for (const name of IDENTITY) if (properties[name]) ids.push(idOf(properties[name]));
  const { product_id } = properties;
  if (SKU.test(product_id)) ids.push(product_id.replace(SKU, "~"));
  return ids;
};

/** @param {unknown} value */
const idOf = (value) => String(value).replace(CATALOGUE, "").toLowerCase();
