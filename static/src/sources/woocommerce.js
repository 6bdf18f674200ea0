// WooCommerce: the requests of its buttons and blocks, the jQuery event of its buttons, the pages of its cart, its checkout
// and its orders, and its Store API for the cart.

import { added, ask, cart, major, whole } from "../cart.js";
import { guarded } from "../guard.js";
import { posted, shown } from "../merge.js";
import { local } from "../storage.js";
import { ready } from "./hook.js";
import { asked, lines, watch } from "./requests.js";
import { product } from "./shape.js";

const ORDER = "backflow.order"; // the last one told
const PATHS = /wc-ajax=(add_to|remove_from)_cart|\/wc\/store\/.*(cart\/\w+-item|batch)/;

/** @type {import("../main.js").Source} */
export const woocommerce = (emit) => {
  watch(PATHS, async (path, body, answer) => {
    const [got, wanted] = await Promise.all([answer(), lines(body)]);
    if (!got || got.error) return;
    // A batch holds the bodies of several requests, and their answers.
    for (const [index, step] of wanted.entries()) {
      const { body: told = got, status = 200 } = got.responses?.[index] || {};
      if (status > 299) continue;
      const adds = /add[_-]/.test(step.path || path);
      if (adds) added(emit, known(asked(step.body || step)));
      whole(emit, cartOf(told.totals ? told : await readCart()), !adds);
    }
  });
  ready(async () => {
    const page = document.body;
    if (page.matches(".woocommerce-order-received")) {
      // The page may be opened again when another cart has begun, and a payment may have failed.
      const order_id = /order-received[/=](\d+)/.exec(location.href)?.[1];
      if (!order_id || local.get(ORDER) === order_id || page.querySelector(".woocommerce-thankyou-order-failed")) return;
      emit("Order Completed", { ...cart(), order_id });
      local.set(ORDER, order_id);
    } else if (page.matches(".woocommerce-cart,.woocommerce-checkout:not(.woocommerce-order-pay)")) {
      try {
        whole(emit, cartOf(await readCart())); // What forms and links have done to it no request has told.
      } catch (_) {}
      if (page.matches(".woocommerce-checkout")) emit("Checkout Started", { checkout_url: cart().checkout_url || location.pathname });
    }
  });
};

/**
 * Plug-ins with requests of their own trigger the event of the buttons. Where the shop has no requests for its buttons,
 * they are links.
 * @type {import("../main.js").Source}
 */
export const woocommerceButtons = (emit) => {
  const click = guarded(({ target, defaultPrevented }) => {
    const link = target.closest("a.add_to_cart_button[href*=add-to-cart]:not(.ajax_add_to_cart)");
    if (link && !defaultPrevented) posted([emit("Product Added", known(product(link.dataset, true)))]);
  });
  window.addEventListener("click", click); // Once the page has had its say.
  ready(() =>
    /** @type {any} */ (window)
      .jQuery?.(document.body)
      .on("added_to_cart", guarded((/** @type {any[]} */ ...args) => args[3] && emit("Product Added", known(product(args[3].data(), true))))),
  );
};

/** A line with what the page shows of its product. @param {Record<string, any>} line */
const known = (line) => ({ ...shown(line), ...line });

/** The address of the shop's REST API. */
const root = () => /** @type {HTMLLinkElement | null} */ (document.querySelector('[rel="https://api.w.org/"]'))?.href || "/wp-json/";

const readCart = () => ask(root() + "wc/store/v1/cart");

/** @param {any} cart of the Store API: amounts in minor units, as text */
const cartOf = ({ items, totals }) => ({
  cart_value: major(totals.total_items, totals.currency_minor_unit),
  currency: totals.currency_code,
  checkout_url: linkTo(items),
  products: items.map((/** @type {any} */ { prices, images, ...line }) =>
    product({ ...line, price: major(prices.price, totals.currency_minor_unit), image: images?.[0]?.src }, true),
  ),
});

/**
 * A link that fills the cart again in any browser: WooCommerce has them from version 10 on, where addresses are not plain
 * (https://developer.woocommerce.com/docs/best-practices/urls-and-routing/checkout-urls).
 * @param {any[]} items
 */
const linkTo = (items) =>
  document.querySelector('[name=generator][content^="WooCommerce 1"]') && items[0] && /\/wp-json\/$/.test(root())
    ? root().replace("wp-json/", "checkout-link/?products=" + items.map(({ id, quantity }) => id + ":" + quantity))
    : undefined;
