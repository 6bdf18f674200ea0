// The page "What Klaviyo received": asks the sandbox every second and changes only what has changed.

import { changeCard, el, emptyState, eventCard, profileCard, troubleCard } from "/_page/cards.js";
import * as words from "/_page/words.js";

const EVERY_MS = 1000;
const MOST_EVENTS = 200;
const CHOICES = [["all", "All"], ["backup", "Backup"], ["native", "Native"], ["change", "Consent"]];

const at = (id) => document.getElementById(id);
const view = { kind: "all", profile: null };
let etag = null;
let state = null;
let clockOffset = 0;

async function poll() {
  try {
    const answer = await fetch("/_sandbox/state", { headers: etag ? { "If-None-Match": etag } : {}, cache: "no-store" });
    if (answer.status === 200) {
      etag = answer.headers.get("ETag");
      state = await answer.json();
      clockOffset = state.now - Date.now() / 1000;
      render();
    } else if (answer.status !== 304) {
      throw new Error(`status ${answer.status}`);
    }
    live(true);
  } catch {
    live(false);
  }
  tick();
  setTimeout(poll, EVERY_MS);
}

function live(connected) {
  at("live").classList.toggle("lost", !connected);
  set(at("live-text"), connected ? "Live" : "No answer, trying again");
}

function render() {
  set(at("company"), ` (${state.company_id})`);
  counters();
  choices();
  const matching = stream().filter(({ kind, item }) =>
    (view.kind === "all" || kind === view.kind) && (!view.profile || item.profile.id === view.profile));
  const newest = matching.slice(-MOST_EVENTS).reverse()
    .map(({ kind, item }) => [kind, { ...item, profile: addressee(item.profile) }]);
  reconcile(at("events"), newest, ([, item]) => item.id, ([kind, item]) => (kind === "change" ? changeCard : eventCard)(item));
  const hidden = matching.length - newest.length;
  set(at("more"), hidden ? `and ${hidden} older` : "");
  at("more").hidden = !hidden;
  const any = state.events.length + state.changes.length > 0;
  const signature = JSON.stringify([newest.length, state.shop_url, any]);
  if (at("empty").dataset.signature !== signature) {
    at("empty").dataset.signature = signature;
    at("empty").hidden = newest.length > 0;
    at("empty").replaceChildren(newest.length ? "" : emptyState(state.shop_url, any));
  }
  people();
  troubles();
}

/** Events and changes of lists and consent in the order in which they came. */
function stream() {
  const events = state.events.map((item) => ({ kind: words.metric(item).kind, item, came: item.received_at }));
  const changes = state.changes.map((item) => ({ kind: "change", item, came: item.at }));
  return changes.length ? [...events, ...changes].sort((a, b) => a.came - b.came) : events;
}

/** What an event's card shows of its person; times of the profile would change every older card. */
function addressee({ id, email, phone_number, external_id, first_name, last_name }) {
  return { id, email, phone_number, external_id, first_name, last_name };
}

function counters() {
  const kinds = { backup: 0, native: 0, api: 0 };
  let triggering = 0;
  let repeats = 0;
  for (const event of state.events) {
    kinds[words.metric(event).kind] += 1;
    triggering += event.triggers_flows ? 1 : 0;
    repeats += event.deduplicated_repeats;
  }
  const shown = [
    ["Backup events", kinds.backup, "backup"],
    ["Native events", kinds.native, "native"],
    ["Would trigger flows", triggering, "flow"],
    ["Profiles", state.profiles.length, ""],
    ["Repeats ignored", repeats, ""],
    ["Calls refused", state.refused.length, state.refused.length ? "bad" : ""],
  ];
  if (state.changes.length) shown.splice(4, 0, ["Consent and list changes", state.changes.length, ""]);
  if (kinds.api) shown.splice(2, 0, ["Other API events", kinds.api, ""]);
  reconcile(at("counters"), shown, ([name]) => name, ([name, number, kind]) =>
    el("div", { class: `counter ${kind}`, "data-id": name }, el("dt", {}, name), el("dd", {}, String(number))));
}

