// BigCommerce's data layer.

import { attempt, guarded } from "../guard.js";
import { property } from "./hook.js";
import { report } from "./shape.js";

const EVENTS = {
  "cart.addItem": "Product Added",
  "cart.removeItem": "Product Removed",
  "cart.viewed": "Cart Viewed",
  "product.pageViewed": "Product Viewed",
  "product.categoryViewed": "Product List Viewed",
  "product.searchPerformed": "Products Searched",
  "checkout.checkoutBegin": "Checkout Started",
  "checkout.orderPurchased": "Order Completed",
};

/** @type {import("../main.js").Source} */
export const bigcommerce = (emit) => {
  property(window, "bodlEvents", (events) => {
    for (const [path, name] of Object.entries(EVENTS)) {
      const [group, method] = path.split(".");
      attempt(() => events[group][method](guarded((/** @type {any} */ said) => report(emit, name, { query: said.search_keyword, ...said }))));
    }
  });
};
