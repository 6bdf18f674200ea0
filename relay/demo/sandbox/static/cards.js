// Builders of the page's pieces. Everything received is set as text, never as markup.

import * as words from "/_page/words.js";

/** An element with attributes and children; null children are left out, strings become text. */
export function el(name, attributes = {}, ...children) {
  const node = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    node.setAttribute(key, value === true ? "" : String(value));
  }
  node.append(...children.filter((child) => child !== null && child !== undefined && child !== ""));
  return node;
}

export function eventCard(event) {
  const { name, badge, kind } = words.metric(event);
  const goods = words.products(event);
  const value = words.money(event.value, event.value_currency);
  return el("li", { class: `card event ${kind}`, "data-id": event.id },
    thumbnail(goods, name),
    el("div", { class: "body" },
      el("div", { class: "title" },
        el("h3", {}, name),
        el("span", { class: `badge ${kind}`, title: event.metric }, badge),
        value ? el("span", { class: "value" }, value) : null),
      productLines(goods, event.value_currency),
      el("p", { class: "meta" },
        el("span", { class: "who" }, avatar(event.profile), el("span", {}, words.person(event.profile))),
        el("time", { "data-at": event.time, datetime: new Date(event.time * 1000).toISOString(), title: words.exact(event.time) }),
        flows(event),
        event.deduplicated_repeats
          ? el("span", { class: "pill", title: "Sent again with the same unique_id; Klaviyo counts the first only" },
            event.deduplicated_repeats === 1 ? "1 repeat ignored" : `${event.deduplicated_repeats} repeats ignored`)
          : null),
      reasons(event, kind),
      raw(event)));
}

/** A change of lists or consent: slimmer than an event. */
export function changeCard(change) {
  const { title, mark, tone, badge, note } = words.change(change);
  return el("li", { class: `card change ${tone}`, "data-id": change.id },
    el("span", { class: "mark", "aria-hidden": "true" }, mark),
    el("div", { class: "body" },
      el("div", { class: "title" }, el("h3", {}, title), el("span", { class: "badge api" }, badge)),
      el("p", { class: "meta" },
        el("span", { class: "who" }, avatar(change.profile), el("span", {}, words.person(change.profile))),
        el("time", { "data-at": change.at, datetime: new Date(change.at * 1000).toISOString(), title: words.exact(change.at) }),
        change.source ? el("span", { class: "pill source", title: "Where the person said so" }, `source: ${change.source}`) : null),
      note ? el("p", { class: change.not_on_list ? "note bad" : "note" }, note) : null));
}

function thumbnail(goods, name) {
  const pictures = goods.filter((item) => item.image).slice(0, 3);
  const box = el("div", { class: `thumb n${Math.max(1, pictures.length)}`, "aria-hidden": "true" });
  const letter = () => el("span", {}, (goods[0]?.name ?? name).trim().charAt(0).toUpperCase() || "?");
  if (!pictures.length) box.append(letter());
  for (const item of pictures) {
    const image = el("img", { src: item.image, alt: "", loading: "lazy", decoding: "async", referrerpolicy: "no-referrer" });
    image.addEventListener("error", () => {
      image.remove();
      if (!box.childNodes.length) box.append(letter());
    }, { once: true });
    box.append(image);
  }
  return box;
}

function productLines(goods, currency) {
  if (!goods.length) return null;
  const lines = goods.slice(0, 3).map((item) => el("li", {},
    el("span", { class: "product" }, item.quantity ? `${item.quantity} × ${item.name}` : item.name),
    item.price === null ? null : el("span", { class: "price" }, words.money(item.price, currency))));
  if (goods.length > 3) lines.push(el("li", { class: "rest" }, `and ${goods.length - 3} more`));
  return el("ul", { class: "products" }, ...lines);
}

function flows(event) {
  return event.triggers_flows
    ? el("span", { class: "pill flow", title: "A flow that starts from this metric would start now" }, "would trigger flows")
    : el("span", { class: "pill quiet", title: "backfill: recorded for history and segments; no flow starts" }, "recorded only");
}

