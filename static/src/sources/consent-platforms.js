// What the consent platforms say of the shopper's choice.

import { decision } from "../consent.js";
import { attempt, guarded, ignore } from "../guard.js";

/**
 * @typedef {[marketing?: unknown, analytics?: unknown]} Answer without marketing: the shopper has not chosen yet; empty:
 *   the platform's script has not arrived
 *
 * @typedef {(page: Window) => Answer | undefined | false} Platform something falsy when it is not on the page
 */

let loading = false;
/** @type {unknown} */
let heard;
/** @type {Answer} */
let tcf = [];
/** @type {Answer | undefined} */
let google;

/**
 * One for each platform; one that throws has not answered.
 * @type {Record<string, Platform>}
 */
const PLATFORMS = {
  /** `marketingAllowed()` is false both for "no" and for "not asked yet"; `currentVisitorConsent()` tells which. */
  shopify({ Shopify }) {
    if (!__SHOPIFY__) return;
    const privacy = Shopify?.customerPrivacy;
    if (privacy) {
      return [
        privacy.marketingAllowed() || (privacy.currentVisitorConsent().marketing === "no" ? 0 : undefined),
        privacy.analyticsProcessingAllowed?.(),
      ];
    }
    if (Shopify?.loadFeatures && !loading) {
      loading = true;
      Shopify.loadFeatures([{ name: "consent-tracking-api", version: "0.1" }], ignore);
    }
    return loading && [];
  },

  /** Purposes 1 (storage), 4 (personalised) and 8 (measurement). While the banner is open nothing new is chosen. */
  tcf({ __tcfapi }) {
    if (__tcfapi && __tcfapi !== heard) {
      heard = __tcfapi;
      __tcfapi("addEventListener", 2, guarded((/** @type {any} */ { eventStatus, gdprApplies, purpose }) => {
        if (eventStatus === "cmpuishown") {
          tcf.length ||= 1;
          return;
        }
        const yes = purpose?.consents;
        tcf = gdprApplies === false ? [true, true] : [(yes[1] && yes[4]) || 0, yes[1] && yes[8]];
      }));
    }
    return __tcfapi && tcf;
  },

  /** `OptanonWrapper` stands in the page before the script has arrived. */
  onetrust({ OneTrust, OptanonWrapper, OnetrustActiveGroups }) {
    const marketing = /C0004/.test(OnetrustActiveGroups);
    return (
      (OneTrust || OptanonWrapper) && [
        marketing || OneTrust.IsAlertBoxClosed() ? marketing : undefined,
        /C0002/.test(OnetrustActiveGroups),
      ]
    );
  },

  /** Before the script has arrived this is its script element, which has no answers. */
  cookiebot({ Cookiebot }) {
    return Cookiebot && [Cookiebot.hasResponse ? Cookiebot.consent.marketing : undefined, Cookiebot.consent.statistics];
  },

  /** A denied default, for whichever region, is no choice yet; an update is one. */
  google({ dataLayer }) {
    for (const entry of dataLayer ?? []) {
      const says = entry?.[0] === "consent" && entry[2];
      if (!says?.ad_storage) continue;
      const chosen = entry[1] === "update";
      if (chosen || !google || google[0]) {
        google = [says.ad_storage === "granted" || (chosen ? 0 : undefined), says.analytics_storage === "granted"];
      }
    }
    return google;
  },
};

/**
 * The first platform that knows of a choice. Else the first that is on the page without one; but where none of them has
 * arrived yet, what was kept of their answers holds.
 * @param {import("../consent.js").Consent | undefined} kept
 * @returns {import("../consent.js").Consent | undefined}
 */
export const platformConsent = (kept) => {
  /** @type {import("../consent.js").Consent | undefined} */
  let silent;
  let arrived;
  for (const [source, ask] of Object.entries(PLATFORMS)) {
    const answer = attempt(() => ask(window) || 0) ?? [];
    if (answer) {
      if (answer[0] !== undefined) return decision(answer[0], answer[1], source);
      silent ??= { source };
      arrived ||= answer.length;
    }
  }
  return arrived ? silent : kept || silent;
};
