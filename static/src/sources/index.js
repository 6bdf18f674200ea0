// The sources of this tag, in the order they start to listen. Those of a platform are left out where the build is for
// shops of another.

import { attributes } from "./attributes.js";
import { bigcommerce } from "./bigcommerce.js";
import { forms } from "./forms.js";
import { ga4 } from "./ga4.js";
import { klaviyo } from "./klaviyo.js";
import { klaviyoWatch } from "./klaviyo-state.js";
import { magento } from "./magento.js";
import { meta } from "./meta.js";
import { pages } from "./pages.js";
import { requests } from "./requests.js";
import { schema } from "./schema.js";
import { dawn, shopify } from "./shopify.js";
import { woocommerce, woocommerceButtons } from "./woocommerce.js";

export { seen } from "../merge.js";
export { platformConsent } from "./consent-platforms.js";
export { klaviyoState } from "./klaviyo-state.js";
export { look } from "./look.js";

/** @typedef {[name: string, listen: import("../main.js").Source][]} Sources */

/** @type {Sources} */
export const SOURCES = [
  ["page", pages],
  ["klaviyo", klaviyoWatch],
  ["request", requests],
  .../** @type {Sources} */ (__SHOPIFY__ ? [["shopify_cart", shopify], ["dawn", dawn]] : []),
  .../** @type {Sources} */ (__WOOCOMMERCE__ ? [["woocommerce", woocommerce], ["woocommerce_jquery", woocommerceButtons]] : []),
  .../** @type {Sources} */ (__MAGENTO__ ? [["magento", magento]] : []),
  .../** @type {Sources} */ (__BIGCOMMERCE__ ? [["bigcommerce", bigcommerce]] : []),
  ["ga4", ga4],
  ["meta", meta],
  ["klaviyo", klaviyo],
  ["schema", schema],
  ["attributes", attributes],
  ["form", forms],
];
