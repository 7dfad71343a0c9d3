// first - minus + plus, each the mean z of its seeds: Radford et al. 2016, section 6.3.2.

import { inspect } from "./inspect.js";
import { scalars } from "./named.js";
import { dropZone, fill, find, make, milliseconds, plainCell, roving, source, words } from "./parts.js";
import { Refusal, ask, newestWins, readAddress } from "./service.js";
import { card, className, keep, view } from "./view.js";

const SLOTS = { first: 1, minus: -1, plus: 1 };
const result = find("result");
const settle = roving(result);

/** One more seed in a slot, or, where it is there already, as it was. */
export function add(slot, seed) {
  const seeds = view[slot].split(/[\s,]+/).filter(Boolean);
  if (!seeds.includes(String(seed))) view[slot] = [...seeds, seed].join(", ");
  keep();
}

export function drawArithmetic() {
  for (const slot of Object.keys(SLOTS)) {
    if (document.activeElement !== find(slot)) find(slot).value = view[slot];
  }
  showClasses();
  draw();
}

function showClasses() {
  const { classes, slugs } = card();
  if (!slugs?.includes(view.sumClass)) view.sumClass = (slugs?.includes(view.class) && view.class) || slugs?.[0] || "";
  const options = (classes ?? ["none"]).map((name, i) => make("option", { value: slugs?.[i] ?? "", textContent: name }));
  find("sum-class").replaceChildren(...options);
  find("sum-class").value = view.sumClass;
  find("sum-class").disabled = !classes;
}

const draw = newestWins(async (signal) => {
  const box = find("arithmetic-words");
  const { model, truncation, sumClass } = view;
  const named = scalars();
  try {
    const terms = Object.entries(SLOTS).map(([slot, weight]) => ({ weight, seeds: seedsOf(slot) }));
    const wish = { model, terms, truncation, include_terms: true, format: "json", ...(sumClass && { label: sumClass }), ...named };
    const { answer, ms } = await ask("v1/arithmetic", wish, signal);
    if (model !== view.model) return;
    words(box, null);
    find("arithmetic-latency").textContent = `in ${milliseconds(ms)}`;
    show(answer, named);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    words(box, error);
  }
});

function seedsOf(slot) {
  const seeds = view[slot].split(/[\s,]+/).filter(Boolean);
  const wrong = seeds.find((seed) => !/^\d+$/.test(seed));
  if (wrong) throw new Refusal("That is no seed.", `'${wrong}' in ${slot}: seeds are whole numbers with commas between.`);
  if (!seeds.length) throw new Refusal("A slot is empty.", `${slot} needs at least one seed.`);
  return seeds.map(Number);
}

function show(answer, named) {
  const model = card();
  const name = className(view.sumClass) ?? "Result";
  // The terms as they were asked for, then the sum.
  const [{ image, z }, ...means] = [answer.images.at(-1), ...answer.images.slice(0, -1)];
  const one = { name: `${name}: first minus minus plus plus`, file: "result.png", label: view.sumClass || null, source: source(image), z, ...named };
  fill(result, [{ ...one, open: (opened) => inspect(opened, model, 1, []) }], plainCell);
  settle();
  Object.keys(SLOTS).forEach((slot, i) => {
    const picture = find(`slot-${slot}`).querySelector("img");
    Object.assign(picture, { hidden: false, src: source(means[i].image), alt: `Mean of ${slot}` });
  });
}

for (const slot of Object.keys(SLOTS)) {
  find(slot).addEventListener("input", (event) => {
    view[slot] = event.target.value;
    keep();
    draw();
  });
  dropZone(find(`slot-${slot}`), (text) => {
    const found = readAddress(text);
    if (!found) return words(find("arithmetic-words"), new Refusal("That is no image of a seed.", "Drag one from the gallery."));
    add(slot, found.seed);
    drawArithmetic();
  });
}
find("sum-class").addEventListener("change", (event) => {
  view.sumClass = event.target.value;
  keep();
  draw();
});
