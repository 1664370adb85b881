/** Draw pictures, paint them in a style, and show them as a sheet. */

import { ApiError, post, run } from "./api.js";
import { byId, count, element, encodeFile, fillSelect, image, optionalNumber } from "./dom.js";
import { describe, select, selected } from "./selected.js";

const section = byId("pictures");
const form = section.querySelector("form");
const fields = form.elements;
/** @type {import("./selected.js").Picture[]} */
let sheet = [];

/** Return the category of the form. */
export const chosenCategory = () => fields.category.value || null;

/** Offer what the generator knows. */
export function offerPictures(models) {
  fillSelect(fields.category, models.gan?.categories ?? []);
  byId("attributes").replaceChildren(...Object.entries(models.gan?.attributes ?? {}).map(attributeLabel));
  fields.style.disabled = !models.style;
}

function attributeLabel([name, values]) {
  const select = element("select", { "data-attribute": name });
  fillSelect(select, values, ["", "any"]);
  return element("label", {}, `${name} `, select);
}

async function draw(signal) {
  const attributes = [...form.querySelectorAll("[data-attribute]")].filter((select) => select.value);
  const answer = await post("v1/creatives/generate", {
    category: fields.category.value,
    attributes: Object.fromEntries(attributes.map((select) => [select.dataset.attribute, select.value])),
    n: Number(fields.n.value),
    seed: optionalNumber(fields.seed),
    save: fields.save.checked,
  }, signal);
  const { category, model, seed, numbers, ids } = answer;
  const drawn = answer.pictures.map((file, i) =>
    ({ file, category, seed, model, name: `${category}, seed ${seed}, picture ${numbers[i] + 1}`, id: ids[i] ?? null, style: null }));
  showSheet(drawn);
  const summary = `${count(drawn, "picture")} of ${category}, seed ${seed}`;
  if (!fields.style.files.length) return `${summary}.`;
  for (const picture of drawn) {
    await stylize(picture, signal);
    showSheet(drawn);
  }
  return `${summary}, in the style ${fields.style.files[0].name}.`;
}

/** Paint a picture in the chosen style; it keeps its place in the sheet. */
export async function stylize(picture, signal) {
  const [style] = fields.style.files;
  if (!style) throw new ApiError("Choose a style picture in the form of Pictures first.");
  const answer = await post("v1/creatives/stylize", {
    content: picture.file,
    style: await encodeFile(style),
    strength: Number(fields.strength.value),
    save: fields.save.checked,
  }, signal);
  Object.assign(picture, { file: answer.picture, id: answer.ids[0] ?? null, model: answer.model, style: style.name });
}

/** Show the person's own picture before the others and choose it. */
async function useOwn({ target }) {
  const [file] = target.files;
  if (!file) return;
  const picture = { file: await encodeFile(file), category: chosenCategory(), name: file.name, seed: null, model: null, id: null, style: null };
  showSheet([picture, ...sheet]);
  byId("sheet").firstElementChild.click();
}

function showSheet(pictures) {
  sheet = pictures;
  const focused = [...byId("sheet").children].indexOf(document.activeElement);
  byId("sheet").replaceChildren(...pictures.map((picture, i) =>
    element("div", {
      role: "option", tabIndex: i === Math.max(focused, 0) ? 0 : -1, ariaSelected: `${picture === selected}`,
      onclick: (event) => choose(picture, event.currentTarget),
    }, image(picture.file, describe(picture)))));
  if (focused >= 0) byId("sheet").children[focused]?.focus();
}

/** Move the focus in the sheet with the arrow keys, choose with Enter and the space bar. */
function moveInSheet(event) {
  const options = [...byId("sheet").children];
  const now = options.indexOf(document.activeElement);
  const columns = options.filter((option) => option.offsetTop === options[0].offsetTop).length;
  const steps = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -columns, ArrowDown: columns, Home: -now, End: options.length - 1 - now };
  if (event.key === "Enter" || event.key === " ") options[now]?.click();
  else if (event.key in steps) focusOption(options, now + steps[event.key]);
  else return;
  event.preventDefault();
}

function focusOption(options, place) {
  if (!options[place]) return;
  for (const option of options) option.tabIndex = -1;
  options[place].tabIndex = 0;
  options[place].focus();
}

function choose(picture, option) {
  for (const other of byId("sheet").children) other.ariaSelected = `${other === option}`;
  focusOption([...byId("sheet").children], [...byId("sheet").children].indexOf(option));
  select(picture);
}

form.addEventListener("submit", (event) => {
  event.preventDefault();
  run(section, "Drawing…", draw);
});
fields.style.addEventListener("change", () => (byId("strength").hidden = !fields.style.files.length));
byId("sheet").addEventListener("keydown", moveInSheet);
byId("own-picture").addEventListener("change", useOwn);
