// Page views: one for each load, and one for each new path of a single-page shop.

import { on } from "../guard.js";

/** @type {import("../main.js").Source} */
export const pages = {
  name: "page",
  detect: () => true,
  listen(emit) {
    /** @type {string} */
    let path;
    const look = () => {
      if (path === location.pathname || document.prerendering) return;
      path = location.pathname;
      emit("page", {});
    };
    // Later, because the browser has better to do now, and because a single-page shop sets the title after the address.
    const soon = () => ("requestIdleCallback" in window ? requestIdleCallback(look, { timeout: 1000 }) : setTimeout(look));

    for (const name of /** @type {const} */ (["pushState", "replaceState"])) {
      const original = history[name];
      history[name] = function (...args) {
        original.apply(this, args);
        soon();
      };
    }
    on(window, "popstate", soon);
    on(document, "prerenderingchange", soon);
    on(window, "pagehide", look); // Who leaves before the browser is idle has still seen the page.
    soon();
  },
};
