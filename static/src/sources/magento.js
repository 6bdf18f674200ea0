// Magento: the event of its cart forms, its customer data, where the cart stands when the server has answered, and the
// page of its checkout.

import { added, whole } from "../cart.js";
import { guarded } from "../guard.js";
import { ready } from "./hook.js";
import { person, product } from "./shape.js";

const page = /** @type {any} */ (window);

/** @type {import("../main.js").Source} */
export const magento = (emit) => {
  ready(() => {
    if (!page.require?.defined || !document.querySelector('[type="text/x-magento-init"]')) return;
    page.require(["jquery", "Magento_Customer/js/customer-data"], (/** @type {any} */ jQuery, /** @type {any} */ data) => {
      let removing = false;
      let checkout = document.body.matches(".checkout-index-index");
      jQuery(document)
        .on("ajax:addToCart", guarded((/** @type {any} */ _, /** @type {any} */ { sku, productIds, form }) =>
          added(emit, { sku, product_id: productIds?.[0], quantity: +(form?.find?.("[name=qty]").val() || 1) }),
        ))
        .on("ajax:removeFromCart", () => (removing = true));
      const take = (/** @type {any} */ { items, subtotalAmount }) => {
        if (!items) return; // not asked for yet
        const products = items.map((/** @type {any} */ { item_id, product_price, product_image, ...line }) => product({ ...line, image: product_image?.src }, true));
        whole(emit, { cart_value: +subtotalAmount, products }, removing);
        removing = false;
        if (checkout && products[0]) {
          checkout = false;
          emit("Checkout Started", { checkout_url: location.pathname });
        }
      };
      const cart = data.get("cart");
      take(cart());
      cart.subscribe(guarded(take));
      person(emit, data.get("customer")());
    });
  });
};
