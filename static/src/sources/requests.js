// Sees the page's own requests to some paths of the shop. The page's call runs first and unchanged.

import { attempt, guarded, ignore, on, parsed } from "../guard.js";

/**
 * @typedef {object} Seen
 * @property {string} path
 * @property {unknown} body what the page sent, as it gave it
 * @property {Promise<any>} answer the JSON of a successful answer; anything falsy, or a rejection, when there is none
 */

/**
 * @param {RegExp} paths on the page's own origin
 * @param {(seen: Seen) => void} seen called while the request is under way
 */
export const watchRequests = (paths, seen) => {
  const notify = guarded(seen);

  /** @param {unknown} url */
  const matching = guarded((url) => {
    const { origin, pathname } = new URL(String(url), document.baseURI);
    return origin === location.origin && paths.test(pathname) ? pathname : "";
  });

  const { fetch } = window;
  if (fetch) {
    window.fetch = function (input, init) {
      const path = matching(input instanceof Request ? input.url : input);
      // The body of a Request can be read once: by the browser, so ours is a copy made before.
      const copy = path && input instanceof Request && attempt(() => input.clone());
      const response = fetch.apply(this, /** @type {any} */ (arguments));
      if (path) {
        attempt(() => {
          const answer = response.then((got) => got.ok && got.clone().json());
          answer.catch(ignore);
          notify({ path, body: init && init.body !== undefined ? init.body : copy, answer });
        });
      }
      return response;
    };
  }

  /** @type {WeakMap<XMLHttpRequest, string>} */
  const opened = new WeakMap();
  const { open, send } = XMLHttpRequest.prototype;
  XMLHttpRequest.prototype.open = function () {
    opened.set(this, matching(arguments[1]) || "");
    return open.apply(this, /** @type {any} */ (arguments));
  };
  XMLHttpRequest.prototype.send = function (body) {
    const path = opened.get(this);
    if (path) {
      attempt(() => {
        /** @type {Promise<any>} */
        const answer = new Promise((resolve) => {
          on(this, "load", () => {
            const { status, responseType, response } = this;
            resolve(status > 199 && status < 300 && (responseType === "json" ? response : parsed(this.responseText)));
          });
        });
        notify({ path, body, answer });
      });
    }
    return send.apply(this, /** @type {any} */ (arguments));
  };
};
