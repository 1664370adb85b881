/** Draw pictures, show them as a sheet, and look closely at one. */

import { ApiError, post, run } from "./api.js";
import { bars, byId, dataUrl, downloadLink, element, facts, fillSelect, image, optionalNumber } from "./dom.js";
import { reviewButtons } from "./library.js";
import { encodeFile, readStyle, STYLES } from "./styles.js";

const NONE = "None";

/**
 * @typedef {{file: string, category: string | null, name: string, seed: number | null, model: object | null,
 *   id: string | null, style: string | null}} Picture a drawn or stylised one, or the person's own
 */

/** @type {Picture | null} */
export let selected = null;
const section = byId("pictures");
const panel = byId("selected");
const form = section.querySelector("form");
const fields = form.elements;
let served = new Set();
/** @type {Picture[]} */
let sheet = [];

/** Return the category of the form. */
export const chosenCategory = () => fields.category.value || null;

/** Offer what the generator knows. */
export function offerPictures(models) {
  served = new Set(models.map(({ model }) => model.name));
  const gan = models.find(({ model }) => model.name === "gan");
  if (!gan) return;
  fillSelect(fields.category, gan.categories);
  byId("attributes").replaceChildren(...Object.entries(gan.attributes).map(attributeLabel));
  fillSelect(fields.style, served.has("style") ? STYLES : [], [NONE, NONE]);
  showStyleFields();
}

function attributeLabel([name, values]) {
  const select = element("select", { "data-attribute": name });
  fillSelect(select, values, ["", "any"]);
  return element("label", {}, `${name} `, select);
}

function showStyleFields() {
  byId("style-file").hidden = fields.style.value !== STYLES.at(-1);
  byId("style-strength").hidden = fields.style.value === NONE;
  fields.file.required = !byId("style-file").hidden;
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
  const count = `${drawn.length} picture${drawn.length === 1 ? "" : "s"} of ${category}, seed ${seed}`;
  if (fields.style.value === NONE) return `${count}.`;
  for (const picture of drawn) {
    await stylize(picture, signal);
    showSheet(drawn);
  }
  return `${count}, in the style ${fields.style.value}.`;
}

/** Paint a picture in the chosen style; it keeps its place in the sheet. */
async function stylize(picture, signal) {
  const style = fields.style.value;
  if (style === NONE) throw new ApiError("Choose a style in the form of Pictures first.");
  if (fields.file.required && !fields.file.files.length) throw new ApiError("Choose a style picture in the form of Pictures first.");
  const answer = await post("v1/creatives/stylize", {
    content: picture.file,
    style: await readStyle(style, fields.file.files[0]),
    strength: Number(fields.strength.value),
    save: fields.save.checked,
  }, signal);
  Object.assign(picture, { file: answer.picture, id: answer.ids[0] ?? null, model: answer.model, style });
}

/** @param {Picture} picture */
const describe = ({ name, style }) => (style ? `${name}, style ${style}` : name);

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
  selected = picture;
  showSelected();
}

function showSelected() {
  const picture = selected;
  byId("selected-picture").replaceChildren(
    image(picture.file, describe(picture)),
    facts([
      ["Picture", picture.name], ["Style", picture.style],
      ["Model", picture.model && `${picture.model.name} ${picture.model.version ?? picture.model.digest.slice(0, 12)}`],
    ]),
    element("div", { className: "buttons" },
      served.has("style") ? element("button", { type: "button", className: "plain", onclick: () => restyle(picture), textContent: "Stylise" }) : null,
      picture.model && downloadLink("PNG", dataUrl(picture.file), `${describe(picture).replace(/[^\w.-]+/g, "-")}.png`),
      picture.id ? reviewButtons({ id: picture.id, state: "draft" }, panel) : null));
  byId("reading").replaceChildren();
  byId("credentials").replaceChildren();
  run(panel, "Reading…", (signal) => read(picture, signal));
}

function restyle(picture) {
  run(panel, "Painting…", async (signal) => {
    const painted = { ...picture };
    await stylize(painted, signal);
    selected = painted;
    showSelected();
    return "";
  });
}

async function read(picture, signal) {
  if (!served.has("cnn")) return "No model reads pictures here, so there are no neighbours.";
  const [reading] = (await post("v1/creatives/read", { pictures: [picture.file], nearest: 5 }, signal)).items;
  if (reading.error) throw new ApiError(reading.error.detail);
  const likely = Object.entries(reading.probabilities).sort((a, b) => b[1] - a[1]).slice(0, 3);
  byId("reading").replaceChildren(
    bars("Read as", likely),
    bars("Nearest known creatives", reading.nearest.map((n) => [`${n.creative_id} · ${n.category}`, n.similarity]), (cosine) => cosine.toFixed(2)));
  return `Read as ${reading.category}.`;
}

form.addEventListener("submit", (event) => {
  event.preventDefault();
  run(section, "Drawing…", draw);
});
fields.style.addEventListener("change", showStyleFields);
byId("sheet").addEventListener("keydown", moveInSheet);
byId("own-picture").addEventListener("change", useOwn);
