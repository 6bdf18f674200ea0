// Shopify's Ajax cart: what themes and apps put in and take out by fetch or XMLHttpRequest; and the page of the cart.

import { added, ask, attributeSoon, major, whole } from "../cart.js";
import { allowed } from "../consent.js";
import { local } from "../storage.js";
import { guarded, ignore } from "../guard.js";
import { onPage } from "../merge.js";
import { ready } from "./hook.js";
import { lines, watch } from "./requests.js";
import { product } from "./shape.js";

/** @typedef {Record<string, any>} Line of a cart, as Shopify answers it */

const PATH = /^(\/[a-z-]+)?\/cart\/(add|change|update|clear)(\.js|\.json)?(\?|$)/;
const CUSTOMER = "backflow.customer";

const page = /** @type {any} */ (window);

/** @type {import("../main.js").Source} */
export const shopify = (emit) => {
  const seen = async (/** @type {string} */ path, /** @type {any} */ body, /** @type {Promise<any>} */ answer) => {
    const [, locale = "", action] = /** @type {string[]} */ (PATH.exec(path));
    const [told, wanted] = await Promise.all([answer, lines(body)]);
    const got = told === undefined ? await ask(locale + "/cart.js") : told; // Who asks for no JSON is answered with a page.
    if (!got || got.status > 399) return; // A refusal: some shops answer it with 200.
    if (action !== "add") return whole(emit, cartOf(got, locale), true);
    const now = got.token
      ? wanted.flatMap(({ id }) => got.items.find((/** @type {Line} */ line) => id == line.id) || [])
      : got.items || [got];
    for (const line of now) {
      // The answer tells the line's new total; how many came now only the request knows.
      // One variant may come twice, engraved and plain.
      const at = wanted.findIndex(({ id }) => id == line.id);
      const { quantity = 1 } = wanted.splice(at, +(at >= 0))[0] || (now.length < 2 && wanted[0]) || {};
      added(emit, { ...lineOf(line), quantity: +quantity, currency: page.Shopify?.currency?.active, checkout_url: locale + "/checkout" });
    }
    whole(emit, cartOf(await ask(locale + "/cart.js"), locale));
  };
  watch(PATH, (path, body, answer) => {
    attributeSoon(1);
    const done = () => attributeSoon(-1);
    seen(path, body, answer()).then(done, done);
  });
  if (page.Shopify) attributeSoon(0);
  // What forms and links have done to the cart, its own page tells.
  onPage(() => {
    const [here, locale = ""] = /^(\/[a-z-]+)?\/cart$/.exec(location.pathname) || [];
    if (here && page.Shopify) {
      ask(locale + "/cart.js")
        .then((now) => {
          whole(emit, cartOf(now, locale), true);
          attributeSoon(0);
        })
        .catch(ignore);
    }
  });
  ready(() => {
    // Who is signed in, by the shop's own number.
    const id = page.__st?.cid;
    if (!id) local.remove(CUSTOMER);
    else if (allowed !== false && local.get(CUSTOMER) != id) {
      local.set(CUSTOMER, id);
      emit("", { userId: "" + id }, 0, "identify");
    }
  });
};

/** Dawn and its children publish what their own cart code has done. @type {import("../main.js").Source} */
export const dawn = (emit) => {
  ready(() =>
    page.Shopify && page.subscribe?.(
      "cart-update",
      guarded(({ source, cartData }) => {
        if (source === "product-form" && !cartData.status) {
          emit("Product Added", { ...lineOf(cartData), quantity: undefined });
        }
      }),
    ),
  );
};

/**
 * A line in Segment's words.
 * @param {Line} line
 */
const lineOf = (line) =>
  product(
    {
      ...line,
      id: line.product_id,
      variant_id: line.variant_id || line.id,
      title: line.product_title || line.title,
      category: line.product_type,
      price: major(line.final_price ?? line.price),
      image: line.image || line.featured_image?.url,
    },
    true,
  );

/**
 * The whole cart.
 * @param {Line} cart
 * @param {string} locale the path's prefix
 */
const cartOf = ({ items, token, currency, total_price }, locale) => {
  const products = items.map(lineOf);
  return {
    cart_id: token?.split("?")[0], // what follows is the cart's secret
    cart_value: major(total_price),
    currency,
    // A link that fills the cart again in any browser.
    checkout_url: `${locale}/cart/${products.map((/** @type {Line} */ line) => line.variant_id + ":" + line.quantity)}`,
    products,
  };
};
