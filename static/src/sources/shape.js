// Everybody's words for a shop event, in Segment's. Names that the relay reads as they are stay as they are: only what
// two sources must agree on to be recognised as one action is renamed here.

/** @typedef {import("../main.js").Emit} Emit */
/** @typedef {Record<string, any>} Properties */

/** GA4's, Meta's and Klaviyo's names in lower case; those of GA4 may be longer (`add_to_cart_stape`). @type {Record<string, string>} */
const KINDS = {
  "Product List Viewed": "view_item_list|viewed_collection",
  "Product Viewed": "view_item|viewcontent|viewed_product",
  "Product Added": "add(ed)?_?to_?cart",
  "Product Removed": "removed?_from_cart",
  "Cart Viewed": "view(ed)?_cart",
  "Checkout Started": "begin_checkout|initiatecheckout|started_checkout",
  "Order Completed": "purchase|placed_order",
  "Products Searched": "view_search_results|search(ed_site)?",
};

/** After one of these words the thing itself did not happen. */
const NOT_DONE = /abandon|attempt|button|cancel|click|close|decline|error|fail|filter|focus|history|hover|impression|intent|open|_option|pending|protect|refund|retry|select|_start|suggestion|toggle|undo/;

/** Names of a product's properties in lower case, without `_` and `item`, `product` or `AddedItem` before them. */
const OWN = /^(sku|name|price|brand|variant|category|quantity|url)$/;
/** @type {Record<string, string>} */
const NAMES = {
  id: "product_id",
  variantid: "variant_id",
  image: "image_url",
  imageurl: "image_url",
  title: "name",
  vendor: "brand",
  brandname: "brand",
  varianttitle: "variant",
  variantsku: "sku",
  pricevalue: "price",
  purchaseprice: "price",
  lowprice: "price",
  pricecurrency: "currency",
  qty: "quantity",
  permalink: "url",
};
const LISTS = ["items", "Items", "contents", "products", "line_items", "content_ids"];
export const MOST_LINES = 40; // keeps a message below the relay's 32 KB

/** Whether an event is about one product. @param {string} event */
export const aboutOne = (event) => /^Product [VAR]/.test(event);

/**
 * The Segment event of anybody's name for it; undefined when it is none of a shop's.
 * @param {string} name
 */
export const kindOf = (name) => {
  const folded = name.toLowerCase().replace(/ /g, "_");
  const rest = / /.test(name) ? "$" : "(_|$)"; // `Added to Cart Popup Viewed` is the shop's own
  for (const kind in KINDS) {
    if (kind === name || (RegExp(`^(${KINDS[kind]})${rest}`).test(folded) && !NOT_DONE.test(folded))) return kind;
  }
  return undefined;
};

/**
 * A product in Segment's words.
 * @param {Properties} raw
 * @param {unknown} [strict] leave out what has no name there
 */
export const product = (raw, strict) => {
  /** @type {Properties} */
  const known = {};
  for (const key in raw) {
    const short = key.replace(/^(addeditem|item|product|content)*|_/gi, "").toLowerCase();
    const name = OWN.test(short) ? short : NAMES[short] || (strict ? "" : key);
    if (name && raw[key] != null && raw[key] !== "") known[name] ??= raw[key];
  }
  return known;
};

/**
 * Emits what somebody has announced, a product at a time where the event is about one.
 * @param {Emit} emit
 * @param {string} name in anybody's words
 * @param {Properties | undefined} raw
 * @param {boolean} [any] also an event that is none of a shop's
 */
export const report = (emit, name, raw, any) => {
  const event = kindOf(name) || (any && name);
  if (!event) return;
  const rest = { ...raw };
  /** @type {Properties[] | undefined} */
  let products;
  for (const list of kindOf(name) ? LISTS : []) {
    if (Array.isArray(rest[list])) {
      products ||= rest[list].slice(0, MOST_LINES).map((line) => product(Object(line) === line ? line : { id: line }));
      delete rest[list];
    }
  }
  const top = aboutOne(event) ? product(rest) : rest;
  // Lines beside a product of its own are the cart (Klaviyo's Added to Cart), others are the products themselves.
  if (top === rest || !products || top.product_id || top.sku) {
    if (products) top.products = products;
    emit(event, top);
  } else {
    if (products.length > 1) delete top.value;
    for (const line of products) emit(event, { ...top, ...line });
  }
};

/**
 * Emits the visitor's own address as the page has announced it. A hashed one says nothing.
 * @param {Emit} emit
 * @param {Properties | undefined} raw
 */
export const person = (emit, raw) => {
  raw ||= {}; // `null` too
  const email = raw.email || raw.$email || raw.em;
  const phone = raw.phone || raw.$phone_number || raw.phone_number || raw.ph;
  /** @type {Properties} */
  const traits = {};
  if (/^[^\s@]+@[^\s@]+\.[^\s@]+$/.test(email)) traits.email = "" + email; // GA4's may be a list of one
  if (/^\+?[\d\s()./-]{7,20}$/.test(phone)) traits.phone = "" + phone;
  if (traits.email || traits.phone) emit("", { traits }, 0, "identify");
};
