/** Compose ads from the selected picture and the headline, in several sizes. */

import { ApiError, post, run } from "./api.js";
import { byId, count, dataUrl, downloadLink, element, image, optionalNumber } from "./dom.js";
import { reviewButtons } from "./library.js";
import { chosenCategory } from "./pictures.js";
import { selected } from "./selected.js";

const SIZES = ["300x250", "728x90", "160x600", "320x50", "970x250", "300x600", "1080x1080", "1080x1920", "1200x628"];
const FIRST = 3; // sizes that are checked at the start
const section = byId("ads");
const form = section.querySelector("form");
const fields = form.elements;

/** Offer the sizes. */
export function offerAds() {
  const boxes = SIZES.map((size, i) =>
    element("label", {}, element("input", { type: "checkbox", name: "size", value: size, checked: i < FIRST }), size));
  byId("sizes").append(...boxes);
}

async function compose(signal) {
  const sizes = [...form.querySelectorAll("[name=size]:checked")].map((box) => box.value);
  if (!sizes.length) throw new ApiError("Choose at least one size.");
  const picture = selected?.id ? { picture_id: selected.id } : selected ? { picture: selected.file } : {};
  const answer = await post("v1/ads/make", {
    category: selected?.category ?? chosenCategory(),
    n: Number(fields.n.value),
    seed: optionalNumber(fields.seed),
    sizes,
    headline: fields.headline.value.trim() || null,
    save: fields.save.checked,
    ...picture,
  }, signal);
  const rank = [...new Set(answer.ads.map(({ variant }) => variant))];
  const height = ({ size }) => Number(size.split("x")[1]);
  const sorted = answer.ads.toSorted((a, b) => rank.indexOf(a.variant) - rank.indexOf(b.variant) || height(a) - height(b));
  byId("ad-list").replaceChildren(...sorted.map((ad) => adFigure(ad, rank.indexOf(ad.variant) + 1)));
  const broken = answer.ads.filter((ad) => ad.findings.length).length;
  return `${count(answer.ads, "ad")}, seed ${answer.seed}${broken ? `; ${broken} must not be shown, for the reasons below` : ""}; ${answer.basis}.`;
}

function adFigure(ad, rank) {
  const name = `ad-${rank}-${ad.size}`;
  const findings = ad.findings.map(({ rule, message }) => element("li", {}, `${rule}: ${message}`));
  return element("figure", {}, image(ad.png, `Ad ${ad.size}: ${ad.headline}`), element("figcaption", {},
    element("strong", {}, `${rank}. ${ad.size}`),
    findings.length ? null : downloadLink("PNG", dataUrl(ad.png), `${name}.png`),
    ad.svg === null ? null : downloadLink("SVG", `data:image/svg+xml,${encodeURIComponent(ad.svg)}`, `${name}.svg`),
    findings.length ? element("ul", { className: "findings" }, ...findings) : null,
    ad.id ? reviewButtons({ id: ad.id, state: "draft" }, section) : null));
}

form.addEventListener("submit", (event) => {
  event.preventDefault();
  run(section, "Composing…", compose);
});
