// Meta's pixel.

import { guarded } from "../guard.js";
import { property, told } from "./hook.js";
import { person, report } from "./shape.js";

/** @type {import("../main.js").Source} */
export const meta = (emit) => {
  const read = guarded((/** @type {any} */ [command, ...args]) => {
    if (/Single/.test(command)) args.shift(); // the pixel's ID
    const [name, values, options] = args;
    if (command === "init") person(emit, values);
    else if (/^track/.test(command)) report(emit, name, { ...values, event_id: options?.eventID });
  });
  /** @type {any[] | undefined} */
  let queue;
  property(window, "fbq", (fbq) => {
    if (queue !== fbq.queue) (queue = fbq.queue)?.forEach(read); // Who wraps the pixel keeps its queue.
    return told(fbq, (args) => () => read(args));
  });
};
