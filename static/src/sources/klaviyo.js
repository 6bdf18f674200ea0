// What the page tells Klaviyo. The script's stub is a Proxy with a function for every name, which queues its calls: the
// queues are read, and the methods of the object that the script puts in its place. It is never awaited.

import { on } from "../guard.js";
import { calls, property, queue } from "./hook.js";
import { person, report } from "./shape.js";

/** @type {import("../main.js").Source} */
export const klaviyo = (emit) => {
  const read = (/** @type {any} */ [method, ...args]) => {
    if (method === "track") report(emit, args[0], args[1], true);
    if (method === "identify") person(emit, args[0]);
    if (method === "push") read(args[0]);
  };
  queue(window, "_learnq", read);
  queue(window, "_klOnsite", read);
  property(window, "klaviyo", (object) => {
    for (const method of ["track", "identify", "push"]) calls(object, method, (args) => read([method, ...args]));
  });
  on(window, "klaviyoForms", ({ detail }) => /submit/i.test(detail.type) && person(emit, detail.metaData));
};
