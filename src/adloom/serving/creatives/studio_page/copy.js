/** Write lines of copy and choose one as the headline. */

import { post, run } from "./api.js";
import { byId, count, downloadLink, element, fillSelect, optionalNumber } from "./dom.js";

const section = byId("copy");
const form = section.querySelector("form");
const fields = form.elements;

/** Offer the categories of the copywriter. */
export function offerCopy(models) {
  fillSelect(fields.category, models.lstm?.categories ?? [], ["", "any"]);
}

/** @param {HTMLInputElement} input */
const words = (input) => input.value.split(",").map((word) => word.trim()).filter(Boolean);

async function write(signal) {
  const answer = await post("v1/copy/generate", {
    category: fields.category.value || null,
    prompt: fields.prompt.value,
    n: Number(fields.n.value),
    seed: optionalNumber(fields.seed),
    save: fields.save.checked,
    rules: {
      max_characters: Number(fields.max_characters.value),
      required_words: words(fields.required_words),
      banned_words: words(fields.banned_words),
      no_claims: fields.no_claims.checked,
    },
  }, signal);
  byId("lines").hidden = answer.lines.length === 0;
  byId("lines").replaceChildren(byId("lines").firstElementChild, ...answer.lines.map((line, i) => lineRow(line, answer.sidecars[i])));
  if (answer.lines.length === 0) return "No line keeps these rules. Loosen them and write again.";
  return `${count(answer.lines, "line")}, seed ${answer.seed}. Choose one as the headline.`;
}

function lineRow(line, sidecar) {
  const radio = element("input", { type: "radio", name: "line", value: line, onchange: () => useLine(line) });
  const label = element("label", {}, radio, element("span", {}, line), element("span", { className: "number" }, `${line.length}`));
  const href = `data:application/json,${encodeURIComponent(JSON.stringify({ line, sidecar }))}`;
  return element("div", {}, label, downloadLink("Credentials", href, "line.json"));
}

function useLine(line) {
  byId("ads").querySelector("[name=headline]").value = line;
}

form.addEventListener("submit", (event) => {
  event.preventDefault();
  run(section, "Writing…", write);
});
