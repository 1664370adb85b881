/** Start the studio: models, views, token. */

import { offerAds } from "./ads.js";
import { askToken, disable, get } from "./api.js";
import { offerCopy } from "./copy.js";
import { byId } from "./dom.js";
import { browse, offerLibrary } from "./library.js";
import { offerPictures } from "./pictures.js";

async function start() {
  offerAds();
  try {
    const { models, absent } = await get("v1/models");
    for (const offer of [offerPictures, offerCopy, offerLibrary]) offer(models);
    for (const section of document.querySelectorAll("[data-model]")) {
      const reason = absent[section.dataset.model];
      if (reason) disable(section, `Model ${section.dataset.model} is not served: ${reason}`);
    }
  } catch (error) {
    for (const section of document.querySelectorAll("[data-model]")) disable(section, error.message);
  }
}

function showView() {
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
