// The console: asks the relay every two seconds and changes only what has changed.

import { chain, lineCard, measuredRow, part, problemCard } from "./cards.js";
import * as words from "./words.js";

const EVERY_MS = 2000;
// Without credentials that somebody may have written into the page's own address: fetch refuses those.
const LIVE = new URL("console/live", location.origin + location.pathname);
const WHY = new URL("console/why", location.origin + location.pathname);

const at = (id) => document.getElementById(id);
const buttons = (id) => [...(at(id)?.querySelectorAll("button") ?? [])];
const view = { site: buttons("sites")[0]?.dataset.site ?? null, show: "all" };
let snapshot = JSON.parse(at("first").textContent);
let clockOffset = 0;
let readAt = null;
let timer = 0;
let asked = 0;

async function poll() {
  clearTimeout(timer);
  const mine = ++asked;
  try {
    const url = new URL(LIVE);
    url.searchParams.set("show", view.show);
    const answer = await fetch(url, { cache: "no-store", signal: AbortSignal.timeout(10_000) });
    if (!answer.ok) throw new Error(await problem(answer));
    const found = await answer.json();
    if (mine !== asked) return;
    take(found);
    live("");
  } catch (error) {
    if (mine !== asked) return;
    live(error instanceof TypeError || error.name === "TimeoutError" ? "The relay does not answer" : error.message);
  }
  if (!document.hidden) timer = setTimeout(poll, EVERY_MS);
}

async function problem(answer) {
  if (answer.status === 401) return "The password is no longer valid: reload the page";
  const text = (await answer.text()).split("\n", 1)[0];
  return answer.headers.get("Content-Type")?.startsWith("text/plain") ? text : `The relay answers ${answer.status}`;
}

function take(found) {
  snapshot = found;
  clockOffset = found.answered_at - Date.now() / 1000;
  readAt = found.read_at;
  render();
}

/** Say whether what is shown is live; `trouble` in words, "" for none. */
function live(trouble) {
  at("live").classList.toggle("lost", trouble !== "");
  at("main").classList.toggle("stale", trouble !== "");
  const asOf = readAt === null ? "" : `. Shown: as of ${words.clock(readAt, now())}`;
  set(at("live-text"), trouble === "" ? "Live" : `${trouble}, trying again${asOf}`);
}

function render() {
  const site = snapshot.sites.find((each) => each.site_id === view.site) ?? snapshot.sites[0];
  for (const button of buttons("sites")) {
    const state = snapshot.sites.find((each) => each.site_id === button.dataset.site)?.destination.state ?? "idle";
    button.dataset.state = state;
    press(button, button.dataset.site === site.site_id);
  }
  for (const button of buttons("choice")) press(button, button.dataset.show === view.show);
  destination(site);
  messages(site.messages);
  deliveries(site.deliveries);
  who(site.who);
  stream(site);
  tick();
}

function destination({ destination: { state, headline, detail, problems }, policy }) {
  at("status").dataset.state = state;
  set(at("verdict"), headline);
  set(at("detail"), detail);
  set(at("policy"), policy);
  reconcile(at("problems"), problems.map((each) => [each, problems.length === 1]), ([each]) => each.title,
    ([each, alone]) => problemCard(each, alone));
}

function messages({ received, accepted, duplicate, dropped, missing, drops }) {
  set(at("messages-total"), words.count(received));
  reconcile(at("ends"), [
    { name: "accepted", words: "kept and processed", n: accepted, tone: "delivered" },
    { name: "duplicate", words: "had come before: counted once", n: duplicate, tone: "suppressed" },
    { name: "dropped", words: "not kept", n: dropped, parts: drops, tone: "dead" },
  ], (each) => each.name, part);
  const sum = `${words.count(accepted)} accepted + ${words.count(duplicate)} duplicate + ${words.count(dropped)} dropped`;
  at("messages-check").classList.toggle("wrong", missing !== 0);
  set(at("messages-check"), received === 0 ? "" : missing === 0 ? `${words.count(received)} = ${sum}. Nothing is missing.`
    : `${words.count(received)} received, but ${sum}: ${words.count(missing)} unaccounted for. Please report this.`);
}

function deliveries({ total, places }) {
  set(at("deliveries-total"), words.count(total));
  reconcile(at("places"), places.map(({ state, words: means, n, reasons }) => ({ name: state, words: means, n, parts: reasons, tone: state })),
    (each) => each.name, part);
  const filled = places.filter(({ n }) => n > 0);
  reconcile(at("strip"), filled, ({ state }) => state, ({ state, n }) => {
    const piece = document.createElement("span");
    piece.className = state;
    piece.dataset.id = state;
    piece.style.flexGrow = String(n);
    return piece;
  });
  const sum = filled.map(({ state, n }) => `${words.count(n)} ${state}`).join(" + ");
  set(at("deliveries-check"), total ? `${words.count(total)} = ${sum}. Settled ones are kept for 90 days.` : "");
}

