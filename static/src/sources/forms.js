// What shoppers hand over themselves: their address in a form they submit, a product in a form that needs no script.

import { attempt, ignore, on } from "../guard.js";
import { posted, shown } from "../merge.js";
import { told } from "./hook.js";
import { asked, lines, watch } from "./requests.js";
import { variantShown } from "./schema.js";
import { person } from "./shape.js";

/** Fields that are not to be read, or not of whoever pays. */
const NOT_THEIRS = /card|\bcc-|\boff\b|gift|recipient|search|sender|shipping/i;
/** Fields and forms for somebody else's address. */
const A_FRIENDS = /friend(?!ly)|(^|[^p])refer|invit|share(?!d)/i;
const CART = /\/cart\/add/;

/** @type {import("../main.js").Source} */
export const forms = (emit) => {
  /** @type {Set<any>} fields the shopper has left and may still submit */
  const left = new Set();
  const hand = (/** @type {Iterable<any>} */ fields) => {
    /** @type {Record<string, any>} */
    const found = {};
    for (const field of fields) {
      const kind = kindOf(field);
      const value = kind && field.value.trim();
      // Two different ones: whose is which, nobody can tell.
      if (kind && value) found[kind] = kind in found && found[kind] !== value ? 0 : value;
      left.delete(field);
    }
    person(emit, found);
  };
  const submitted = (/** @type {any} */ form, /** @type {any} */ button = undefined) => {
    const isCart = CART.test(form.getAttribute("action"));
    if (!isCart && !form["add-to-cart"]) return; // The page may listen to every reading of a form.
    const data = new FormData(form);
    if (button?.name) data.append(button.name, button.value);
    lines(data).then((all) => {
      const told = [];
      for (const line of all) {
        if (!isCart && !line["add-to-cart"]) continue;
        const product = asked(line, __SHOPIFY__ && window.Shopify);
        told.push(emit("Product Added", { ...((__SHOPIFY__ && variantShown(product.variant_id)) || shown(product)), ...product }));
      }
      posted(told);
    }, ignore);
  };
  on(document, "submit", ({ target }) => hand(target.elements));
  // Once the page has had its say: who sends the form by script, sends a request that is seen.
  window.addEventListener("submit", (event) => attempt(() => event.defaultPrevented || submitted(event.target, event.submitter)));
  const { prototype } = HTMLFormElement;
  prototype.submit = told(prototype.submit, (_, form) => {
    hand(form.elements);
    submitted(form);
  });
  on(document, "focusout", ({ target }) => kindOf(target) && left.add(target));
  // A field without a form has been handed over when its value goes to the shop itself.
  watch({ test: () => left.size > 0 }, async (_, body) => {
    if (body instanceof Request) body = await body.text();
    const sent = typeof body === "string" ? body : [.../** @type {any} */ (body || [])].join();
    hand([...left].filter(({ value }) => sent.includes(value) || sent.includes(encodeURIComponent(value))));
  });
};

/**
 * `email`, `phone`, or nothing for a field that is not to be read.
 * @param {any} field
 */
const kindOf = (field) => {
  const { type, name, id, autocomplete, placeholder, form } = field;
  const words = [type, name, id, autocomplete, form?.autocomplete].join(" ");
  if (!/^(email|tel|text)$/.test(type) || NOT_THEIRS.test(words) || field.closest("[data-backflow-ignore]")) return;
  if (/friend|recipient/i.test(placeholder) || A_FRIENDS.test([words, form?.id, form?.className].join())) return;
  return /e-?mail/i.test(words) ? "email" : /\btel|phone|mobile/i.test(words) ? "phone" : undefined;
};
