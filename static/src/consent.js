// May anything be stored and sent? The shop's call, a consent platform on the page, or the site's setting decides.
// Platforms are asked whenever something is recorded and every few seconds, so none has to be there before the tag.

import { cookie } from "./cookies.js";
import { parsed } from "./realm.js";
import { settings } from "./settings.js";
import { platformConsent } from "./sources/index.js";
import { local } from "./storage.js";

/**
 * @typedef {object} Consent
 * @property {boolean} [marketing] absent: not known yet
 * @property {boolean} [analytics]
 * @property {string} source who said so: `api`, `__kla_off` or a platform
 */

/** The last decision. The shop's own call decides on later pages too; a platform's does until it is there and says more. */
export const CONSENT = "backflow.consent";

/** @type {any} what the shop has just told */
let told;

/**
 * Whatever a shop may write for a yes other than `true`, it may write the like for a no: "denied", "false".
 * @param {unknown} marketing
 * @param {unknown} analytics
 * @param {string} source
 * @returns {Consent}
 */
export const decision = (marketing, analytics, source) => ({ marketing: marketing === true, analytics: analytics === true, source });

/** The shop has asked the shopper. @param {any} [choice] without it: what was decided is kept */
export const decide = (choice) => {
  told = choice === false ? {} : choice;
};

/** @returns {Consent | undefined} who on the page speaks about consent; undefined: nobody */
const asked = () => {
  const own = told ?? parsed(local.get(CONSENT));
  // The stub names no source.
  const api = told || (own && (own.source ?? "api") == "api") ? decision(own.marketing, own.analytics, "api") : undefined;
  // Klaviyo's own switch-off stands above any other word; but a refusal told to the shop outlives it.
  if (cookie("__kla_off") === "true" && (!api || api.marketing)) return decision(0, 0, "__kla_off");
  return api ?? platformConsent(own?.source === "__kla_off" ? undefined : own);
};

/** @type {Consent | undefined} as last asked; undefined: nobody on the page speaks about consent */
export let consent;

/** @type {boolean | undefined} undefined: not decided yet, so nothing may be stored or sent, only kept in memory */
export let allowed;

/** Asks again. */
export const askConsent = () => {
  consent = asked();
  // A page the browser prepares in advance may never be seen by anybody.
  allowed = document.prerendering
    ? undefined
    : consent?.marketing ?? (settings.consent === "assumed" || (settings.consent === "auto" && !consent) || undefined);
};