function who({ answers, wrong, limit, measured, noticed }) {
  set(at("who-total"), answers ? `${words.percent(wrong / answers)} wrong` : "\u2013");
  set(at("who-sum"), answers
    ? `${words.count(wrong)} of ${words.count(answers)} answers that a later order, login or form could check named the wrong person. What is right in less than ${words.percent(limit)} of cases is switched off (RELAY_MIN_PRECISION).`
    : "Nothing is measured yet: each order, login or form tells whether what was known of that browser before was right.");
  reconcile(at("classes"), measured.filter((each) => !each.is_way), (each) => each.name, measuredRow);
  reconcile(at("ways"), measured.filter((each) => each.is_way), (each) => each.name, measuredRow);
  reconcile(at("noticed"), noticed.map((each) => ({ ...each, tone: "held" })), (each) => each.name, part);
  for (const [id, list] of [["classes-title", "classes"], ["ways-title", "ways"], ["noticed-title", "noticed"]]) {
    at(id).hidden = at(list).children.length === 0;
  }
}

// Which chains are open, so that a line that changes keeps its own.
const opened = new Set();

/** Fill in a chain that has been opened. */
async function tell(details) {
  const place = details.querySelector(".steps");
  if (!place.firstChild) place.replaceChildren("Asking \u2026");
  try {
    const url = new URL(WHY);
    url.searchParams.set("site", view.site ?? snapshot.sites[0].site_id);
    url.searchParams.set("id", details.dataset.delivery);
    const answer = await fetch(url, { cache: "no-store", signal: AbortSignal.timeout(10_000) });
    if (!answer.ok) throw new Error(await problem(answer));
    const [found] = await answer.json();
    place.replaceChildren(...chain(found));
    tick();
  } catch (error) {
    place.replaceChildren(error instanceof TypeError || error.name === "TimeoutError" ? "The relay does not answer." : error.message);
  }
}

document.addEventListener("toggle", ({ target }) => {
  if (!target.matches?.("details.chain")) return;
  const key = `${view.site} ${target.dataset.delivery}`;
  if (!target.open) { if (target.isConnected) opened.delete(key); return; }
  opened.add(key);
  tell(target);
}, true);

const NONE = {
  all: ["Nothing to deliver yet", "The first event of a shopper appears here a moment after the tag or your server has sent it."],
  sent: ["Nothing sent yet", "Events appear here once Klaviyo has taken them."],
  open: ["Nothing is waiting", "No event is held, waiting for its shopper or in the queue."],
  spared: ["Nothing held back", "Events that Klaviyo's own script handles appear here, each with its reason."],
  failed: ["Nothing has failed", "Deliveries that Klaviyo refused for good would appear here."],
};

function stream({ lines }) {
  if (snapshot.show !== view.show) return; // the answer to what is chosen now is on its way
  if (at("lines").dataset.show !== `${view.site} ${view.show}`) {
    at("lines").dataset.show = `${view.site} ${view.show}`;
    at("lines").replaceChildren();
    delete at("lines").dataset.filled;
  }
  reconcile(at("lines"), lines, (line) => line.id, (line) => {
    const card = lineCard(line);
    card.querySelector(".chain").open = opened.has(`${view.site} ${line.id}`);
    return card;
  });
  at("empty").hidden = lines.length > 0;
  set(at("empty-title"), NONE[view.show][0]);
  set(at("empty-text"), NONE[view.show][1]);
  at("more").hidden = lines.length < 60;
  set(at("more"), "Older deliveries are not shown; the sums count them all.");
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
      if (node) node.replaceWith(fresh);
      else if (!first) fresh.classList.add("new");
      node = fresh;
    }
    old.delete(id);
    const place = previous ? previous.nextSibling : parent.firstChild;
    if (place !== node) parent.insertBefore(node, place);
    previous = node;
  }
  for (const node of old.values()) node.remove();
}

const now = () => Date.now() / 1000 + clockOffset;

function tick() {
  for (const time of document.querySelectorAll("time[data-at]")) {
    const then = Number(time.dataset.at);
    set(time, `${words.clock(then, now())} (${words.distance(then, now())})`);
  }
}

function press(button, pressed) {
  button.setAttribute("aria-pressed", pressed ? "true" : "false");
}

function set(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

at("sites")?.addEventListener("click", (event) => {
  const chosen = event.target.closest("button")?.dataset.site;
  if (chosen) { view.site = chosen; render(); }
});
at("choice").addEventListener("click", (event) => {
  const chosen = event.target.closest("button")?.dataset.show;
  if (!chosen) return;
  view.show = chosen;
  for (const button of buttons("choice")) press(button, button.dataset.show === chosen);
  poll();
});
document.addEventListener("visibilitychange", () => (document.hidden ? clearTimeout(timer) : poll()));
setInterval(() => { if (!document.hidden) tick(); }, 1000);

// On a phone the sums are folded, so that the stream is near; wide screens show all and have no fold.
const narrow = matchMedia("(max-width: 939px)");
const fold = () => { for (const each of document.querySelectorAll(".fold")) each.open = !narrow.matches; };
narrow.addEventListener("change", fold);
fold();

if (snapshot) take(snapshot);
poll();
