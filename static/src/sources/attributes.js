// Markup instead of script: `data-backflow-event="Product Added"` on a link, a button or a form tells of its click or
// submission, `data-backflow-view="Product Viewed"` of the page itself. Every other `data-backflow-*` on the element or
// around it is a property, the nearest counting: `data-backflow-product-id="7"` is `product_id`.

import { on } from "../guard.js";
import { onPage } from "../merge.js";
import { report } from "./shape.js";

/** @type {import("../main.js").Source} */
export const attributes = (emit) => {
  const tell = (/** @type {HTMLElement} */ element) => {
    /** @type {Record<string, any>} */
    const properties = {};
    for (let node = /** @type {HTMLElement | null} */ (element); node; node = node.parentElement) {
      for (const key in node.dataset) {
        const [, name] = /^backflow([A-Z].*)/.exec(key) || [];
        if (name) properties[name.replace(/(?!^)[A-Z]/g, "_$&").toLowerCase()] ??= node.dataset[key];
      }
    }
    const { event, view, ...rest } = properties;
    report(emit, event || view, rest, true);
  };
  const act = (/** @type {any} */ { type, target }) => {
    const element = target.closest("[data-backflow-event]");
    if (element && (type === "submit") === (element.localName === "form")) tell(element);
  };
  on(document, "click", act);
  on(document, "submit", act);
  onPage(() => document.querySelectorAll("[data-backflow-view]").forEach((element) => tell(/** @type {HTMLElement} */ (element))));
};
