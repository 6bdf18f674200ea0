// Page views: one for each load, for each new path of a single-page shop, and for each return out of the browser's cache.

import { cookiesRead } from "../cookies.js";
import { idle, on } from "../guard.js";
import { told } from "./hook.js";

/** @type {import("../main.js").Source} */
export const pages = (emit) => {
  /** @type {string | undefined} */
  let path;
  const view = () => {
    if (path === location.pathname) return;
    path = location.pathname;
    emit("", {}, 0, "page");
  };
  // Later, because the browser has better to do now, and because a single-page shop sets the title after the address.
  const soon = () => idle(view);

  // The first look at the Navigation API costs more than all the rest here.
  Promise.resolve(cookiesRead).then(() => idle(() => {
    view();
    if (window.navigation) on(window.navigation, "currententrychange", soon);
    else {
      history.pushState = told(history.pushState, () => soon);
      history.replaceState = told(history.replaceState, () => soon);
      on(window, "popstate", soon);
    }
  }));
  on(window, "pagehide", view); // Who leaves before the browser is idle has still seen the page.
  on(window, "pageshow", ({ persisted }) => {
    if (!persisted) return;
    path = undefined;
    soon();
  });
};
