// The same seeds, drawn by every model of the same data that is ready: one row each, with its figures.

import { shortFigures } from "./card.js";
import { fill, find, make, milliseconds, plainCell, roving, source, words } from "./parts.js";
import { inspect } from "./inspect.js";
import { ask, imageAddress, newestWins } from "./service.js";
import { card, cards, textOf, view } from "./view.js";

const IMAGES = 10;

export const drawComparison = newestWins(async (signal) => {
  const data = card()?.training?.dataset;
  // Not what makes pictures of pictures: a seed is nothing to it.
  const ready = cards.filter((one) => one.state === "ready" && !one.source && one.training?.dataset === data);
  const alone = ready.length < 2;
  words(
    find("compare-words"),
    alone && {
      title: data ? `Only one model of ${data} is ready.` : "No other model is ready that names no data either.",
      message: "Models are compared that drew from the same data. Put another generator.onnx into a folder of its own under models/, start the service again, and it stands here beside this one.",
    },
  );
  const known = new Map([...find("rows").children].map((row) => [row.dataset.model, row]));
  find("rows").replaceChildren(...ready.map((one) => known.get(one.id) ?? newRow(one)));
  await Promise.all(ready.map((one, i) => drawRow(find("rows").children[i], one, signal)));
});

function newRow({ id }) {
  const list = make("ul", { className: "pictures film", ariaLabel: `Images of ${id}` });
  const row = make(
    "section",
    { ariaLabel: id },
    make("div", { className: "bar" }, make("h3", { textContent: id }), make("output", { className: "hint" })),
    make("div", { className: "words", role: "alert", hidden: true }),
    list,
  );
  row.dataset.model = id;
  row.settle = roving(list);
  return row;
}

async function drawRow(row, own, signal) {
  const [box, told, list] = [".words", "output", "ul"].map((part) => row.querySelector(part));
  const has = own.slugs?.includes(view.class);
  const { seed } = view;
  const truncation = own.truncation === false ? 1 : view.truncation; // where it changes nothing it is refused
  const wish = { model: own.id, seed, n: IMAGES, truncation, format: "json", ...(has && { label: view.class }), ...textOf(own) };
  try {
    const { answer, ms } = await ask("v1/samples", wish, signal);
    words(box, null);
    const lacks = view.class && !has ? `has no class '${view.class}' · ` : "";
    const figures = shortFigures(own);
    told.textContent = `${lacks}${figures && `${figures} · `}${milliseconds(ms)} · ${own.engine.name} ${own.engine.precision}`;
    fill(list, answer.images.map((image) => described(image, own, truncation)), plainCell);
    row.settle();
  } catch (error) {
    if (error.name === "AbortError") throw error;
    words(box, error);
  }
}

function described({ label, seed, text, image }, card, truncation) {
  const slug = label == null ? null : card.slugs[card.classes.indexOf(label)];
  return {
    name: `${label ? `${label}, seed ${seed}` : `Seed ${seed}`}, by ${card.id}`,
    file: `${card.id}-${slug ? `${slug}-` : ""}${seed}.png`,
    href: imageAddress(card, { slug, seed, text }, truncation),
    source: source(image),
    label: slug,
    slug,
    seed,
    open: (one) => inspect(one, card, truncation, []),
  };
}
