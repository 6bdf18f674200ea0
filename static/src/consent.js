// May anything be stored and sent? The shop's call, a consent platform on the page, or the site's setting decides.

import { cookie } from "./cookies.js";
import { attempt, guarded, on, parsed } from "./guard.js";
import { settings } from "./settings.js";
import { local } from "./storage.js";

/**
 * @typedef {object} Consent
 * @property {boolean} [marketing] absent: not known yet
 * @property {boolean} [analytics]
 * @property {string} source who said so: `api`, `shopify`, `__kla_off`, or the platform that has not answered
 */

export const CONSENT = "backflow.consent"; // where the shopper's own decision is kept
const SHOPIFY = "shopify";

/** @type {Consent | undefined} what Shopify's banner has just told */
let collected;
let loading = false;

/**
 * @returns {Consent | undefined} undefined: nobody on the page speaks about consent
 */
export const consent = () => {
  // Klaviyo's own switch-off stands above any other word.
  if (cookie("__kla_off") === "true") return { marketing: false, source: "__kla_off" };
  return parsed(local.get(CONSENT)) || attempt(shopifyConsent) || otherPlatform();
};

/**
 * @returns {boolean | undefined} undefined: not decided yet, so nothing may be stored or sent, only kept in memory
 */
export const allowed = () => {
  // A page the browser prepares in advance may never be seen by anybody.
  if (document.prerendering) return undefined;
  if (settings.consent === "assumed") return true;
  const { marketing, source } = consent() || {};
  return marketing === undefined && !source && settings.consent === "auto" ? true : marketing;
};

/** @param {{ marketing?: boolean, analytics?: boolean }} choice */
export const decide = (choice) =>
  local.set(CONSENT, JSON.stringify(decision(choice.marketing, choice.analytics, "api")), true);

/**
 * Calls back when a platform on the page has news.
 * @param {() => void} changed
 */
export const watchConsent = (changed) => {
  on(document, "visitorConsentCollected", ({ detail }) => {
    collected = decision(detail.marketingAllowed, detail.analyticsAllowed, SHOPIFY);
    changed();
  });
  on(document, "prerenderingchange", changed);
  const { Shopify } = window;
  if (Shopify && Shopify.loadFeatures && !Shopify.customerPrivacy && settings.consent !== "assumed") {
    loading = true;
    Shopify.loadFeatures([{ name: "consent-tracking-api", version: "0.1" }], guarded(changed));
  }
};

/**
 * Shopify's `marketingAllowed()` is false both for "no" and for "not asked yet"; `currentVisitorConsent()` tells which.
 * @returns {Consent | undefined}
 */
const shopifyConsent = () => {
  if (collected) return collected;
  const privacy = (window.Shopify || {}).customerPrivacy || {};
  if (!privacy.marketingAllowed) return loading ? { source: SHOPIFY } : undefined;
  const marketing = privacy.marketingAllowed();
  const known = marketing || attempt(() => privacy.currentVisitorConsent().marketing) === "no";
  return known ? decision(marketing, attempt(() => privacy.analyticsProcessingAllowed()), SHOPIFY) : { source: SHOPIFY };
};

/**
 * @param {unknown} marketing
 * @param {unknown} analytics
 * @param {string} source
 * @returns {Consent}
 */
const decision = (marketing, analytics, source) => ({ marketing: !!marketing, analytics: !!analytics, source });

/** @returns {Consent | undefined} */
const otherPlatform = () => {
  const source = window.__tcfapi ? "tcf" : window.OneTrust ? "onetrust" : window.Cookiebot ? "cookiebot" : "";
  return source ? { source } : undefined;
};
