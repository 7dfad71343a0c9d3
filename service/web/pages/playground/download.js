// What is shown, as files: the service draws them again, from the same seeds.

import { card, readSpot, textOf, view } from "./view.js";
import { scalars } from "./named.js";
import { find, words } from "./parts.js";
import { askFile } from "./service.js";

const common = () => ({ model: view.model, truncation: view.truncation, ...scalars(), ...textOf() });
const gallery = (format) => ({ ...common(), seed: view.seed, n: view.n, format, ...(view.class && { label: view.class }) });
function way(format) {
  const [a, b] = [readSpot(view.a), readSpot(view.b)];
  const label = a.slug == null ? {} : { label: [a.slug, b.slug] };
  return { ...common(), seeds: [a.seed, b.seed], ...label, steps: Number(view.steps), path: view.path, format };
}

const name = (end) => `${card().id}-${end}`;
const FILES = {
  "save-png": () => ["v1/samples", gallery("png"), name(`${view.seed}.png`), "gallery-words"],
  "save-json": () => ["v1/samples", gallery("json"), name(`${view.seed}.json`), "gallery-words"],
  "save-strip": () => ["v1/interpolations", way("png"), name("way.png"), "interpolate-words"],
  "save-gif": () => ["v1/interpolations", way("gif"), name("way.gif"), "interpolate-words"],
};

for (const [id, wish] of Object.entries(FILES)) {
  find(id).addEventListener("click", async () => {
    if (!card()) return;
    const [path, body, file, box] = wish();
    try {
      save(await askFile(path, body), file);
      words(find(box), null);
    } catch (error) {
      words(find(box), error);
    }
  });
}

function save(blob, file) {
  const link = Object.assign(document.createElement("a"), { href: URL.createObjectURL(blob), download: file });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}
