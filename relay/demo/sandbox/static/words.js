// Sentences and numbers of the page: pure functions from what was recorded to what a merchant reads.

const SUFFIX = " - Backup Flow";

const REASONS = {
  klaviyo_absent: "Klaviyo's own script did not run on this page, so it would have missed this shopper.",
  klaviyo_unidentified: "Klaviyo's own script saw this shopper but did not know who it was.",
  forward_all: "This site forwards every event.",
};

const CONSENT = { SUBSCRIBED: "subscribed", UNSUBSCRIBED: "unsubscribed", NEVER_SUBSCRIBED: "never subscribed" };

export const consent = (value) => CONSENT[value] ?? String(value).toLowerCase();

const KINDS = {
  email: "e-mail marketing",
  sms: "SMS marketing",
  sms_transactional: "transactional SMS",
  email_open_tracking: "open tracking",
  email_click_tracking: "click tracking",
};

/** What happened to a person's lists or consent: a title, the mark before it, its tone and a sentence if one is due. */
export function change({ action, kinds, list_name: list, everywhere, not_on_list: missed, consented_at: earlier }) {
  const what = kinds.map((kind) => KINDS[kind] ?? kind).join(" and ");
  switch (action) {
    case "added":
      return { title: `Added to the list ${list}`, mark: "+", tone: "list", badge: "list", note: null };
    case "removed":
      return { title: `Removed from the list ${list}`, mark: "−", tone: "list", badge: "list", note: null };
    case "subscribed":
      return {
        title: `Subscribed to ${what}${list ? ` with the list ${list}` : ""}`, mark: "✓", tone: "yes", badge: "consent",
        note: earlier ? `Consent from ${exact(earlier)}, imported: no double opt-in, no list flow.` : null,
      };
    case "confirmation_asked":
      return {
        title: `Asked to confirm ${what}${list ? ` for the list ${list}` : ""}`, mark: "?", tone: "list", badge: "double opt-in",
        note: "The consent counts once the link in the confirmation is clicked.",
      };
    default:
      return {
        title: `Unsubscribed from ${what}${list && !everywhere ? ` of the list ${list}` : ""}`, mark: "×", tone: "no", badge: "consent",
        note: missed ? `The profile was not on the list ${list}, so Klaviyo unsubscribed it everywhere.` : null,
      };
  }
}

/** The metric's bare name, its badge and the kind of the badge: backup, native or api. */
export function metric(event) {
  const { metric: name, properties, via } = event;
  if (name.endsWith(SUFFIX)) return { name: name.slice(0, -SUFFIX.length), badge: "Backup Flow", kind: "backup" };
  if (via === "script") return { name, badge: "native", kind: "native" };
  const cut = name.lastIndexOf(" - ");
  if (properties.BackflowReason !== undefined) {
    const suffixed = cut > 0;
    return { name: suffixed ? name.slice(0, cut) : name, badge: suffixed ? name.slice(cut + 3) : "Backflow", kind: "backup" };
  }
  return { name, badge: "API", kind: "api" };
}

/** Why this event was sent: a sentence, the evidence in words, and how sure (0 to 1 or null). */
export function why(event) {
  const { BackflowReason: reason, BackflowEvidence: evidence, BackflowConfidence: confidence } = event.properties;
  if (reason === undefined) {
    const sentence = event.via === "script"
      ? "Klaviyo's own script knew this shopper and sent the event itself."
      : "Sent through the API; no reason was given.";
    return { sentence, evidence: null, confidence: null };
  }
  const sure = Number(confidence);
  return {
    sentence: REASONS[reason] ?? `${readable(String(reason))}.`,
    evidence: evidence ? (Array.isArray(evidence) ? evidence.join(", ") : String(evidence)) : null,
    confidence: confidence === undefined || !Number.isFinite(sure) ? null : Math.max(0, Math.min(1, sure)),
  };
}

/** A code such as `no_identity` as the beginning of a sentence. */
function readable(code) {
  const words = code.replaceAll("_", " ");
  return words.charAt(0).toUpperCase() + words.slice(1);
}

/** The products an event speaks of: [{name, image, price, quantity}]. */
export function products(event) {
  const p = event.properties;
  const added = product({
    name: p.ProductName ?? p.AddedItemProductName ?? p.Name ?? p.Title,
    image: p.ImageURL ?? p.AddedItemImageURL,
    price: p.Price ?? p.AddedItemPrice ?? p.ItemPrice,
    quantity: p.Quantity ?? p.AddedItemQuantity,
  });
  if (added) return [added];
  const items = Array.isArray(p.Items) ? p.Items : [];
  const shown = items.filter((item) => item && typeof item === "object").map((item) => product({
    name: item.ProductName ?? item.Name ?? item.Title,
    image: item.ImageURL,
    price: item.ItemPrice ?? item.Price,
    quantity: item.Quantity,
  })).filter(Boolean);
  if (shown.length) return shown;
  return Array.isArray(p.ItemNames) ? p.ItemNames.map((name) => product({ name })).filter(Boolean) : [];
}

function product({ name, image, price, quantity }) {
  const number = Number(price);
  const count = Number(quantity);
  if (!name && !image) return null;
  return {
    name: name ? String(name) : "Product",
    image: safeImage(image),
    price: price === undefined || price === null || price === "" || !Number.isFinite(number) ? null : number,
    quantity: Number.isFinite(count) && count > 1 ? count : null,
  };
}

function safeImage(address) {
  const text = String(address ?? "").trim();
  const full = text.startsWith("//") ? `https:${text}` : text;
  return /^https?:\/\//i.test(full) || /^data:image\/(png|jpeg|webp|gif|svg\+xml)[;,]/i.test(full) ? full : null;
}

/** Money in the reader's own notation; without a currency a plain number. */
export function money(value, currency) {
  if (value === null || value === undefined) return null;
  try {
    if (currency) return new Intl.NumberFormat(undefined, { style: "currency", currency }).format(value);
  } catch { /* not a currency the browser knows */ }
  const number = new Intl.NumberFormat(undefined, { maximumFractionDigits: 2 }).format(value);
  return currency ? `${number} ${currency}` : number;
}

/** "just now", "12 s ago", "3 min ago", else the date. Both in seconds since the epoch. */
export function ago(then, now) {
  const seconds = Math.round(now - then);
  if (seconds < 0 || seconds > 86400) {
    return new Date(then * 1000).toLocaleString(undefined, { dateStyle: "medium", timeStyle: "short" });
  }
  if (seconds < 3) return "just now";
  if (seconds < 60) return `${seconds} s ago`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ago`;
  return `${Math.floor(seconds / 3600)} h ago`;
}

export function exact(then) {
  return new Date(then * 1000).toLocaleString(undefined, { dateStyle: "full", timeStyle: "medium" });
}

/** What to call a person: name, else address, else number, else the id. */
export function person(profile) {
  const name = [profile.first_name, profile.last_name].filter(Boolean).join(" ");
  return name || profile.email || profile.phone_number || profile.external_id || "Somebody without an address";
}

export function place(profile) {
  const { city, region, country } = profile.location ?? {};
  return [city, region, country].filter(Boolean).join(", ");
}
