/*
 * A small stand-in for klaviyo.js, for demos and tests. It keeps to what Klaviyo documents and to what its public
 * bundle was seen to do: cookie `__kla_id`, queues, `kl-post-identification-sync`, `_kx`, `/client` calls.
 *
 * One thing is the sandbox's own: the real script gets its exchange id from Klaviyo by means that are not public;
 * here the `/client` answers carry it in the header `X-Sandbox-Exchange-Id`.
 */
(function () {
  "use strict";
  if (window.__klaviyoSandbox) return;
  window.__klaviyoSandbox = true;

  var ORIGIN = "__ORIGIN__";
  var COMPANY = "__COMPANY__";
  var ANONYMOUS_TRACKING = __ANONYMOUS_TRACKING__;
  var REVISION = "2026-10-15";
  var COOKIE = "__kla_id";
  var QUEUE = "kl-post-identification-sync";
  var TWO_YEARS = 2 * 365 * 86400;
  var MAX_AGE_MS = 14 * 86400 * 1000;
  var MAX_QUEUED = 10000;
  var BULK = 1000;
  var ALIASES = {
    $email: "email", $phone_number: "phone_number", $id: "external_id", id: "external_id", $exchange_id: "_kx",
    $first_name: "first_name", $last_name: "last_name", $organization: "organization", $title: "title",
    $image: "image", $anonymous: "anonymous_id",
  };
  var IDENTIFIERS = ["email", "phone_number", "external_id", "_kx"];
  var DETAILS = ["first_name", "last_name", "organization", "title", "image", "locale", "anonymous_id"];
  var PLACES = {
    $address1: "address1", $address2: "address2", $city: "city", $country: "country", $region: "region",
    $zip: "zip", $timezone: "timezone",
  };

  var off = cookie("__kla_off") === "true";
  var memory = off ? {} : readCookie();

  // ---- cookie -----------------------------------------------------------------------------------------------

  function cookie(name) {
    var found = document.cookie.split("; ").find(function (pair) { return pair.indexOf(name + "=") === 0; });
    return found ? found.slice(name.length + 1) : null;
  }

  function readCookie() {
    try {
      var value = cookie(COOKIE);
      var bytes = Uint8Array.from(atob(decodeURIComponent(value)), function (c) { return c.charCodeAt(0); });
      var known = JSON.parse(new TextDecoder().decode(bytes));
      if (known && known.cid) return known;
    } catch (unreadable) { /* no cookie, or somebody else's: begin anew */ }
    return { cid: btoa(crypto.randomUUID ? crypto.randomUUID() : String(Math.random())) };
  }

  function writeCookie() {
    var text = String.fromCharCode.apply(null, new TextEncoder().encode(JSON.stringify(memory)));
    var secure = location.protocol === "https:" ? "; Secure" : "";
    document.cookie = COOKIE + "=" + btoa(text) + "; Path=/; Max-Age=" + TWO_YEARS + "; SameSite=Lax" + secure;
  }

  function remember(exchangeId) {
    if (!exchangeId || off) return;
    memory.$exchange_id = exchangeId;
    writeCookie();
    try { sessionStorage.setItem("_kx", exchangeId); } catch (blocked) { /* the cookie is enough */ }
  }

  function identified() {
    return Boolean(memory.$exchange_id || memory.$email || memory.email || memory.$phone_number || memory.$id);
  }

  // ---- queue of events of unknown visitors ------------------------------------------------------------------

  function queued() {
    try {
      var entries = JSON.parse(localStorage.getItem(QUEUE) || "[]");
      return Array.isArray(entries) ? entries : [];
    } catch (unreadable) {
      return [];
    }
  }

  function keep(entries) {
    try {
      if (entries.length) localStorage.setItem(QUEUE, JSON.stringify(entries.slice(-MAX_QUEUED)));
      else localStorage.removeItem(QUEUE);
    } catch (full) {
      if (entries.length > 1) keep(entries.slice(Math.ceil(entries.length / 2)));
    }
  }

  async function replay() {
    var oldest = Date.now() - MAX_AGE_MS;
    keep(queued().filter(function (entry) { return Date.parse(entry.time) >= oldest; }));
    for (var batch = queued().slice(0, BULK); batch.length && identified(); batch = queued().slice(0, BULK)) {
      var events = batch.map(function (entry) {
        return { type: "event", attributes: eventAttributes(entry.name, entry.properties, entry.time) };
      });
      var answer = await post("event-bulk-create", {
        data: {
          type: "event-bulk-create",
          attributes: { profile: { data: { type: "profile", attributes: me() } }, events: { data: events } },
        },
      });
      if (!answer || !answer.ok) return;
      keep(queued().slice(batch.length));
    }
  }

  // ---- calls to Klaviyo -------------------------------------------------------------------------------------

  function post(operation, body) {
    return fetch(ORIGIN + "/client/" + operation + "?company_id=" + COMPANY, {
      method: "POST",
      headers: { "content-type": "application/json", revision: REVISION },
      body: JSON.stringify(body),
      credentials: "omit",
      keepalive: true,
    }).catch(function () { return null; });
  }

  function me() {
    if (memory.$exchange_id) return { _kx: memory.$exchange_id };
    return clean({
      email: memory.$email || memory.email, phone_number: memory.$phone_number, external_id: memory.$id,
    });
  }

  function eventAttributes(name, properties, time) {
    var rest = Object.assign({}, properties);
    var value = typeof rest.$value === "string" ? parseFloat(rest.$value) : rest.$value;
    var currency = rest.$value_currency;
    delete rest.$value;
    delete rest.$value_currency;
    return clean({
      metric: { data: { type: "metric", attributes: { name: name } } },
      properties: rest,
      time: time,
      value: typeof value === "number" && isFinite(value) ? value : undefined,
      value_currency: currency,
      unique_id: crypto.randomUUID ? crypto.randomUUID() : time + ":" + Math.random(),
    });
  }

  function clean(object) {
    return Object.fromEntries(Object.entries(object).filter(function (pair) { return pair[1] !== undefined; }));
  }

  function profileAttributes(given) {
    var attributes = {};
    var location = {};
    var properties = {};
    Object.keys(given || {}).forEach(function (key) {
      var name = ALIASES[key] || key;
      if (given[key] === undefined || given[key] === "") return;
      if (IDENTIFIERS.indexOf(name) >= 0 || DETAILS.indexOf(name) >= 0) attributes[name] = given[key];
      else if (PLACES[key]) location[PLACES[key]] = given[key];
      else if (key === "location") Object.assign(location, given[key]);
      else properties[key] = given[key];
    });
    if (Object.keys(location).length) attributes.location = location;
    if (Object.keys(properties).length) attributes.properties = properties;
    return attributes;
  }

  // ---- the public methods -----------------------------------------------------------------------------------

  async function identify(given) {
    if (off) return undefined;
    var attributes = profileAttributes(given);
    var named = IDENTIFIERS.some(function (name) { return attributes[name]; });
    if (!named && !identified()) return undefined;
    if (!named) Object.assign(attributes, me());
    var answer = await post("profiles", { data: { type: "profile", attributes: attributes } });
    if (answer && answer.ok) {
      remember(answer.headers.get("X-Sandbox-Exchange-Id"));
      await replay();
    }
    return undefined;
  }

  async function track(name, properties) {
    if (off) return false;
    var time = new Date().toISOString();
    if (!identified()) {
      if (ANONYMOUS_TRACKING) keep(queued().concat([{ name: name, time: time, properties: properties || {} }]));
      return false;
    }
    var attributes = eventAttributes(name, properties, time);
    attributes.profile = { data: { type: "profile", attributes: me() } };
    var answer = await post("events", { data: { type: "event", attributes: attributes } });
    return Boolean(answer && answer.ok);
  }

  var methods = {
    identify: identify,
    track: track,
    isIdentified: async function () { return !off && identified(); },
    account: async function () { return COMPANY; },
    openForm: async function (formId) {
      window.dispatchEvent(new CustomEvent("klaviyoForms", { detail: { type: "open", formId: formId, metaData: {} } }));
    },
    trackViewedItem: async function () { /* feeds recommendations only; no event comes of it */ },
  };

  function call(name, args) {
    var rest = Array.prototype.slice.call(args);
    var callback = typeof rest[rest.length - 1] === "function" ? rest.pop() : null;
    // A name klaviyo.js does not have throws, and what is queued behind it is lost; `then` is the usual one.
    if (!Object.prototype.hasOwnProperty.call(methods, name)) throw new TypeError("klaviyo." + name + " is no method");
    var promise = methods[name].apply(null, rest);
    return callback ? promise.then(function (result) { callback(result); return result; }) : promise;
  }

  function push() {
    var result;
    for (var i = 0; i < arguments.length; i++) {
      var entry = arguments[i];
      result = typeof entry === "function" ? entry() : call(entry[0], Array.prototype.slice.call(entry, 1));
    }
    return result;
  }

  var klaviyo = { push: push };
  Object.keys(methods).forEach(function (name) {
    klaviyo[name] = function () { return call(name, arguments); };
  });

  // ---- start ------------------------------------------------------------------------------------------------

  function fromAddress() {
    var parameters = new URLSearchParams(location.search);
    var kx = parameters.get("_kx");
    if (kx && kx.slice(-COMPANY.length - 1) === "." + COMPANY) remember(kx);
    var email = parameters.get("utm_email");
    if (email) identify({ email: email });
  }

  if (!off) {
    if (!memory.$referrer) {
      var now = Math.floor(Date.now() / 1000);
      memory.$referrer = { ts: now, value: document.referrer, first_page: location.origin + location.pathname };
    }
    writeCookie();
    fromAddress();
    if (identified()) replay();
  }

  var learnq = Array.isArray(window._learnq) ? window._learnq : [];
  var onsite = Array.isArray(window._klOnsite) ? window._klOnsite : [];
  window.klaviyo = klaviyo;
  window._learnq = { push: push };
  window._klOnsite = { push: push };
  learnq.concat(onsite).forEach(function (entry) { push(entry); });
})();
