// Backflow for Shopify's checkout, as a custom pixel: Settings > Customer events > Add custom pixel. Paste this file, fill
// in the two lines below, and under "Customer privacy" choose what the shop needs (marketing).
//
// Themes end where the checkout begins: what happens there, Shopify tells only to pixels. This one tells the relay who
// starts a checkout, who gives an address, and what is ordered. It sends in the page's name (`browser.sendBeacon`), so that
// the relay's own cookie travels and the order belongs to the visitor who filled the cart. Nothing leaves before consent.

const RELAY = "https://relay.example.com"; // where the shop's tag.js comes from
const WRITE_KEY = "your write key";

/** @typedef {Record<string, any>} Fields */

const MOST_LINES = 40; // keeps a message below the relay's 32 KB
const { analytics, browser, init } = /** @type {any} */ (globalThis);

let privacy = init?.customerPrivacy ?? {};
/** @type {(() => void)[]} what waits for consent */
let waiting = [];

/**
 * The parts of a checkout that the relay reads, in Shopify's own words.
 * @param {Fields} checkout
 */
const partsOf = ({ token, email, phone, currencyCode, totalPrice, subtotalPrice, totalTax, shippingLine, discountsAmount, discountApplications, lineItems, order, billingAddress }) => ({
  token,
  email,
  phone,
  currencyCode,
  totalPrice,
  subtotalPrice,
  totalTax,
  shippingLine,
  discountsAmount,
  discountApplications,
  lineItems: (lineItems ?? []).slice(0, MOST_LINES),
  order: order && { id: order.id },
  billingAddress,
});

/**
 * A link that fills the cart again in any browser.
 * @param {string} origin
 * @param {Fields[]} [lines]
 */
const cartLink = (origin, lines = []) => {
  const pairs = lines.map(({ variant, quantity }) => variant?.id && `${String(variant.id).split("/").pop()}:${quantity}`);
  return pairs.length && pairs.every(Boolean) ? `${origin}/cart/${pairs}` : undefined;
};

/**
 * Sends one message, or keeps it until the visitor has agreed.
 * @param {Fields} event of Shopify
 * @param {Fields} message in Segment's words; its ID says what is one and the same
 */
const send = async (event, message) => {
  if (!privacy.marketingAllowed) {
    waiting.push(() => send(event, message));
    return;
  }
  const { checkout } = event.data;
  const { location, referrer, title } = event.context.document;
  const handle = (checkout.attributes ?? []).find((/** @type {Fields} */ { key }) => key === "_backflow")?.value;
  const visitor = await browser.localStorage.getItem("backflow.visitor").catch(() => null);
  const body = JSON.stringify({
    writeKey: WRITE_KEY,
    sentAt: new Date().toISOString(),
    visitor: visitor || undefined,
    batch: [
      {
        ...message,
        timestamp: event.timestamp,
        context: {
          library: { name: "backflow-shopify-pixel", version: "0.1.0" },
          capture: ["shopify_pixel"],
          consent: { marketing: true, analytics: !!privacy.analyticsProcessingAllowed, source: "shopify" },
          page: { url: location.href.split("#")[0], path: location.pathname, referrer, title, search: location.search },
          locale: event.context.navigator?.language,
          userAgent: event.context.navigator?.userAgent,
          shopify: { clientId: event.clientId, checkoutToken: checkout.token, handle },
        },
      },
    ],
  });
  const url = `${RELAY}/v1/batch`;
  const sent = await browser.sendBeacon(url, body).catch(() => false);
  // From inside the pixel's frame; the relay knows a repeat by its ID.
  if (sent === false) await fetch(url, { method: "POST", headers: { "Content-Type": "text/plain" }, body, keepalive: true }).catch(() => {});
};

/**
 * @param {Fields} event
 * @param {string} name
 * @param {string} id
 */
const track = (event, name, id) => {
  const { checkout } = event.data;
  const { origin } = event.context.document.location;
  return send(event, {
    type: "track",
    event: name,
    messageId: id,
    properties: { checkout: partsOf(checkout), checkout_url: cartLink(origin, checkout.lineItems) },
  });
};

/** @param {Fields} event */
const identify = (event) => {
  const { email, phone, smsMarketingPhone } = event.data.checkout;
  const traits = { email: email || undefined, phone: phone || smsMarketingPhone || undefined };
  if (traits.email || traits.phone) return send(event, { type: "identify", messageId: `contact-${event.id}`, traits });
};

// Entering the checkout again is the same checkout, as its token says.
analytics.subscribe("checkout_started", async (/** @type {Fields} */ event) => {
  await identify(event);
  await track(event, "Checkout Started", `checkout-${event.data.checkout.token}`);
});
analytics.subscribe("checkout_contact_info_submitted", identify);
analytics.subscribe("checkout_completed", async (/** @type {Fields} */ event) => {
  const { order, token } = event.data.checkout;
  await identify(event);
  await track(event, "Order Completed", `order-${order?.id ? String(order.id).split("/").pop() : token}`);
});

/** @type {any} */ (globalThis).api?.customerPrivacy?.subscribe("visitorConsentCollected", (/** @type {Fields} */ { customerPrivacy }) => {
  privacy = customerPrivacy;
  const kept = waiting;
  waiting = [];
  for (const again of kept) again();
});
