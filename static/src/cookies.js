// Cookies are only ever read, and only those the site has listed travel.
//
// The first `document.cookie` of a page makes the main thread wait for another process (tens of ms on a fast phone), so
// where the browser has a cookie store the tag asks that, which makes nothing wait, and is told of changes. Who needs
// a cookie before the store has answered reads it the old way.

import { attempt, ignore, on } from "./guard.js";
import { settings } from "./settings.js";

/** @type {string | undefined} all cookies, in the form of `document.cookie` with a separator before each */
let jar;

const look = () =>
  cookieStore.getAll().then((all) => {
    jar = "";
    for (const { name, value } of all) jar += `; ${name}=${value}`;
  }, ignore);

/** Settles when cookies can be read without waiting, at once where the browser has no store. */
export const cookiesRead = attempt(() => {
  on(cookieStore, "change", look);
  return look();
});

/**
 * @param {string} name
 * @returns {string | undefined} the raw value
 */
export const cookie = (name) => attempt(() => (jar ?? "; " + document.cookie).split(`; ${name}=`)[1]?.split(";")[0]);

/** The listed cookies that are set. */
export const listedCookies = () => {
  /** @type {Record<string, string | undefined>} */
  const values = {};
  for (const name of settings.cookies) values[name] = cookie(name);
  return values;
};
