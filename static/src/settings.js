// Who the site is and where its relay stands. The relay writes the settings in when it serves the tag.

/**
 * @typedef {object} Settings
 * @property {string} writeKey the site's public key
 * @property {string[]} cookies names of the cookies that may travel
 * @property {string[]} clickIds names of the URL parameters kept for the visit
 * @property {"auto" | "required" | "assumed"} consent what to do without a consent signal
 */

/** @type {Settings} */
export const settings = __BACKFLOW_SETTINGS__;

export const VERSION = __BACKFLOW_VERSION__;

const script = /** @type {HTMLScriptElement | null} */ (
  document.currentScript || document.querySelector('script[src*="/tag.js?key="]')
);

/** The relay's address up to where `/tag.js` begins; empty when the tag cannot tell. */
export const relay = script && script.src ? script.src.split("/tag.js")[0] : "";
