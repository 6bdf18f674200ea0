// Google's data layer: pushed objects, and gtag's calls, which are Arguments objects.

import { queue } from "./hook.js";
import { person, report } from "./shape.js";

/** @type {import("../main.js").Source} */
export const ga4 = (emit) => {
  queue(window, "dataLayer", (item) => {
    const { event, user_data, ...rest } = item;
    const [command, name, values] = item.length ? item : ["event", event, rest.ecommerce || rest];
    person(emit, name === "user_data" ? values : user_data);
    if (command === "event") report(emit, name, values);
  });
};
