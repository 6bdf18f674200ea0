// Who the site is and where its relay stands. The relay writes the settings in when it serves the tag.

/**
 * @typedef {object} Settings
 * @property {string} writeKey the site's public key
 * @property {string[]} cookies names of the cookies that may travel
 * @property {Record<string, number>} clickIds days that each URL parameter is kept
 * @property {"auto" | "required" | "assumed"} consent what to do without a consent signal
 */

/** @type {Settings} */
export const settings = __BACKFLOW_SETTINGS__;

export const VERSION = __BACKFLOW_VERSION__;

/** The relay's address up to where `/tag.js` begins; nothing when the tag cannot tell. */
export const relay = /** @type {HTMLScriptElement | null} */ (document.currentScript)?.src.split("/tag.js")[0];
