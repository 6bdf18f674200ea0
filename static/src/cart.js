// The cart as it was last seen whole: its value, its lines, and the way back to it.

import { allowed } from "./consent.js";
import { amend, alike } from "./merge.js";
import { parsed, stringify } from "./realm.js";
import { MOST_LINES } from "./sources/shape.js";
import { local } from "./storage.js";

/** @typedef {import("./main.js").Emit} Emit */
/** @typedef {Record<string, any>} Cart `cart_id, cart_value, currency, checkout_url, products` in Segment's words */

const CART = "backflow.cart";
const HANDLE = "backflow.handle"; // the visitor's, opaque; from the relay's answer, so never before consent
const TOLD = "backflow.attributed"; // the cart that carries it
const PATIENCE = 2500; // ms that a message may wait in the queue for the cart's value

const { fetch } = window; // not the one that is watched

/** @type {import("./merge.js").Entry[]} additions that wait for the whole cart */
let waiting = [];

/** @returns {Cart} */
export const cart = () => parsed(local.get(CART)) || {};

/**
 * An event with the cart, where it is about the cart and does not say.
 * @param {string} event
 * @param {Record<string, any>} properties
 */
export const completed = (event, properties) => {
  if (event === "Order Completed") local.remove(CART);
  if (event !== "Checkout Started" && event !== "Cart Viewed") return properties;
  const { cart_id, checkout_url, ...rest } = cart();
  return { cart_id, checkout_url, ...(properties.products ? {} : rest), ...properties };
};

/**
 * Something came into the cart, as the shop itself has answered.
 * @param {Emit} emit
 * @param {Record<string, any>} line
 */
export const added = (emit, line) => {
  const entry = emit("Product Added", line, PATIENCE);
  if (entry) waiting.push(entry);
};

/**
 * The whole cart, as the shop has told it.
 * @param {Emit} emit
 * @param {Cart} now
 * @param {boolean} [removing] whether what is missing was taken out: a cart that became an order is empty too
 */
export const whole = (emit, { products, ...rest }, removing) => {
  const before = cart();
  const now = /** @type {Cart} */ ({ ...rest, products: products.slice(0, MOST_LINES) });
  local.set(CART, stringify(now));
  const old = stringify(before.products) || "";
  const changed = products.filter((/** @type {any} */ one) => !old.includes(stringify(one)));
  waiting = waiting.filter((entry) => {
    const line = [...changed, ...products].find((one) => alike({ ...one, quantity: 0 }, entry.properties));
    if (line) amend(entry, { ...line, ...now, quantity: entry.properties.quantity });
    return !line; // then it is a cart from before this addition
  });
  if (!removing || before.cart_id !== now.cart_id) return;
  for (const line of before.products || []) {
    if (!products.some((/** @type {any} */ one) => keyOf(one) === keyOf(line))) {
      emit("Product Removed", { ...line, ...now });
    }
  }
};

/** @param {any} line */
const keyOf = ({ product_id, variant_id, sku }) => stringify([product_id, variant_id, sku]);

let busy = 0;

/**
 * Gives the cart the visitor's handle, once for each cart and not while the page's own calls to the cart are under way.
 * @param {number} change of the number of those
 */
export const attributeSoon = (change) => {
  busy += change;
  setTimeout(() => {
    const handle = local.get(HANDLE);
    const { cart_id } = cart();
    if (busy || !allowed || !handle || !cart_id || local.get(TOLD) === cart_id) return;
    local.set(TOLD, cart_id);
    const body = stringify({ attributes: { _backflow: handle } });
    fetch("/cart/update.js", { method: "POST", headers: { "Content-Type": "application/json" }, body })
      .then(({ ok }) => ok || local.remove(TOLD))
      .catch(() => local.remove(TOLD));
  }, 1000);
};

/**
 * Major units of an amount in minor ones. Shopify counts hundredths in every currency, also in those without (JPY).
 * @param {any} amount
 */
export const major = (amount, digits = 2) => amount && amount / 10 ** digits;

/** The JSON that an address answers. @param {string} url @returns {Promise<any>} */
export const ask = (url) => fetch(url).then((response) => response.json());
