/** Browse the library, look at a creative, approve or reject it, and see how approved ads fare. */

import { post, run } from "./api.js";
import { ask, byId, element, facts, fillSelect, image, percent } from "./dom.js";

const section = byId("shelf");
const detail = byId("creative");
const form = section.querySelector("form");
const STATES = { draft: "Draft", approved: "Approved", rejected: "Rejected" };

/** Offer the categories of every served model. */
export function offerLibrary(models) {
  const categories = new Set(Object.values(models).flatMap((model) => model.categories));
  fillSelect(form.elements.category, [...categories].sort(), ["", "any"]);
}

/**
 * Return the buttons that approve and reject a creative. The section shows the result; `after` gets the new record.
 * @param {{id: string, state: string}} creative
 */
export function reviewButtons(creative, shown, after = () => {}) {
  const button = (state, text, properties = {}) =>
    element("button", { type: "button", disabled: creative.state === state, onclick: () => decide(state), textContent: text, ...properties });
  const decide = async (state) => {
    const needsReason = state === "rejected" || creative.state !== "draft";
    const answer = needsReason ? await ask("review-dialog") : new FormData();
    if (answer) await run(shown, "Saving…", (signal) => review(state, answer.get("reason"), signal));
  };
  const review = async (state, reason, signal) => {
    const { creative: reviewed } = await post("v1/library/review", { id: creative.id, state, reason }, signal);
    Object.assign(creative, reviewed);
    buttons.replaceChildren(...reviewButtons(creative, shown, after).children);
    after(creative);
    return describeReview(creative);
  };
  const buttons = element("div", { className: "buttons" },
    button("approved", "Approve"), button("rejected", "Reject", { className: "plain" }));
  return buttons;
}

/** Return who reviewed a creative and why. */
function describeReview({ state, reviewed_by, reviewed_at, reason }) {
  if (!reviewed_by) return STATES[state];
  const when = reviewed_at ? `, ${new Date(reviewed_at).toLocaleDateString()}` : "";
  return `${STATES[state]} by ${reviewed_by}${when}${reason ? `: ${reason}` : ""}.`;
}

/** @param {{kind: string, category: string | null, text: string | null, placement: string | null}} creative */
const describe = ({ kind, category, text, placement }) =>
  [{ ad: "Ad", picture: "Picture", line: "Line" }[kind], placement, category, text].filter(Boolean).join(" · ");

/** Return a picture of a creative, or its text. */
export function preview(creative, content) {
  return creative.media_type.startsWith("image/")
    ? image(content, describe(creative), creative.media_type)
    : element("blockquote", {}, creative.text ?? "");
}

/** Show what the filters find; `after` continues a page. */
export function browse(after = null) {
  return run(section, "Looking…", async (signal) => {
    const fields = form.elements;
    const query = { kind: fields.kind.value, state: fields.state.value, category: fields.category.value || null, limit: 24, after };
    const { creatives, next } = await post("v1/library/list", query, signal);
    const cards = new Map(creatives.map((creative) => [creative.id, card(creative)]));
    byId("shelf-list")[after ? "append" : "replaceChildren"](...cards.values());
    byId("more").hidden = next === null;
    byId("more").onclick = () => browse(next);
    for (const creative of creatives) await fillCard(creative, cards.get(creative.id), signal);
    const shown = byId("shelf-list").children.length;
    if (!shown) return "The library has none of these.";
    const isComplete = query.kind !== "ad" || query.state !== "approved" || (await showOutcomes(cards, signal));
    return `${shown} shown, the newest first.${isComplete ? "" : " The decision log is still being read; show again for all numbers."}`;
  });
}

function card(creative) {
  const open = element("button", { type: "button", className: "card", onclick: () => show(creative.id) },
    element("span", { className: "thumbnail" }), element("span", {}, describe(creative)));
  return element("li", {}, open, element("p", { className: "quiet" }, describeReview(creative)));
}

async function fillCard(creative, shown, signal) {
  const { content } = await post("v1/library/show", { id: creative.id }, signal);
  const picture = preview(creative, content);
  if (picture.alt) picture.alt = ""; // the card's text says it
  shown.querySelector(".thumbnail").replaceChildren(picture);
}

/** Add to each card how often its ad was shown and clicked; return whether that is all of the decision log. */
async function showOutcomes(cards, signal) {
  const { outcomes, complete } = await post("v1/library/outcomes", { ids: [...cards.keys()] }, signal);
  const most = Math.max(...outcomes.map(({ impressions, high }) => (impressions ? high : 0)), 1e-9);
  for (const outcome of outcomes) cards.get(outcome.id).append(outcomeView(outcome, most));
  return complete;
}

function outcomeView({ impressions, click_rate: rate, low, high }, most) {
  if (!impressions) return element("p", { className: "quiet" }, "Not shown yet.");
  const interval = element("span", { className: "interval", "aria-hidden": "true" });
  for (const [name, share] of Object.entries({ low, high, rate })) interval.style.setProperty(`--${name}`, share / most);
  const text = `${impressions.toLocaleString()} shown, ${percent(rate, 2)} clicked (${percent(low, 2)} to ${percent(high, 2)})`;
  return element("div", { className: "outcome" }, element("p", {}, text), interval);
}

/** Open a creative with its chain, history and review buttons. */
export function show(id) {
  byId("creative-body").replaceChildren();
  if (!detail.open) detail.showModal();
  run(detail, "Looking…", async (signal) => {
    const { creative, content, ancestors, children, history } = await post("v1/library/show", { id }, signal);
    const { model } = creative;
    byId("creative-title").textContent = describe(creative);
    byId("creative-body").replaceChildren(
      preview(creative, content),
      facts([
        ["Id", creative.id], ["Model", model && `${model.name} ${model.version ?? model.digest ?? ""}`], ["Seed", creative.seed],
        ["Made", new Date(creative.created_at).toLocaleString()],
      ]),
      ...chain("Made from", ancestors), ...chain("Made of this", children),
      element("ul", {}, ...history.map((entry) => element("li", {}, describeReview({ ...entry, reviewed_by: entry.actor, reviewed_at: entry.time })))),
      reviewButtons(creative, detail, () => browse()));
    return history.length ? "" : describeReview(creative);
  });
}

function chain(title, creatives) {
  if (!creatives.length) return [];
  const links = creatives.map((creative) => element("li", {},
    element("button", { type: "button", className: "plain", onclick: () => show(creative.id) }, describe(creative))));
  return [element("h3", {}, title), element("ul", { className: "chain" }, ...links)];
}

form.addEventListener("submit", (event) => {
  event.preventDefault();
  browse();
});
byId("close-creative").addEventListener("click", () => detail.close());