function choices() {
  reconcile(at("choice"), CHOICES.map(([kind, label]) => [kind, label, view.kind === kind]), ([kind]) => kind, ([kind, label, pressed]) => {
    const button = el("button", { type: "button", "data-id": kind, "aria-pressed": pressed ? "true" : "false" }, label);
    button.addEventListener("click", () => { view.kind = kind; render(); tick(); });
    return button;
  });
  const chosen = state.profiles.find((profile) => profile.id === view.profile);
  if (!chosen) view.profile = null;
  at("only").hidden = !chosen;
  const label = chosen ? words.person(chosen) : "";
  if (at("only").dataset.who !== label) {
    at("only").dataset.who = label;
    const all = el("button", { type: "button" }, "Show everybody");
    all.addEventListener("click", () => { view.profile = null; render(); tick(); });
    at("only").replaceChildren("Only ", el("strong", {}, label), " ", all);
  }
}

function people() {
  const counts = new Map();
  for (const event of state.events) counts.set(event.profile.id, (counts.get(event.profile.id) ?? 0) + 1);
  const names = state.lists.map((list) => [list.id, list.name]);
  const shown = state.profiles
    .map((profile) => [profile, counts.get(profile.id) ?? 0, profile.id === view.profile, names])
    .sort((a, b) => b[0].updated - a[0].updated)
    .slice(0, MOST_EVENTS);
  reconcile(at("profiles"), shown, ([profile]) => profile.id, ([profile, count, chosen]) => {
    const card = profileCard(profile, count, chosen, new Map(names));
    card.querySelector("button").addEventListener("click", () => {
      view.profile = view.profile === profile.id ? null : profile.id;
      render();
      tick();
      at("profiles").querySelector(`[data-id="${CSS.escape(profile.id)}"] button`)?.focus();
    });
    return card;
  });
  at("no-profiles").hidden = shown.length > 0;
}

function troubles() {
  const shown = [];
  if (state.refused.length) {
    shown.push(["Refused calls", state.refused.slice(-5).reverse().map((call) => `${call.status} ${call.method} ${call.path}: ${call.detail}`)]);
  }
  if (state.vanished.length) {
    shown.push(["Accepted, then dropped by Klaviyo", state.vanished.slice(-5).reverse().map((event) => `${event.metric}: ${event.reason}`)]);
  }
  if (state.unknown_routes.length) {
    shown.push(["Calls Klaviyo does not have", state.unknown_routes.slice(-5).reverse().map((call) => `${call.method} ${call.path}`)]);
  }
  reconcile(at("troubles"), shown, ([title]) => title, ([title, lines]) => {
    const card = troubleCard(title, lines);
    card.dataset.id = title;
    return card;
  });
}

/** Make the children of `parent` those of `items`, keeping every node whose item is unchanged where it stands. */
function reconcile(parent, items, key, build) {
  const old = new Map([...parent.children].map((node) => [node.dataset.id, node]));
  const first = parent.dataset.filled !== "yes";
  parent.dataset.filled = "yes";
  let previous = null;
  for (const item of items) {
    const id = String(key(item));
    const signature = JSON.stringify(item);
    let node = old.get(id);
    if (!node || node.signature !== signature) {
      const fresh = build(item);
      fresh.signature = signature;
      if (node) {
        const open = node.querySelector("details")?.open;
        node.replaceWith(fresh);
        if (open) fresh.querySelector("details").open = true;
      } else if (!first) {
        fresh.classList.add("new");
      }
      node = fresh;
    }
    old.delete(id);
    const place = previous ? previous.nextSibling : parent.firstChild;
    if (place !== node) parent.insertBefore(node, place);
    previous = node;
  }
  for (const node of old.values()) node.remove();
}

function tick() {
  const now = Date.now() / 1000 + clockOffset;
  for (const time of document.querySelectorAll("time[data-at]")) set(time, words.ago(Number(time.dataset.at), now));
}

function set(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

poll();
