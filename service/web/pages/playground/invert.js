// From a picture of one's own to its z, and from there on a walk to the seed that is looked at. The picture goes to the service, and nowhere else.

import { takesPictures } from "./dropped.js";
import { inspect } from "./inspect.js";
import { fill, find, milliseconds, plainCell, roving, source, words } from "./parts.js";
import { ask, newestWins } from "./service.js";
import { card, view } from "./view.js";

const STEPS = 12;
const walk = find("walk");
const settle = roving(walk);
let picture = ""; // a file in base64
let found = null; // {of, model, z, label}

/** Only a model with an encoder has the panel; a classifier finds no z. */
export function showInversion() {
  find("tab-invert").hidden = !card().encoder?.outputs?.includes("z");
}

export const drawInversion = newestWins(async (signal) => {
  if (!picture || find("tab-invert").hidden) return;
  const box = find("invert-words");
  const own = card();
  const model = `${own.id}@${own.version}`;
  try {
    // The seed moves more often than the picture changes.
    if (found?.of !== picture || found.model !== model) {
      const { answer, ms } = await ask("v1/inversions", { model, images: [picture] }, signal);
      found = { of: picture, model, ...answer.images[0] };
      show(ms);
    }
    const wish = { model, format: "json", ...(found.label != null && { label: found.label }) };
    const there = (await ask("v1/samples", { ...wish, seed: view.seed, include_z: true }, signal)).answer.images[0];
    const { answer } = await ask("v1/interpolations", { ...wish, z: [found.z, there.z], steps: STEPS }, signal);
    if (own !== card()) return;
    words(box, null);
    fill(walk, answer.images.map((image, i) => frame(image, i, own)), plainCell);
    settle();
  } catch (error) {
    if (error.name === "AbortError") throw error;
    words(box, error);
  }
});

function frame({ image, label, z }, i, model) {
  const name = i === 0 ? "The picture, drawn again" : i === STEPS - 1 ? `Seed ${view.seed}` : `Step ${i} of ${STEPS - 1}`;
  return { name, file: `walk-${i}.png`, source: source(image), label, z, open: (one) => inspect(one, model, 1, []) };
}

function show(ms) {
  const { label, probability, error, reconstruction, size } = found;
  Object.assign(find("found"), { src: source(reconstruction), hidden: false, alt: "Drawn of the z that was found" });
  const class_ = label == null ? "" : `${label}, to ${Math.round(100 * probability)} %. `;
  const fitted = size ? ` It was ${size.replace("x", " × ")}, and is cropped around its centre and scaled.` : "";
  find("invert-facts").textContent = `${class_}What is drawn of its z is ${error.toFixed(1)} of 255 grey levels off.${fitted} ${milliseconds(ms)}.`;
}

function take(blob) {
  // From the page's memory: it may show no other addresses than its own.
  const reader = new FileReader();
  reader.onload = () => {
    picture = reader.result.split(",")[1];
    Object.assign(find("own"), { src: reader.result, hidden: false });
    drawInversion();
  };
  reader.readAsDataURL(blob);
}

takesPictures("own-file", "slot-own", take);
