/** Browse the library, and approve or reject. */

import { post, run } from "./api.js";
import { ask, byId, element, fillSelect } from "./dom.js";

const section = byId("shelf");
const form = section.querySelector("form");

/** Offer the categories of every served model. */
export function offerLibrary(models) {
  const categories = new Set(models.flatMap((model) => model.categories));
  fillSelect(form.elements.category, [...categories].sort(), ["", "any"]);
}

/** Return the buttons that approve and reject a creative; the section shows the result. */
export function reviewButtons(id, shown) {
  const review = (state, reason) =>
    run(shown, "Saving…", async (signal) => {
      const answer = await post("v1/library/review", { id, state, reason }, signal);
      return `${state === "approved" ? "Approved" : "Rejected"}${answer.reviewed_by ? ` by ${answer.reviewed_by}` : ""}.`;
    });
  const reject = async () => {
    const answer = await ask("reject-dialog");
    if (answer) await review("rejected", answer.get("reason"));
  };
  return [
    element("button", { type: "button", onclick: () => review("approved", null), textContent: "Approve" }),
    element("button", { type: "button", className: "plain", onclick: reject, textContent: "Reject" }),
  ];
}

/** Show what the filters find. */
export function browse() {
  return run(section, "Looking…", async (signal) => {
    await post("v1/library/list", { kind: form.elements.kind.value, state: form.elements.state.value }, signal);
    return "";
  });
}

form.addEventListener("submit", (event) => {
  event.preventDefault();
  browse();
});
