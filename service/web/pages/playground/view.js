// What is looked at: kept in the address after the #, so that a view can be shared.

export const view = {
  model: "",
  class: "", // a slug; empty: every class in turn, or a model without classes
  text: "", // of a model that reads one
  seed: 0,
  n: matchMedia("(max-width: 760px)").matches ? 12 : 40,
  truncation: 1,
  named: "", // codes and scalars that were chosen: "c1=-1.5,category=3"
  tab: "interpolate",
  a: "", // "slug/seed" or "seed"
  b: "",
  path: "spherical",
  steps: 16,
  first: "1, 2, 3",
  minus: "4, 5, 6",
  plus: "7, 8, 9",
  sumClass: "",
};

for (const [name, text] of new URLSearchParams(location.hash.slice(1))) {
  const number = typeof view[name] === "number";
  if (name in view && !(number && !Number.isFinite(parseFloat(text)))) view[name] = number ? Number(text) : text;
}

let timer = 0;
/** Put the view into the address, once things are still: browsers refuse to be asked too often. */
export function keep() {
  clearTimeout(timer);
  timer = setTimeout(() => history.replaceState(null, "", shared()), 200);
}

export function shared() {
  const there = Object.entries(view).filter(([, value]) => value !== "");
  return `${location.href.split("#")[0]}#${new URLSearchParams(there)}`;
}

/** Change `a`, `b` or both; whoever shows them hears of it. */
export function setEnds(ends) {
  Object.assign(view, ends);
  keep();
  document.dispatchEvent(new Event("ends"));
}

/** Where none were chosen: the first two images of one class. */
export function defaultEnds() {
  const apart = view.class ? 1 : (card().slugs?.length ?? 1);
  const first = view.seed >= 0 && Number.isSafeInteger(view.seed + apart) ? view.seed : 0;
  const at = (seed) => spot(readSpot(view.class ? `${view.class}/${seed}` : String(seed)));
  view.a ||= at(first);
  view.b ||= at(first + apart);
}

// A link to another view of this page, opened in this tab.
addEventListener("hashchange", () => location.reload());

export let cards = [];
export function setCards(found) {
  cards = found;
}
export const card = () => cards.find((one) => one.id === view.model);

/** The text, as a request has it: nothing where there is none, or the model reads none. */
export const reads = (of = card()) => of.inputs?.find((one) => one.role === "text");
export const textOf = (of = card()) => (view.text && reads(of) ? { text: view.text } : {});

/** Class name of a slug; null for none. */
export const className = (slug, of = card()) => of.classes?.[of.slugs.indexOf(slug)] ?? null;

/** {slug, seed} <-> the text of it in the view. A slug that the model does not have is left out. */
export const spot = ({ slug, seed }) => (slug == null ? String(seed) : `${slug}/${seed}`);
export function readSpot(text) {
  if (!text) return null;
  const slash = text.lastIndexOf("/");
  const slug = card().slugs?.includes(text.slice(0, slash)) ? text.slice(0, slash) : null;
  const seed = Number(text.slice(slash + 1));
  // Without a label the service would take this class too; the name should say it.
  return { seed, slug: slug ?? card().slugs?.[seed % card().slugs.length] ?? null };
}

export function nameOf({ slug, seed }) {
  const name = slug == null ? null : className(slug);
  return name ? `${name}, seed ${seed}` : `Seed ${seed}`;
}
