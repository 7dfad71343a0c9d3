// The playground: its controls. Whatever they change is drawn by the gallery and the panel that is open.

import { drawArithmetic, add } from "./arithmetic.js";
import { drawCard } from "./card.js";
import { drawComparison } from "./compare.js";
import "./download.js";
import { drawGallery, useAs } from "./gallery.js";
import { inspect } from "./inspect.js";
import { drawInterpolation } from "./interpolate.js";
import { drawInversion, showInversion } from "./invert.js";
import { showNamed } from "./named.js";
import { copy, find, make, pair, words } from "./parts.js";
import { pulse } from "./pulse.js";
import { Refusal, ask, setKey } from "./service.js";
import { drawTranslation, showTranslators } from "./translate.js";
import { card, cards, defaultEnds, keep, readSpot, reads, setCards, shared, spot, view } from "./view.js";

const PANELS = {
  interpolate: drawInterpolation,
  arithmetic: drawArithmetic,
  invert: drawInversion,
  compare: drawComparison,
  translate: drawTranslation,
  card: drawCard,
};
// Which panels show something else when this moves.
const TOUCHES = { seed: ["compare", "invert", "translate"], n: [], truncation: Object.keys(PANELS) };
const EVERY = "Every class in turn";
const AGAIN_MS = 2000;

// The model that the page's address names and that can't draw.
let absent = "";

async function start() {
  try {
    setCards((await ask("v1/models")).answer.data);
    showTranslators();
    // The refusal says where models were looked for.
    if (!cards.length) await ask("v1/samples", {});
    if (!cards.some(isUsable)) throw noneReady();
    const named = view.model;
    if (!isUsable(card())) view.model = cards.filter(isUsable).sort((a, b) => rank(b) - rank(a))[0].id;
    absent = named === view.model ? "" : named;
    await wake();
    if (!isUsable(card())) return start();
  } catch (error) {
    words(find("gallery-words"), error);
    if (error.status !== 401) setTimeout(start, AGAIN_MS);
    return;
  }
  words(find("gallery-words"), null);
  defaultEnds();
  showModels();
  drawAll();
  if (cards.some((one) => one.state === "loading")) setTimeout(watchLoading, AGAIN_MS);
}

// The model of requests that name none, then one that is in memory.
const rank = (one) => 2 * one.default + (one.state === "ready");

// Not what makes pictures of pictures: its seeds draw nothing.
function isUsable(one) {
  return (one?.state === "ready" || one?.state === "idle") && !one.source;
}

function told({ state, problem, source }) {
  if (source) return "makes a picture of one that it is given: POST /v1/translations takes it";
  return `is ${state}${problem ? `: ${problem}` : ""}`;
}

// What there is to know about a model is known once it is in memory; asking for its metadata brings it there.
async function wake() {
  if (card().state !== "idle") return;
  find("facts").textContent = `${view.model} is being loaded …`;
  await ask(`v2/models/${encodeURIComponent(view.model)}`);
  setCards((await ask("v1/models")).answer.data);
}

function noneReady() {
  const states = cards.map((one) => `${one.id} ${told(one)}`);
  return new Refusal("No model is ready.", `${states.join("; ")}. This page asks again every two seconds.`);
}

async function watchLoading() {
  const found = await ask("v1/models").catch(() => null);
  if (found) setCards(found.answer.data);
  if (!isUsable(card())) return start();
  showModels();
  if (cards.some((one) => one.state === "loading")) setTimeout(watchLoading, AGAIN_MS);
}

function showModels() {
  find("model").replaceChildren(
    ...cards.map((one) =>
      make("option", { value: one.id, textContent: one.source ? `${one.id} (translates pictures)` : one.state === "ready" ? one.id : `${one.id} (${one.state})`, disabled: !isUsable(one) }),
    ),
  );
  find("model").value = view.model;
  showInversion();
  showTranslators();
  // Of a link, or of another model.
  if (find(`tab-${view.tab}`).hidden) openTab("interpolate");
  const { classes, slugs, image, z_dim, engine, version, truncation } = card();
  const named = (classes ?? []).map((name, i) => make("option", { value: slugs[i], textContent: name }));
  find("class").replaceChildren(make("option", { value: "", textContent: classes ? EVERY : "This model has no classes" }), ...named);
  find("class").disabled = !classes;
  if (!slugs?.includes(view.class)) view.class = "";
  find("class").value = view.class;
  const reader = reads();
  find("class").closest(".field").hidden = !!reader && !classes;
  find("text-field").hidden = !reader;
  find("text").value = view.text;
  find("text-words").textContent = !reader?.words ? "" : `Words: ${reader.words.slice(0, 40).join(", ")}${reader.words.length > 40 ? " …" : ""}.`;
  // In some generators it changes nothing, and the service refuses it.
  if (!truncation) setters.truncation((view.truncation = 1));
  for (const id of ["truncation", "truncation-slider"]) find(id).disabled = !truncation;
  const colour = { 1: "grey", 3: "RGB", 4: "RGBA" }[image.channels];
  showNamed(() => redraw(["interpolate", "arithmetic"]));
  find("facts").textContent =
    `${absent && `There is no model ${absent} here that can draw; this is ${view.model}. `}${image.height} × ${image.width} ${colour}, z of ${z_dim} numbers. ${engine.name} ${engine.precision}, version ${version}.`;
  document.body.classList.toggle("large", image.width > 48);
}

