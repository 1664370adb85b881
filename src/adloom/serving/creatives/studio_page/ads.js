/** Compose ads from the selected picture and the headline, in several sizes. */

import { ApiError, post, run } from "./api.js";
import { byId, downloadLink, element, image } from "./dom.js";
import { reviewButtons } from "./library.js";
import { selected } from "./pictures.js";

const SIZES = ["300x250", "728x90", "160x600", "320x50", "970x250", "300x600", "1080x1080", "1080x1920", "1200x628"];
const FIRST = 3; // sizes that are checked at the start
const section = byId("ads");
const form = section.querySelector("form");

/** Offer the sizes. */
export function offerAds() {
  const boxes = SIZES.map((size, i) =>
    element("label", {}, element("input", { type: "checkbox", name: "size", value: size, checked: i < FIRST }), size));
  byId("sizes").append(...boxes);
}

async function compose(signal) {
  if (!selected) throw new ApiError("Choose a picture first.");
  const sizes = [...form.querySelectorAll("[name=size]:checked")].map((box) => box.value);
  if (!sizes.length) throw new ApiError("Choose at least one size.");
  const picture = selected.id ? { picture_id: selected.id } : { picture: selected.file };
  const answer = await post("v1/ads/make", {
    category: selected.category, sizes, headline: form.elements.headline.value, save: form.elements.save.checked, ...picture,
  }, signal);
  byId("ad-list").replaceChildren(...answer.ads.map(adFigure));
  return `${answer.ads.length} ad${answer.ads.length === 1 ? "" : "s"}.`;
}

function adFigure(ad) {
  const picture = image(ad.png, `Ad ${ad.size}: ${form.elements.headline.value}`);
  picture.width = ad.size.split("x")[0];
  const findings = ad.findings.map(({ rule, reason }) => element("li", {}, `${rule}: ${reason}`));
  return element("figure", {}, picture, element("figcaption", {},
    element("strong", {}, ad.size),
    downloadLink("PNG", ad.png, "image/png", `ad-${ad.size}.png`),
    downloadLink("SVG", ad.svg, "image/svg+xml", `ad-${ad.size}.svg`),
    findings.length ? element("ul", { className: "findings" }, ...findings) : null,
    ad.id ? reviewButtons({ id: ad.id, state: "draft" }, section) : null));
}

form.addEventListener("submit", (event) => {
  event.preventDefault();
  run(section, "Composing…", compose);
});
