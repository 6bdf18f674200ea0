// Builds the page's pieces. Text enters as text nodes only: an event's name is whatever its sender wrote.

import { capital, count, exact, percent, unbroken } from "./words.js";

/** An element with attributes and children; null children are left out. */
export function el(name, attributes = {}, ...children) {
  const node = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  node.append(...children.filter((child) => child !== null));
  return node;
}

/** A time that `console.js` writes and keeps up to date: its clock time and how far away it is. */
function time(at) {
  return el("time", { datetime: new Date(at * 1000).toISOString(), "data-at": String(at), title: exact(at) });
}

/** One delivery of the stream. */
export function lineCard(line) {
  const card = el("li", { class: "card line", "data-id": String(line.id), "data-state": line.state });
  const suffix = line.suffix ? el("span", { class: "suffix" }, line.suffix) : null;
  card.append(
    el("div", { class: "title" },
      el("h3", {}, line.title, suffix),
      el("span", { class: `badge ${line.state}` }, capital(line.state))),
    el("p", { class: "why" }, line.why));
  if (line.evidence) card.append(proof(line));
  if (line.error) {
    // What is not the event's fault (a refused key, a request to slow down) is not counted as a try.
    const tries = line.attempts === 0 ? "Last try, not counted" : line.attempts === 1 ? "After 1 try" : `After ${line.attempts} tries`;
    card.append(el("p", { class: "error" }, `${tries}: ${line.error}`));
  }
  card.append(el("p", { class: "meta" },
    el("span", {}, "Happened ", time(line.occurred_at)),
    el("span", {}, capital(line.when), ...(line.at === null ? [] : [" ", time(line.at)])),
    line.attempts > 1 && !line.error ? el("span", {}, `${line.attempts} tries`) : null,
    line.only_recorded ? el("span", { class: "pill" }, "Recorded only, starts no flow") : null));
  card.append(el("details", { class: "chain", "data-delivery": String(line.id) },
    el("summary", {}, "Why?"), el("div", { class: "steps", "aria-live": "polite" })));
  return card;
}

/** The chain behind a delivery, step by step, and what it is called. */
export function chain(explanation) {
  const names = [["Delivery", explanation.delivery_id], ["Message", explanation.message_id], ["Visitor", explanation.visitor_id]];
  return [
    el("ol", { class: "told" }, ...explanation.steps.map((step) =>
      el("li", { "data-kind": step.kind },
        el("p", { class: "head" }, el("strong", {}, step.title), moment(step)),
        el("p", {}, unbroken(step.text))))),
    el("dl", { class: "ids" }, ...names.filter(([, value]) => value !== null).flatMap(([name, value]) =>
      [el("dt", {}, name), el("dd", {}, String(value))])),
  ];
}

function moment({ at, when }) {
  if (at === null) return null;
  return when ? el("span", { class: "when" }, `${capital(when)} `, time(at)) : time(at);
}

/** What one class of evidence, or one way of recognition, is worth here. */
export function measuredRow({ name, words, right, wrong, missed, precision, lower, recall, off, verdict }) {
  const figures = [
    ["right", count(right)], ["wrong", count(wrong)], ["missed", count(missed)],
    ["precision", precision === null ? "\u2013" : `${percent(precision)} (at least ${percent(lower)})`],
    ["recall", recall === null ? "\u2013" : percent(recall)],
  ];
  return el("li", { class: off ? "measured off" : "measured", "data-id": name },
    el("p", { class: "head" }, el("strong", {}, words), off ? el("span", { class: "badge dead" }, "Switched off") : null),
    el("dl", { class: "figures" }, ...figures.map(([term, value]) => el("div", {}, el("dt", {}, term), el("dd", {}, value)))),
    el("p", { class: "means" }, unbroken(verdict)));
}

function proof(line) {
  const gauge = el("span", { class: "gauge", "aria-hidden": "true" }, el("span"));
  gauge.firstChild.style.width = `${line.confidence * 100}%`;
  return el("div", { class: "proof" },
    el("p", {}, el("strong", {}, "How the shopper is known: "), `${line.evidence}.`),
    el("p", { class: "sure" }, gauge, `${percent(line.confidence)} sure`));
}

/** One summand, with the reasons behind it. */
export function part({ name, words, n, parts = [], tone = "" }) {
  const item = el("li", { class: n ? "part" : "part none", "data-id": name },
    el("span", { class: `swatch ${tone}`, "aria-hidden": "true" }),
    el("span", { class: "name" }, el("strong", {}, capital(name.replaceAll("_", " "))), words ? el("span", { class: "means" }, ` ${words}`) : null),
    el("span", { class: "n" }, count(n)));
  if (parts.length) {
    item.append(el("ul", { class: "because" }, ...parts.map((reason) =>
      el("li", { title: reason.name }, el("span", { class: "name" }, reason.words), el("span", { class: "n" }, count(reason.n))))));
  }
  return item;
}

/** Something wrong with the destination and what to do about it. */
export function problemCard(problem, alone) {
  return el("li", { "data-id": problem.title },
    alone ? null : el("strong", {}, problem.title),
    problem.reason ? el("p", { class: "reason" }, `Reason: ${problem.reason}`) : null,
    problem.since === null ? null : el("p", { class: "reason" }, "Since ", time(problem.since)),
    el("p", {}, problem.advice));
}
