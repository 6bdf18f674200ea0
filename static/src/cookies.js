// Cookies are only ever read, and only those the site has listed travel.

import { attempt } from "./guard.js";
import { settings } from "./settings.js";

/**
 * @param {string} name
 * @returns {string | undefined} the raw value
 */
export const cookie = (name) => attempt(() => ("; " + document.cookie).split(`; ${name}=`)[1].split(";")[0]);

/** The listed cookies that are set. */
export const listedCookies = () => {
  /** @type {Record<string, string> | undefined} undefined: none */
  let values;
  for (const name of settings.cookies) {
    const value = cookie(name);
    if (value) values = { ...values, [name]: value };
  }
  return values;
};
