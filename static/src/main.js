// The browser tag of Backflow. Sources see what the shopper does, the recorder makes messages of it, the queue keeps
// them on the device, the sender takes them to the relay. Who the visitor is, only the relay's own cookie says.

import { install, installed } from "./api.js";
import { attempt, guarded, on } from "./guard.js";
import { startSending } from "./sender.js";
import { relay } from "./settings.js";
import { look, seen, SOURCES } from "./sources/index.js";

const LOOK = 1800; // ms between two looks at what tells nobody when it changes; less than sightings of one action may lie apart

/**
 * @callback Emit records what a source has seen
 * @param {string} event
 * @param {Record<string, any>} properties of the event; of a call that is no `track`, all that it says
 * @param {number} [wait] ms that its request may wait for what is still to be added
 * @param {string} [type] of a call that is no `track`
 * @returns {import("./merge.js").Entry | undefined}
 *
 *
 * @callback Source listens; its name is what stands in `context.capture`
 * @param {Emit} emit
 * @returns {void}
 */

attempt(() => {
  // A frame shows a part of a page, and the page around it has a tag of its own.
  if (!relay || installed() || window.top !== window) return;
  install(); // Before the sources: what the shop itself has said comes first, and theirs is added to it.
  for (const [name, listen] of SOURCES) {
    attempt(() => listen(guarded((event, properties, wait, type) => seen(type || "track", type ? properties : { event, properties }, name, wait))));
  }
  on(window, "pagehide", look);
  on(document, "prerenderingchange", look);
  setInterval(guarded(look), LOOK);
  startSending(); // After the sources: what they record when the page goes away is then sent with the rest.
});
