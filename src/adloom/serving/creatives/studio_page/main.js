/** Start the studio: models, views, token. */

import { offerAds } from "./ads.js";
import { askToken, disable, get } from "./api.js";
import { offerCopy } from "./copy.js";
import { byId } from "./dom.js";
import { browse, offerLibrary } from "./library.js";
import { offerPictures } from "./pictures.js";
import { offerSelected } from "./selected.js";

async function start() {
  offerAds();
  try {
    const { models, absent } = await get("v1/models");
    const byName = Object.fromEntries(models.map((served) => [served.model.name, served]));
    for (const offer of [offerPictures, offerSelected, offerCopy, offerLibrary]) offer(byName);
    for (const [name, reason] of Object.entries(absent)) showAbsence(name, `Model ${name} is not served: ${reason}`);
  } catch (error) {
    for (const section of document.querySelectorAll("[data-model]")) disable(section, error.message);
  }
}

function showAbsence(name, reason) {
  for (const section of document.querySelectorAll(`[data-model=${name}]`)) disable(section, reason);
  for (const note of document.querySelectorAll(`[data-absent=${name}]`)) note.textContent = reason;
}

function showView() {
  if (location.hash === "#content") return; // of the skip link
  const name = location.hash === "#library" ? "library" : "make";
  for (const view of ["make", "library"]) {
    byId(view).hidden = view !== name;
    byId(`show-${view}`).ariaCurrent = view === name ? "page" : null;
  }
  if (name === "library") browse();
}

byId("change-token").addEventListener("click", () => askToken("Use another token from now on.").catch(() => {}));
window.addEventListener("hashchange", showView);
await start();
showView();
