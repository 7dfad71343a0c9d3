// The gallery: one image a seed, and what it took to draw them.

import { scalars } from "./named.js";
import { fill, find, make, milliseconds, roving, say, source, tile, words } from "./parts.js";
import { ask, imageAddress, newestWins } from "./service.js";
import { card, nameOf, setEnds, spot, textOf, view } from "./view.js";

const gallery = find("gallery");
const settle = roving(gallery);

export const drawGallery = newestWins(async (signal) => {
  const { model, seed, n, truncation } = view;
  const named = scalars();
  const wish = { model, seed, n, truncation, format: "json", ...(view.class && { label: view.class }), ...named, ...textOf() };
  try {
    const { answer, ms, parts } = await ask("v1/samples", wish, signal);
    if (model !== view.model) return;
    card().version = answer.version; // the service may have been started again, with another file
    show(answer.images.map((image) => described({ ...image, ...named }, truncation)));
    words(find("gallery-words"), null);
    tellLatency(answer.images.length, ms, parts);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    gallery.classList.add("stale");
    find("latency").textContent = find("parts").textContent = "";
    words(find("gallery-words"), error);
  }
});

function described({ label, seed, text, image, scalars }, truncation) {
  const slug = label == null ? null : card().slugs[card().classes.indexOf(label)];
  const [name, file] = [nameOf({ slug, seed }), `${slug ?? card().id}-${seed}.png`];
  const href = imageAddress(card(), { slug, seed, text, scalars }, truncation);
  return { name, file, href, slug, seed, text, truncation, scalars, label: slug, source: source(image) };
}

function show(images) {
  gallery.classList.remove("stale");
  fill(gallery, images, cell);
  settle();
  document.querySelector("link[rel=icon]").href = images[0].source;
  mark();
}

function cell() {
  const { link, show } = tile();
  const seed = make("span", { className: "seed" });
  const ends = ["A", "B"].map((name) =>
    make("button", { type: "button", className: `end ${name.toLowerCase()}`, textContent: name }),
  );
  const element = make("li", {}, link, make("div", { className: "foot" }, seed, ...ends));
  return {
    element,
    show(image) {
      show(image);
      seed.textContent = image.seed;
      for (const end of ends) end.ariaLabel = `${image.name} as ${end.textContent}`;
    },
  };
}

/** Show which images of the gallery are A and B. */
function mark() {
  for (const element of gallery.children) {
    const here = spot(element.querySelector(".tile").image);
    for (const end of element.querySelectorAll(".end")) {
      const name = end.textContent.toLowerCase();
      end.ariaPressed = String(here === view[name]);
      element.classList.toggle(`is-${name}`, here === view[name]);
    }
  }
}

function tellLatency(count, ms, parts) {
  const text = `${count} image${count === 1 ? "" : "s"} in ${milliseconds(ms)}`;
  find("latency").textContent = text;
  // Server-Timing: queue;dur=0.1, forward;dur=8, encode;dur=1
  const inside = [...(parts ?? "").matchAll(/(\w+);dur=([\d.]+)/g)].map(([, name, dur]) => `${name} ${milliseconds(+dur)}`);
  find("parts").textContent = inside.join(" · ");
  say(text);
}

export function useAs(name, image) {
  setEnds({ [name]: spot(image) });
  say(`${image.name} is ${name.toUpperCase()}`);
}

gallery.addEventListener("click", (event) => {
  const end = event.target.closest(".end");
  if (end) useAs(end.textContent.toLowerCase(), end.closest("li").querySelector(".tile").image);
});
gallery.addEventListener("keydown", (event) => {
  const element = event.target.closest("li");
  if (element && "ab".includes(event.key.toLowerCase()) && !event.ctrlKey && !event.metaKey && !event.altKey) {
    useAs(event.key.toLowerCase(), element.querySelector(".tile").image);
  }
});
document.addEventListener("ends", mark);
