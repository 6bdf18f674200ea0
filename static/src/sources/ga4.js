// Google's data layer: pushed objects, and gtag's calls, which are Arguments objects.

import { queue } from "./hook.js";
import { person, report } from "./shape.js";

/** @type {import("../main.js").Source} */
export const ga4 = (emit) => {
  queue(window, "dataLayer", (item) => {
    const [command, name, values] = item.length ? item : ["event", item.event, item.ecommerce || { ...item, event: undefined }];
    if (command === "event") report(emit, name, values);
    person(emit, name === "user_data" ? values : item.user_data);
  });
};
