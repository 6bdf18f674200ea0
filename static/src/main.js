// The browser tag of Backflow. Sources see what the shopper does, the recorder makes messages of it, the queue keeps
// them on the device, the sender takes them to the relay. Who the visitor is, only the relay's own cookie says.

import { install, installed } from "./api.js";
import { watchConsent } from "./consent.js";
import { attempt, guarded, on } from "./guard.js";
import { checkConsent, checkKlaviyo, record, watchKlaviyo } from "./recorder.js";
import { startSending } from "./sender.js";
import { relay } from "./settings.js";
import { pages } from "./sources/pages.js";
import { shopifyCart } from "./sources/shopify-cart.js";

/**
 * @typedef {(type: string, call: import("./recorder.js").Call) => void} Emit
 *
 * @typedef {object} Source
 * @property {string} name as it stands in `context.capture`
 * @property {() => boolean} detect whether this page has what the source listens to
 * @property {(emit: Emit) => void} listen
 */

/** @type {Source[]} */
const SOURCES = [pages, shopifyCart];

/** In a frame of another origin there is no shop page to see. */
const foreignFrame = () => !attempt(() => /** @type {Window} */ (window.top).location.href);

attempt(() => {
  if (!relay || installed() || foreignFrame()) return;
  watchConsent(() => checkConsent());
  checkConsent();
  for (const { name, detect, listen } of SOURCES) {
    attempt(() => detect() && listen(guarded((type, call) => record(type, call, name))));
  }
  install();
  on(document, "visibilitychange", checkKlaviyo);
  watchKlaviyo();
  startSending(); // After the sources: what they record when the page goes away is then sent with the rest.
});
