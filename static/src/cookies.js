// Cookies are only ever read, and only those the site has listed travel.

import { guarded } from "./guard.js";
import { settings } from "./settings.js";

/**
 * @param {string} name
 * @returns {string | undefined} the raw value
 */
export const cookie = guarded((/** @type {string} */ name) => {
  const start = name + "=";
  const found = document.cookie.split("; ").find((part) => part.startsWith(start));
  return found && found.slice(start.length);
});

/**
 * The listed cookies that are set. A Shopify cart token ends where its secret `?key=` begins.
 * @returns {Record<string, string>}
 */
export const listedCookies = () => {
  /** @type {Record<string, string>} */
  const values = {};
  for (const name of settings.cookies) {
    const value = cookie(name);
    if (value) values[name] = withoutCartKey(value);
  }
  return values;
};

/** @param {string} token */
export const withoutCartKey = (token) => token.split(/(?:\?|%3F)key(?:=|%3D)/i)[0];
