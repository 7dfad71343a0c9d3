// From A to B: a strip of frames, and a player.

import { inspect } from "./inspect.js";
import { scalars } from "./named.js";
import { dropZone, fill, find, make, milliseconds, plainCell, roving, say, source, words } from "./parts.js";
import { Refusal, ask, newestWins, readAddress } from "./service.js";
import { card, className, keep, nameOf, readSpot, setEnds, spot, textOf, view } from "./view.js";

const FRAME_MS = 90;
const film = find("film");
const settle = roving(film);
const screen = find("screen");
const still = matchMedia("(prefers-reduced-motion: reduce)");
let frames = [];
let playing = !still.matches;

export function drawInterpolation() {
  const [a, b] = ["a", "b"].map((end) => showEnd(end, readSpot(view[end])));
  find("switch").hidden = a.slug === b.slug;
  find("switch").textContent = card().mixes_classes
    ? `This model takes weights over classes: ${className(a.slug)} goes over into ${className(b.slug)} without a jump.`
    : "This model draws one class at a time: half way, the class changes at once.";
  draw();
}

function showEnd(end, at) {
  find(`slot-${end}`).querySelector("p").textContent = nameOf(at);
  const { classes, slugs } = card();
  const chosen = find(`class-${end}`);
  chosen.hidden = !classes;
  chosen.replaceChildren(...(classes ?? []).map((name, i) => make("option", { value: slugs[i], textContent: name })));
  if (classes) chosen.value = at.slug;
  return at;
}

/** Of a frame: where it is of several classes, how much of each. */
function parts(label) {
  if (label == null || typeof label === "string") return "";
  return `: ${Object.entries(label).map(([name, weight]) => `${Math.round(100 * weight)} % ${name}`).join(", ")}`;
}

const draw = newestWins(async (signal) => {
  const [a, b] = [readSpot(view.a), readSpot(view.b)];
  const box = find("interpolate-words");
  const { model, path, steps, truncation } = view;
  const label = a.slug == null ? {} : { label: [a.slug, b.slug] };
  const named = scalars();
  const wish = { model, seeds: [a.seed, b.seed], ...label, steps: Number(steps), path, truncation, format: "json", ...named, ...textOf() };
  try {
    const { answer, ms } = await ask("v1/interpolations", wish, signal);
    if (model !== view.model) return;
    words(box, null);
    find("interpolate-latency").textContent = `${answer.images.length} frames in ${milliseconds(ms)}`;
    show(answer.images, named);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    words(box, error);
  }
});

function show(images, named) {
  const model = card();
  fill(
    film,
    images.map(({ image, label, text, z }, i) => ({
      name: `Frame ${i + 1} of ${images.length}${parts(label)}`,
      file: `frame-${i + 1}.png`,
      source: source(image),
      label,
      text,
      z,
      ...named,
      open: (one) => inspect(one, model, 1, []),
    })),
    plainCell,
  );
  settle();
  frames = [...film.querySelectorAll("img")];
  for (const [end, at] of [["a", 0], ["b", -1]]) {
    Object.assign(find(`slot-${end}`).querySelector("img"), { hidden: false, src: frames.at(at).src });
  }
  find("frame").max = frames.length - 1;
  Object.assign(screen, { width: model.image.width, height: model.image.height });
  paint();
}

function paint() {
  const frame = frames[find("frame").value];
  frames.forEach((one) => one.closest("li").classList.toggle("now", one === frame));
  if (frame?.complete && frame.naturalWidth) screen.getContext("2d").drawImage(frame, 0, 0);
  else frame?.addEventListener("load", paint, { once: true });
}

let way = 0; // there and back again; each end stays for three frames
let timer = 0;
function tick() {
  const last = frames.length - 1;
  if (last > 0 && !find("interpolate").hidden && !document.hidden) {
    way = (way + 1) % (2 * last + 6);
    find("frame").value = way < last + 3 ? Math.min(way, last) : Math.max(2 * last + 3 - way, 0);
    paint();
  }
  timer = setTimeout(tick, FRAME_MS);
}

function setPlaying(wanted) {
  playing = wanted;
  find("play").textContent = playing ? "Pause" : "Play";
  clearTimeout(timer);
  way = Number(find("frame").value);
  if (playing) timer = setTimeout(tick, FRAME_MS);
}

find("play").addEventListener("click", () => setPlaying(!playing));
find("frame").addEventListener("input", () => {
  setPlaying(false);
  paint();
});
find("swap").addEventListener("click", () => setEnds({ a: view.b, b: view.a }));
for (const name of ["path", "steps"]) {
  find(name).value = view[name];
  find(name).addEventListener("change", (event) => {
    view[name] = event.target.value;
    keep();
    drawInterpolation();
  });
}
for (const end of ["a", "b"]) {
  find(`class-${end}`).addEventListener("change", (event) => {
    setEnds({ [end]: spot({ slug: event.target.value, seed: readSpot(view[end]).seed }) });
  });
  dropZone(find(`slot-${end}`), (text) => {
    const found = readAddress(text);
    if (!found) return words(find("interpolate-words"), new Refusal("That is no image of a seed.", "Drag one from the gallery."));
    setEnds({ [end]: spot(readSpot(spot(found))) });
    say(`${nameOf(readSpot(view[end]))} is ${end.toUpperCase()}`);
  });
}
setPlaying(playing);
