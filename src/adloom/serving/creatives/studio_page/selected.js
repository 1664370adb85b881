/** Look closely at one picture: what a model reads in it, its neighbours, its credentials, a review. */

import { ApiError, post, run } from "./api.js";
import { bars, byId, dataUrl, downloadLink, element, facts, image, percent } from "./dom.js";
import { preview, reviewButtons, show } from "./library.js";
import { stylize } from "./pictures.js";

/**
 * @typedef {{file: string, category: string | null, name: string, seed: number | null, model: object | null,
 *   id: string | null, style: string | null}} Picture a drawn or stylised one, or the person's own
 */

/** @type {Picture | null} */
export let selected = null;
const panel = byId("selected");
let served = {};

/** Remember which models may be asked. */
export function offerSelected(models) {
  served = models;
}

/** @param {Picture} picture */
export const describe = ({ name, style }) => (style ? `${name}, style ${style}` : name);

/** Choose a picture and show all that is known of it. */
export function select(picture) {
  selected = picture;
  const { model } = picture;
  byId("selected-picture").replaceChildren(
    image(picture.file, describe(picture)),
    facts([
      ["Picture", picture.name], ["Style", picture.style],
      ["Model", model && `${model.name} ${model.version ?? model.digest.slice(0, 12)}`],
    ]),
    element("div", { className: "buttons" },
      served.style ? element("button", { type: "button", className: "plain", onclick: () => restyle(picture), textContent: "Stylise" }) : null,
      model && downloadLink("PNG", dataUrl(picture.file), `${describe(picture).replace(/[^\w.-]+/g, "-")}.png`),
      picture.id ? reviewButtons({ id: picture.id, state: "draft" }, panel) : null));
  byId("reading").replaceChildren();
  byId("credentials").replaceChildren();
  run(panel, "Looking…", async (signal) => {
    const results = await Promise.allSettled([read(picture, signal), verify(picture, signal)]);
    for (const { reason } of results) if (reason) throw reason;
    return results.map(({ value }) => value).join(" ");
  });
}

function restyle(picture) {
  run(panel, "Painting…", async (signal) => {
    const painted = { ...picture };
    await stylize(painted, signal);
    select(painted);
    return "";
  });
}

async function read(picture, signal) {
  if (!served.cnn) return "";
  const [reading] = (await post("v1/creatives/read", { pictures: [picture.file], nearest: 5 }, signal)).items;
  if (reading.error) throw new ApiError(reading.error.detail);
  const likely = Object.entries(reading.probabilities).sort((a, b) => b[1] - a[1]).slice(0, 3);
  const held = await Promise.all(reading.nearest.map(({ creative_id }) => findInLibrary(creative_id, signal)));
  const nearest = reading.nearest.map((neighbour, index) => [describeNeighbour(neighbour, held[index]), neighbour.similarity]);
  const isPartial = held.includes(null);
  byId("reading").replaceChildren(...[bars("Read as", likely), bars("Nearest known creatives", nearest, (cosine) => cosine.toFixed(2)),
    isPartial && element("p", { className: "quiet" }, "A training picture that is not in the library has only a name here, because the model keeps no pictures."),
  ].filter(Boolean));
  return `Read as ${reading.category}.`;
}

/** Return a creative of the library, or null; ids of the library are digests, others are the advertiser's own. */
async function findInLibrary(id, signal) {
  if (!id.startsWith("sha256:")) return null;
  return post("v1/library/show", { id }, signal).catch((error) => {
    if (error instanceof ApiError) return null;
    throw error;
  });
}

/** Return a button with the neighbour's picture if the library holds it, else its name. */
function describeNeighbour({ creative_id: id, category }, held) {
  if (!held) return `${id} · ${category}`;
  return element("button", { type: "button", className: "neighbour", onclick: () => show(id) }, preview(held.creative, held.content), category);
}

async function verify(picture, signal) {
  const found = await post("v1/creatives/verify", { picture: picture.file }, signal);
  const { origin, match } = found;
  const ingredients = found.ingredients.map(({ title, signed }) => `${title}${signed ? "" : " (unsigned)"}`).join(", ");
  byId("credentials").replaceChildren(element("h3", {}, "Credentials"), element("p", {}, judge(found)), facts([
    ["Made", found.made_at && new Date(found.made_at).toLocaleString()], ["Signed by", found.signed_by], ["Trusted by", found.trusted_by],
    ["Model", origin && [origin.model, origin.version].filter(Boolean).join(" ")], ["Data", origin?.dataset?.slice(0, 12)], ["Made from", ingredients],
    ["Shows", match && `${match.id} (${match.kind}, certainty ${percent(match.certainty)})`],
  ]));
  return "";
}

/** Say in a sentence what a picture's credentials are worth. */
function judge({ state, changed, ours, match }) {
  const signer = ours ? "this service" : "another signer";
  const shown = match ? " It shows a picture that this service issued." : "";
  return { whole: `Whole, as ${signer} signed it.`, expired: "Whole, but the signer's certificate has expired.",
    changed: `Changed after signing: ${changed.join(", ")}.`, stripped: "It carries no credentials." }[state] + shown;
}
