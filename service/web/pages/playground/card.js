// The model's card: its figures beside those of real images, with what they mean; data, licence, how it was trained.

import { find, make, words } from "./parts.js";
import { askText, newestWins } from "./service.js";
import { card, view } from "./view.js";

// Name, digits, and what it says. A floor is what real images get in the place of the generated ones.
const FIGURES = {
  frechet_distance: ["Fréchet distance", 3, "how far its images lie from real ones, as a judge sees both; lower is better"],
  kernel_distance: ["Kernel distance", 5, "the same by another measure, with no assumption about shapes; lower is better"],
  inception_score: ["Inception Score", 2, "clear and of every class; higher is better"],
  class_accuracy: ["Class accuracy", 3, "images that the judge recognises as the class asked for"],
  precision: ["Precision", 3, "images that could be real ones; higher is better"],
  recall: ["Recall", 3, "real images that it could have drawn; higher is better"],
  density: ["Density", 3, "how typical its images are; higher is better"],
  coverage: ["Coverage", 3, "real images that have one of its own nearby; higher is better"],
};

export const drawCard = newestWins(async (signal) => {
  const { id, classes, mixes_classes, training, quality, version, verified } = card();
  const verdict = quality?.verdicts?.at(-1);
  words(find("card-words"), verdict ? null : { title: "This model's file has no figures.", message: "Training and export write them into it." });
  find("figures").hidden = !verdict;
  find("figures").tBodies[0].replaceChildren(...Object.entries(verdict?.figures ?? {}).filter(([name]) => FIGURES[name]).map(row));
  const facts = [];
  const accuracies = Object.entries(verdict?.class_accuracies ?? {}).sort(([, a], [, b]) => a.value - b.value);
  if (verdict) facts.push(["Judge", `${verdict.judge.architecture}, right on ${percent(verdict.test_accuracy)} of real images`]);
  if (accuracies.length) {
    const [name, { value, floor }] = accuracies[0];
    facts.push(["Worst class", `${name}: ${percent(value)} recognised; of real images ${percent(floor)}`]);
  }
  if (classes) facts.push(["Labels", mixes_classes ? "weights over classes, so that an image may be of several" : "one class for an image"]);
  if (training?.dataset) facts.push(["Data", training.dataset]);
  if (training?.images_seen) facts.push(["Trained on", `${training.images_seen.toLocaleString("en")} images, ${training.loss} loss, network ${training.network}, ${training.parameters.toLocaleString("en")} parameters`]);
  facts.push(["File", `version ${version}, ${verified ? "its card names it" : "no card names it"}`]);
  find("card-facts").replaceChildren(...facts.flatMap(([name, text]) => [make("dt", { textContent: name }), make("dd", { textContent: text })]));
  const readme = await askText(`playground/cards/${encodeURIComponent(id)}`, signal).catch((error) => {
    if (error.name === "AbortError") throw error;
    return "";
  });
  if (id !== view.model) return;
  const licence = /^## Data and licence\n+([^]*?)(?=^## |$(?![^]))/m.exec(readme)?.[1].trim();
  find("licence").textContent = plain(licence ?? "The model brings no word about its data and licence.");
});

function row([name, { value, floor }]) {
  const [title, digits, meaning] = FIGURES[name];
  const cells = [value, floor].map((one) => make("td", { textContent: one == null ? "–" : one.toFixed(digits) }));
  return make("tr", {}, make("th", { scope: "row", textContent: title }), ...cells, make("td", { className: "hint", textContent: meaning }));
}

/** The figures that tell two models of one data set apart, in a line. */
export function shortFigures({ quality }) {
  const figures = quality?.verdicts?.at(-1)?.figures ?? {};
  return ["frechet_distance", "precision", "coverage"]
    .filter((name) => figures[name])
    .map((name) => `${FIGURES[name][0]} ${figures[name].value.toFixed(FIGURES[name][1])}`)
    .join(" · ");
}

const percent = (part) => `${(100 * part).toFixed(1)} %`;
// Links of Markdown as their text and address.
const plain = (text) => text.replace(/\[([^\]]*)\]\(([^)]*)\)/g, "$1 ($2)").replaceAll("**", "");