function drawAll() {
  keep();
  drawGallery();
  PANELS[view.tab]();
}

function redraw(panels) {
  keep();
  drawGallery();
  if (panels.includes(view.tab)) PANELS[view.tab]();
}

function open(image) {
  inspect(image, card(), image.truncation, [
    ["Use as A", (one) => useAs("a", one)],
    ["Use as B", (one) => useAs("b", one)],
    ...["first", "minus", "plus"].map((slot) => [`Add to ${slot}`, (one) => (add(slot, one.seed), openTab("arithmetic"))]),
  ]);
}

function openTab(name) {
  view.tab = name in PANELS ? name : "interpolate";
  for (const tab of document.querySelectorAll("[role=tab]")) {
    const chosen = tab.getAttribute("aria-controls") === view.tab;
    tab.ariaSelected = String(chosen);
    tab.tabIndex = chosen ? 0 : -1;
    find(tab.getAttribute("aria-controls")).hidden = !chosen;
  }
  keep();
  if (card()) PANELS[view.tab]();
}

// Every tile of the page opens, is dragged and is pressed alike.
document.addEventListener("click", (event) => {
  const link = event.target.closest(".tile");
  if (!link || event.ctrlKey || event.metaKey || event.shiftKey) return;
  event.preventDefault();
  (link.image.open ?? open)(link.image);
});
document.addEventListener("keydown", (event) => {
  const link = document.activeElement?.closest?.(".tile");
  if (event.key === " " && link) {
    event.preventDefault();
    link.click();
  }
});
document.addEventListener("dragstart", (event) => {
  const link = event.target.closest?.(".tile");
  if (!link) return;
  if (!link.image.href) return event.preventDefault();
  const picture = link.querySelector("img");
  event.dataTransfer.setData("text/uri-list", link.image.href);
  event.dataTransfer.setData("text/plain", link.image.href);
  event.dataTransfer.setDragImage(picture, picture.width / 2, picture.height / 2);
});
document.addEventListener("ends", () => openTab("interpolate"));

const tabs = document.querySelector("[role=tablist]");
tabs.addEventListener("click", (event) => {
  const tab = event.target.closest("[role=tab]");
  if (tab) openTab(tab.getAttribute("aria-controls"));
});
tabs.addEventListener("keydown", (event) => {
  const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
  if (!step) return;
  const all = [...tabs.children].filter((tab) => !tab.hidden);
  const next = all[(all.indexOf(document.activeElement) + step + all.length) % all.length];
  openTab(next.getAttribute("aria-controls"));
  next.focus();
});

find("model").addEventListener("change", async (event) => {
  view.model = event.target.value;
  absent = "";
  try {
    await wake();
  } catch {
    return start();
  }
  if (card().source) return start();
  if (card().state === "idle") return; // another was chosen meanwhile
  showModels();
  for (const end of ["a", "b"]) view[end] = spot(readSpot(view[end]));
  drawAll();
});
find("class").addEventListener("change", (event) => {
  view.class = event.target.value;
  drawAll();
});
find("text").addEventListener("change", (event) => {
  view.text = event.target.value.trim();
  drawAll();
});
find("controls").addEventListener("submit", (event) => event.preventDefault());
const setters = Object.fromEntries(
  ["seed", "n", "truncation"].map((name) => [
    name,
    pair(name, (value) => {
      view[name] = value;
      if (card()) redraw(TOUCHES[name]);
    }),
  ]),
);
for (const [name, set] of Object.entries(setters)) set(view[name]);
find("shuffle").addEventListener("click", () => {
  view.seed = Math.floor(Math.random() * 2 ** 32);
  setters.seed(view.seed);
  if (card()) drawAll();
});
document.addEventListener("key", () => (find("key-field").hidden = false));
find("key").addEventListener("change", (event) => {
  setKey(event.target.value.trim());
  start();
});
find("share").addEventListener("click", (event) => copy(shared(), event.target));

openTab(view.tab);
start();
pulse();
