// Shopify's Ajax cart: what themes and apps add and remove by fetch or XMLHttpRequest.

import { withoutCartKey } from "../cookies.js";
import { attempt, ignore, on, parsed } from "../guard.js";
import { local } from "../storage.js";
import { watchRequests } from "./requests.js";

/** @typedef {import("../main.js").Emit} Emit */
/** @typedef {{ id?: string, quantity?: string }} Asked one line of what the page asked the shop to do */
/** @typedef {Record<string, any>} Line of a cart, as Shopify answers it */
/** @typedef {(cart?: Line) => void} Finish */

const PATH = /^(\/[a-z-]+)?\/cart\/(add|change|update|clear)(\.js|\.json)?$/;
const FIELD = /^(?:items\[(\d*)\]\[)?(id|quantity)\]?$/;
const CART = "backflow.cart"; // its lines when last seen: the answer to a change does not tell what went
const PATIENCE = 3000; // ms to wait for the whole cart
const MOST_LINES = 40; // keeps a message below the relay's 32 KB

const { fetch } = window;

/** @type {import("../main.js").Source} */
export const shopifyCart = {
  name: "shopify_cart",
  detect: () => true, // Shops in this shape load their cart code at any time.
  listen(emit) {
    /** @type {Set<Finish>} */
    const pending = new Set();
    // Themes may leave for the cart page as soon as the shop has answered: then the event goes without the whole cart.
    on(window, "pagehide", () => pending.forEach((finish) => finish()));

    watchRequests(PATH, ({ path, body, answer }) => {
      const [, locale = "", action] = PATH.exec(path) || [];
      const asked = Promise.resolve(attempt(() => linesAsked(body)) || []).catch(() => []);
      Promise.all([asked, answer])
        .then(([lines, got]) => {
          if (!got || got.status >= 400) return; // A refusal: some shops answer it with 200.
          if (action === "add") added(emit, lines, got, locale, pending);
          else changed(emit, got, locale);
        })
        .catch(ignore);
    });
  },
};

/**
 * @param {Emit} emit
 * @param {Asked[]} asked
 * @param {any} answer the line item, or `{items: [...]}`
 * @param {string} locale the path's prefix
 * @param {Set<Finish>} pending
 */
const added = (emit, asked, answer, locale, pending) => {
  /** @type {Line[]} */
  const lines = answer.items || [answer];

  /** @type {Finish} */
  const finish = (cart) => {
    if (!pending.delete(finish)) return;
    const properties = cartProperties(locale, cart);
    for (const line of lines) {
      // The answer tells the line's new total; how many came now only the request knows.
      const { quantity } = asked.find(({ id }) => id === variantId(line)) || (lines.length < 2 && asked[0]) || {};
      emit("track", {
        event: "Product Added",
        properties: { ...product(line), quantity: Number(quantity || 1), ...properties },
      });
    }
  };

  pending.add(finish);
  setTimeout(finish, PATIENCE);
  attempt(() => fetch(`${locale}/cart.js`).then((response) => response.json().then(finish)).catch(() => finish()));
};

/**
 * What was in the cart and is no longer.
 * @param {Emit} emit
 * @param {any} cart the whole cart after the change
 * @param {string} locale
 */
const changed = (emit, cart, locale) => {
  /** @type {{ cart_id?: string, products?: { variant_id: string }[] }} */
  const { cart_id, products = [] } = parsed(local.get(CART)) || {};
  const properties = cartProperties(locale, cart);
  if (cart_id !== properties.cart_id) return; // That one has become an order.
  const left = cart.items.map(variantId);
  for (const line of products) {
    if (!left.includes(line.variant_id)) emit("track", { event: "Product Removed", properties: { ...line, ...properties } });
  }
};

/**
 * Reads id and quantity out of whatever the page sent.
 * @param {unknown} body
 * @returns {Asked[] | Promise<Asked[]>}
 */
const linesAsked = (body) => {
  if (body instanceof Request) {
    const json = /json/.test(body.headers.get("Content-Type") || "");
    return /** @type {Promise<unknown>} */ (json ? body.text() : body.formData()).then(linesAsked);
  }
  /** @type {Record<string, any>[]} */
  let lines = [];
  const json = typeof body === "string" && parsed(body);
  if (json) lines = json.items || [json];
  else {
    const fields = typeof body === "string" ? new URLSearchParams(body) : body;
    if (fields instanceof FormData || fields instanceof URLSearchParams) {
      fields.forEach((/** @type {any} */ value, /** @type {string} */ name) => {
        const [, index, field] = FIELD.exec(name) || [];
        if (field) (lines[Number(index || 0)] = lines[Number(index || 0)] || {})[field] = value;
      });
    }
  }
  return lines.map(({ id, quantity }) => ({ id: text(id), quantity: text(quantity) }));
};

/** @param {Line} line */
const variantId = (line) => text(line.variant_id || line.id);

/**
 * A line in Segment's words.
 * @param {Line} line
 */
const product = (line) => ({
  product_id: text(line.product_id),
  variant_id: variantId(line),
  sku: text(line.sku),
  name: text(line.product_title || line.title),
  variant: text(line.variant_title),
  brand: text(line.vendor),
  category: text(line.product_type),
  price: money(line.final_price === undefined ? line.price : line.final_price),
  compare_at_price: money(line.compare_at_price),
  quantity: line.quantity,
  url: address(line.url),
  image_url: address(line.image || (line.featured_image && line.featured_image.url)),
});

/**
 * What is known of the whole cart; its lines are remembered for the next change.
 * @param {string} locale
 * @param {Line} [cart]
 */
const cartProperties = (locale, cart) => {
  const checkout_url = address(`${locale}/checkout`);
  if (!cart || !cart.items) return { currency: attempt(() => window.Shopify.currency.active), checkout_url };
  const cart_id = cart.token && withoutCartKey(cart.token);
  const products = cart.items.slice(0, MOST_LINES).map(product);
  local.set(CART, JSON.stringify({ cart_id, products }));
  return { currency: cart.currency, cart_value: money(cart.total_price), cart_id, checkout_url, products };
};

/**
 * Major units. Shopify's Ajax API counts hundredths in every currency, also in those without a minor unit (JPY).
 * @param {unknown} hundredths
 */
const money = (hundredths) => (typeof hundredths === "number" ? hundredths / 100 : undefined);

/** @param {unknown} value */
const text = (value) => (value === undefined || value === null || value === "" ? undefined : String(value));

/** An absolute address. @param {string | undefined} url */
const address = (url) => (url ? new URL(url, location.href).href : undefined);
