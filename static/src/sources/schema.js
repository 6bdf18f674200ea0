// What the page itself says of the product it shows: schema.org data, OpenGraph, Shopify's page data.

import { major } from "../cart.js";
import { attempt, idle } from "../guard.js";
import { onPage } from "../merge.js";
import { parsed, stringify } from "../realm.js";
import { onLook } from "./look.js";
import { product } from "./shape.js";

/** @typedef {Record<string, any>} Node */

const LOOKS = 4; // at a page that shows no product: its data may come late

/** @type {import("../main.js").Source} */
export const schema = (emit) => {
  let looks = 0;
  let path = "";
  /** Of the page before, where this one was shown without a load. */
  let before = "";
  /** @type {string} */
  let last;
  const look = () => {
    if (path !== location.pathname) return; // The page that is there now is looked at by itself.
    const properties = productShown(before);
    const text = stringify(properties);
    // A single-page shop may still show the data of the page before, and write its own when the product has come.
    const fresh = properties && text !== last;
    last = text;
    if (fresh) emit("Product Viewed", properties);
    looks = fresh ? 0 : looks - 1;
  };
  const soon = (/** @type {unknown} */ now = undefined) => looks && (now ? look() : idle(look));
  onPage(() => {
    if (path !== location.pathname) before = path;
    path = location.pathname;
    looks = LOOKS;
    soon();
  });
  onLook(soon);
};

/**
 * The one product of this page; nothing where there are several, as on a list.
 * @param {string} before whose data a single-page shop may still show
 */
const productShown = (before) => {
  /** @type {Node[]} */
  const found = [];
  /** @param {any} node */
  const walk = (node) => {
    if (/Product/.test(node?.["@type"])) pathOf(node) === before || found.push(node);
    else if (node) for (const inner of Array.isArray(node) ? node : [node["@graph"], node.mainEntity]) walk(inner);
  };
  for (const script of document.querySelectorAll('[type="application/ld+json"]')) walk(parsed(script.textContent));
  const isProduct = /product/.test(meta("type"));
  const node =
    found.find((node) => pathOf(node) === location.pathname) ||
    ((isProduct || found.length < 2) && found[0]);
  const chosen = new URLSearchParams(location.search).get("variant");
  const variant = __SHOPIFY__ && variantShown(chosen);
  if (!node && !isProduct && !variant) return;
  /** Of one or several, the one that the page's address chooses. @param {any} list @returns {Node} */
  const one = (list) => {
    const all = /** @type {any[]} */ ([]).concat(list || []);
    return all.find((item) => stringify(item).includes("variant=" + chosen)) || all[0] || {};
  };
  const { brand, image, hasVariant, offers, ...rest } = node || {};
  const version = one(hasVariant);
  const offer = one(offers || version.offers);
  return product(
    {
      product_id: field() || meta("retailer_item_id"),
      name: meta("title"),
      url: meta("url"),
      price: meta("price:amount"),
      priceCurrency: meta("price:currency"),
      ...variant,
      ...version,
      ...offer,
      ...one(offer.priceSpecification),
      ...rest,
      brand: brand?.name || brand,
      image: one(image).url || (image && one(image)) || meta("image"),
    },
    true,
  );
};

/** Of the page that a product's data say is its own. @param {Node} node */
const pathOf = ({ url }) => url && attempt(() => new URL(url, location.href).pathname);

/**
 * A variant of the product that Shopify says the page shows; the first where none is named.
 * @param {unknown} [id]
 */
export const variantShown = (id) => {
  const { product: shown } = /** @type {any} */ (window).ShopifyAnalytics?.meta || {};
  const found = shown?.variants?.find((/** @type {Node} */ variant) => !id || variant.id == id);
  const { id: variant_id, sku, price, name } = found || {};
  return found && { product_id: shown.id, variant_id, sku, name, brand: shown.vendor, price: major(price) };
};

/** @param {string} name */
const meta = (name) =>
  /** @type {HTMLMetaElement | null} */ (document.querySelector(`[property="og:${name}"],[property="product:${name}"]`))?.content || "";

/** The ID in the form that puts the product into the cart. */
const field = () =>
  /** @type {HTMLInputElement | null} */ (document.querySelector("[name=add-to-cart],[name=product_id],[name=product]"))?.value;