function reasons(event, kind) {
  const { sentence, evidence, confidence } = words.why(event);
  const percent = confidence === null ? null : Math.round(confidence * 100);
  const meter = percent === null ? null : el("span", { class: "sure" }, gauge(percent), el("span", {}, `${percent} % sure`));
  return el("div", { class: `why ${kind}` },
    el("strong", {}, kind === "native" ? "Why Klaviyo sent it" : "Why this was sent"),
    el("p", {}, sentence, evidence ? el("span", { class: "evidence" }, " Recognised by: ", el("em", {}, evidence)) : null),
    meter);
}

function gauge(percent) {
  const fill = el("span", { class: percent < 50 ? "low" : percent < 80 ? "middle" : "high" });
  fill.style.width = `${percent}%`;
  return el("span", { class: "gauge", "aria-hidden": "true" }, fill);
}

function raw(event) {
  const shown = { ...event };
  delete shown.id;
  const details = el("details", {}, el("summary", {}, "Raw event"));
  details.addEventListener("toggle", () => {
    if (details.open && details.childNodes.length === 1) details.append(el("pre", { tabindex: 0 }, JSON.stringify(shown, null, 2)));
  });
  return details;
}

function avatar(profile) {
  const text = words.person(profile);
  const initials = text.includes("@") ? text.charAt(0) : text.split(/\s+/).slice(0, 2).map((part) => part.charAt(0)).join("");
  let hue = 0;
  for (const character of profile.id ?? text) hue = (hue * 31 + character.codePointAt(0)) % 360;
  return el("span", { class: `avatar h${Math.floor(hue / 45)}`, "aria-hidden": "true" }, initials.toUpperCase().replace(/[^\p{L}\p{N}]/gu, "•") || "?");
}

/** A person; `lists` names lists by their id. */
export function profileCard(profile, count, chosen, lists) {
  const name = words.person(profile);
  const facts = [
    profile.email && profile.email !== name ? ["E-mail", profile.email] : null,
    profile.phone_number && profile.phone_number !== name ? ["Phone", profile.phone_number] : null,
    words.place(profile) ? ["Place", words.place(profile)] : null,
    profile.external_id ? ["Customer ID", profile.external_id] : null,
    ["E-mail consent", words.consent(profile.consent)],
    profile.phone_number || profile.consents.sms.consent !== "NEVER_SUBSCRIBED"
      ? ["SMS consent", words.consent(profile.consents.sms.consent)] : null,
    profile.lists.length ? ["Lists", profile.lists.map((id) => lists.get(id) ?? id).join(", ")] : null,
    ...Object.entries(profile.properties ?? {}).map(([key, value]) =>
      [key, typeof value === "object" ? JSON.stringify(value) : String(value), "custom"]),
  ].filter(Boolean);
  const button = el("button", { type: "button", class: "choose", "aria-pressed": chosen ? "true" : "false", title: "Show this person's events" },
    avatar(profile),
    el("span", { class: "name" }, name),
    el("span", { class: "count" }, count === 1 ? "1 event" : `${count} events`));
  return el("li", { class: `card profile${chosen ? " chosen" : ""}`, "data-id": profile.id },
    button,
    el("dl", {}, ...facts.map(([key, value, kind]) => el("div", { class: kind ?? false }, el("dt", {}, key), el("dd", {}, value)))));
}

export function emptyState(shopUrl, chosen) {
  if (chosen) return el("p", {}, "No events of this kind yet.");
  const shop = shopUrl
    ? el("a", { href: shopUrl, target: "_blank", rel: "noopener" }, shopUrl.replace(/^https?:\/\//, "").replace(/\/$/, ""))
    : el("strong", {}, "the demo shop");
  return el("div", { class: "start" },
    el("div", { class: "basket", "aria-hidden": "true" }),
    el("h3", {}, "Nothing has arrived yet"),
    el("p", {}, "Open the shop at ", shop, " and put something in the cart. This page updates by itself."));
}

export function troubleCard(title, lines) {
  return el("div", { class: "card trouble" }, el("h3", {}, title), el("ul", {}, ...lines.map((line) => el("li", {}, line))));
}
