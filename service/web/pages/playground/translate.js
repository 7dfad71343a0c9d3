// A picture of a picture, by a model that is given one: what is dropped or chosen goes to the service, and nowhere else.

import { takesPictures } from "./dropped.js";
import { find, make, milliseconds, source, words } from "./parts.js";
import { ask, newestWins } from "./service.js";
import { cards, view } from "./view.js";

let picture = null; // a Blob

const translator = () => cards.find((one) => one.id === find("translator").value);

/** The panel's models, once the cards are there. Without any it has no tab. */
export function showTranslators() {
  const able = cards.filter((one) => one.source && one.state === "ready");
  find("tab-translate").hidden = !able.length;
  const before = find("translator").value;
  find("translator").replaceChildren(...able.map(({ id }) => make("option", { value: id, textContent: id })));
  if (able.some(({ id }) => id === before)) find("translator").value = before;
  showClasses();
}

function showClasses() {
  const { classes, slugs, source: taken, image } = translator() ?? {};
  const before = find("translate-class").value;
  const named = (classes ?? []).map((name, i) => make("option", { value: slugs[i], textContent: name }));
  find("translate-class").replaceChildren(make("option", { value: "", textContent: classes ? "By the seed" : "None" }), ...named);
  find("translate-class").value = slugs?.includes(before) ? before : "";
  find("translate-class").disabled = !classes;
  if (taken) find("translate-facts").textContent = `${taken.height} × ${taken.width} in, ${image.height} × ${image.width} out. A picture of another size is cropped around its centre and scaled.`;
}

export const drawTranslation = newestWins(async (signal) => {
  const own = translator();
  if (!own || !picture) return;
  const query = new URLSearchParams({ model: own.id, format: "json" });
  if (own.inputs.some(({ role }) => role === "z" || role === "noise")) query.set("seed", view.seed);
  if (find("translate-class").value) query.set("label", find("translate-class").value);
  try {
    const { answer, ms } = await ask(`v1/translations?${query}`, picture, signal);
    words(find("translate-words"), null);
    const [{ image, label }] = answer.images;
    Object.assign(find("translated"), { src: source(image), alt: `Translated by ${own.id}${label ? `, ${label}` : ""}`, hidden: false });
    Object.assign(find("save-translation"), { href: source(image), download: `${own.id}.png`, hidden: false });
    find("translate-latency").textContent = milliseconds(ms);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    words(find("translate-words"), error);
  }
});

function take(blob) {
  picture = blob;
  // From the page's memory: it may show no other addresses than its own.
  const reader = new FileReader();
  reader.onload = () => Object.assign(find("given"), { src: reader.result, hidden: false });
  reader.readAsDataURL(blob);
  drawTranslation();
}

takesPictures("picture", "slot-given", take);
find("translator").addEventListener("change", () => {
  showClasses();
  drawTranslation();
});
find("translate-class").addEventListener("change", drawTranslation);
