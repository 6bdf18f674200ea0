// What every message says about the page, the browser and the visit.

import { consent } from "./consent.js";
import { listedCookies } from "./cookies.js";
import { attempt } from "./guard.js";
import { klaviyoState } from "./klaviyo.js";
import { VERSION } from "./settings.js";
import { visit } from "./visit.js";

/** The page before this one: the browser's referrer, later the address a single-page shop came from. */
let referrer = document.referrer;
let url = "";

/** What Segment's `page` call says about a page. */
export const pageProperties = () => {
  const here = location.href.split("#")[0];
  if (url && url !== here) referrer = url;
  url = here;
  return { url, path: location.pathname, referrer, title: document.title, search: location.search };
};

/**
 * The context of a message whose sender is known to agree.
 * @param {string} capture the source that saw it
 */
export const fullContext = (capture) => {
  const { clickIds, campaign } = visit();
  const { language, userAgent, webdriver, globalPrivacyControl } = navigator;
  const { width, height } = screen;
  return {
    ...bareContext(capture),
    page: pageProperties(),
    locale: language,
    timezone: attempt(() => Intl.DateTimeFormat().resolvedOptions().timeZone),
    screen: { width, height, density: devicePixelRatio },
    campaign: some(campaign),
    clickIds: some(clickIds),
    cookies: some(listedCookies()),
    klaviyo: klaviyoState(),
    userAgent,
    webdriver: webdriver || undefined,
    gpc: globalPrivacyControl || undefined,
  };
};

/** The context of a message that may say nothing about the visitor. @param {string} capture */
export const bareContext = (capture) => ({
  library: { name: "backflow.js", version: VERSION },
  consent: consent(),
  capture: [capture],
});

/**
 * @template {object} T
 * @param {T} values
 */
const some = (values) => (Object.keys(values).length ? values : undefined);
