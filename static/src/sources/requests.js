// Sees the page's own requests to its own origin, and what they carry. The page's call runs first and unchanged.

import { attempt, ignore, on } from "../guard.js";
import { parsed } from "../realm.js";
import { told } from "./hook.js";
import { product } from "./shape.js";

/** @typedef {Record<string, any>} Fields */
/**
 * @callback Seen called while the request is under way
 * @param {string} path with its query
 * @param {unknown} body what the page sent, as it gave it
 * @param {() => Promise<any>} answer the JSON of a successful answer, `undefined` of one that is none, `false` or a
 *   rejection otherwise. To be asked for at once: later the page has read the answer
 * @returns {Promise<void> | void}
 */

const FIELD = /^(?:items\[(\d*)\]\[)?([\w-]+)[[\]]*$/;

/** @type {[{ test: (path: string) => boolean }, Seen][]} */
const watchers = [];

/**
 * @param {{ test: (path: string) => boolean }} paths
 * @param {Seen} seen
 */
export const watch = (paths, seen) => watchers.push([paths, seen]);

/**
 * Who watches this address; nothing when nobody does.
 * @param {any} url
 * @returns {((body: unknown, answer: () => Promise<any>) => void) | undefined}
 */
const watching = (url) => {
  const { origin, pathname, search } = new URL(url.url || url, document.baseURI);
  const path = pathname + search;
  const found = watchers.filter(([paths]) => origin === location.origin && paths.test(path));
  return found[0] && ((body, answer) => found.forEach(([_, seen]) => attempt(() => seen(path, body, answer)?.catch(ignore))));
};

/** @type {import("../main.js").Source} */
export const requests = () => {
  /** @type {WeakMap<XMLHttpRequest, any>} */
  const opened = new WeakMap();
  const { prototype } = XMLHttpRequest;
  prototype.open = told(prototype.open, ([_, url], request) => {
    opened.set(request, watching(url));
  });
  prototype.send = told(prototype.send, ([body], request) =>
    opened.get(request)?.(
      body,
      () =>
        new Promise((resolve) =>
          on(request, "loadend", () => {
            const { status, response } = request;
            resolve(status > 199 && status < 300 && (typeof response === "string" ? parsed(response) : response));
          }),
        ),
    ),
  );
  window.fetch = told(window.fetch, ([input, init]) => {
    const tell = watching(input);
    // The body of a Request can be read once: by the browser, so ours is a copy made before.
    const body = tell && (init?.body ?? attempt(() => input.clone()));
    return tell && ((response) => tell(body, () => response.then((/** @type {Response} */ got) => got.ok && got.clone().json().catch(ignore))));
  });
};

/**
 * The lines of whatever a page sends to its cart: JSON, a form, or a form's text; one, or `items` of them.
 * @param {any} body
 * @returns {Promise<Fields[]>}
 */
export const lines = async (body) => {
  if (body instanceof Request) body = /json/.test(body.headers.get("Content-Type") || "") ? await body.text() : await body.formData();
  const json = parsed(body);
  if (json) return json.items || json.requests || [json];
  /** @type {Record<string, Fields>} by their number: a page may leave some out */
  const found = {};
  const fields = typeof body === "string" ? new URLSearchParams(body) : body;
  for (const [name, value] of fields || []) {
    const [, index = 0, field] = FIELD.exec(name) || [];
    if (field) (found[index] ||= {})[field] = value;
  }
  return Object.values(found);
};

/**
 * What one of these lines asks for, in Segment's words.
 * @param {Fields} line
 * @param {unknown} [variants] whether a bare `id` is a variant's, as at Shopify
 */
export const asked = (line, variants) =>
  product({
    product_id: line.product_id || line["product-id"] || line["add-to-cart"] || line.product || (variants ? "" : line.id),
    variant_id: variants ? line.id : +line.variation_id || "",
    quantity: +(line.quantity || line.qty || 1),
  });
