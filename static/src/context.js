// What every message says about the page, the browser and the visit.

import { listedCookies } from "./cookies.js";
import { attempt } from "./guard.js";
import { VERSION } from "./settings.js";
import { klaviyoState } from "./sources/index.js";
import { tidied, visit } from "./visit.js";

/** The page before this one: the browser's referrer, later the address a single-page shop came from. */
let referrer = tidied(document.referrer);
let url = "";

/** What Segment's `page` call says about a page. */
const page = () => {
  const { href, pathname: path } = location;
  const here = tidied(href.split("#")[0]);
  if (url && url !== here) referrer = url;
  url = here;
  return { url, path, referrer, title: document.title, search: tidied(location.search) };
};

/** The context of a message that may say nothing about the visitor. */
export const BARE = { library: { name: "backflow.js", version: VERSION } };

/** The context of a message whose sender is known to agree, or has not been asked yet. */
export const fullContext = () => {
  const { language: locale, userAgent, webdriver, globalPrivacyControl: gpc } = navigator;
  const { width, height } = screen;
  return {
    ...BARE,
    ...visit(),
    page: page(),
    locale,
    // Intl only where Temporal is unknown: its first answer takes 30 ms of a fast phone's time.
    timezone: attempt(() => window.Temporal?.Now.timeZoneId() ?? Intl.DateTimeFormat().resolvedOptions().timeZone),
    screen: { width, height, density: devicePixelRatio },
    cookies: listedCookies(),
    klaviyo: klaviyoState(),
    userAgent,
    webdriver,
    gpc,
  };
};
