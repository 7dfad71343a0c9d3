// The few parts that the page is made of.

export const find = (id) => document.getElementById(id);

export function make(tag, properties = {}, ...children) {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children);
  return element;
}

export const source = (image) => `data:image/png;base64,${image}`;

let pause = 0;
/** Told to screen readers once things are still: a slider would have them talk without end. */
export function say(text) {
  clearTimeout(pause);
  pause = setTimeout(() => (find("said").textContent = text), 500);
}

/** Show an error in words, or with null that there is none. Whatever is no Refusal is a mistake of this page. */
export function words(box, error) {
  box.hidden = !error;
  if (error) box.replaceChildren(make("strong", { textContent: error.title ?? "The page made a mistake" }), ` ${error.message}`);
  if (error && !error.title) console.error(error);
}

export function milliseconds(ms) {
  return ms < 9.95 ? `${ms.toFixed(1)} ms` : `${Math.round(ms)} ms`;
}

/** A number field and its slider. Returns (value) => to set both; calls `changed(value)` while either moves. */
export function pair(id, changed) {
  const [field, slider] = [find(id), find(`${id}-slider`)];
  const set = (value) => {
    field.value = slider.value = value;
  };
  slider.addEventListener("input", () => {
    field.value = slider.value;
    changed(slider.valueAsNumber);
  });
  field.addEventListener("input", () => {
    if (Number.isNaN(field.valueAsNumber)) return; // still being typed
    slider.value = field.value;
    changed(field.valueAsNumber);
  });
  return set;
}

/** A picture to press, to open and to drag. `image`: {name, source, href?, ...}, kept as the tile's own. */
export function tile() {
  const picture = make("img", { alt: "", draggable: false });
  const link = make("a", { className: "tile", draggable: true }, picture);
  const show = (image) => {
    if (link.image?.source !== image.source) picture.src = image.source;
    // A frame between two seeds has no address; a link without one can't be focused.
    link.href = image.href ?? "#";
    link.ariaLabel = image.name;
    link.title = image.name;
    link.image = image;
  };
  return { link, show };
}

/** One stop for Tab in a list of pictures; from there the arrow keys go on. Returns a function for after each fill. */
export function roving(list) {
  const stops = () => [...list.querySelectorAll(".tile")];
  const stay = (current) => {
    for (const stop of stops()) {
      for (const one of stop.parentElement.querySelectorAll("a, button")) one.tabIndex = stop === current ? 0 : -1;
    }
  };
  list.addEventListener("focusin", (event) => {
    const stop = event.target.closest("li")?.querySelector(".tile");
    if (stop) stay(stop);
  });
  list.addEventListener("keydown", (event) => {
    const all = stops();
    const at = all.findIndex((stop) => stop.parentElement.contains(document.activeElement));
    if (at < 0) return;
    const top = all[0].getBoundingClientRect().top;
    const columns = all.filter((stop) => stop.getBoundingClientRect().top === top).length;
    const steps = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -columns, ArrowDown: columns, Home: -at, End: all.length - 1 - at };
    const next = all[at + steps[event.key]];
    if (!next) return;
    event.preventDefault();
    next.focus();
  });
  return () => {
    const all = stops();
    stay(all.find((stop) => stop.parentElement.contains(document.activeElement)) ?? all[0]);
  };
}

/** Make `list` hold exactly these images, with the elements that are there already. */
export function fill(list, images, cell) {
  while (list.children.length > images.length) list.lastElementChild.remove();
  while (list.children.length < images.length) {
    const one = cell();
    one.element.show = one.show;
    list.append(one.element);
  }
  images.forEach((image, i) => list.children[i].show(image));
}

/** A list item with a tile, and nothing else. */
export function plainCell() {
  const { link, show } = tile();
  return { element: make("li", {}, link), show };
}

export async function copy(text, button) {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    // Browsers keep the clipboard for https and localhost; a selection can be copied anywhere.
    const area = make("textarea", { value: text, className: "unseen" });
    button.after(area);
    area.select();
    document.execCommand("copy");
    area.remove();
    button.focus();
  }
  const before = (button.dataset.text ??= button.textContent);
  button.textContent = "Copied";
  say("Copied");
  setTimeout(() => (button.textContent = before), 1500);
}

/** Take the address of an image that is dropped on `zone`. */
export function dropZone(zone, taken) {
  zone.addEventListener("dragover", (event) => {
    event.preventDefault();
    zone.classList.add("over");
  });
  zone.addEventListener("dragleave", () => zone.classList.remove("over"));
  zone.addEventListener("drop", (event) => {
    event.preventDefault();
    zone.classList.remove("over");
    taken(event.dataTransfer.getData("text/uri-list") || event.dataTransfer.getData("text/plain"));
  });
}
