// One image, opened: its address, how to ask for it, and its z.

import { address, ask } from "./service.js";
import { copy, find, make, words } from "./parts.js";

const dialog = find("inspect");
let opened = null;

find("close").addEventListener("click", () => dialog.close());
dialog.addEventListener("click", (event) => {
  if (event.target === dialog) dialog.close(); // the backdrop
});

/**
 * Show `image` {name, source, file, href?, label?, seed?, z?, scalars?} of the model of `card`, drawn at `truncation`.
 * uses: [text, function] pairs, each a button; they are for images that have a seed.
 */
export async function inspect(image, card, truncation, uses) {
  opened = image;
  find("inspect-title").textContent = image.name;
  Object.assign(find("inspect-image"), { src: image.source, alt: image.name });
  find("inspect-uses").replaceChildren(
    ...(image.seed == null ? [] : uses).map(([text, use]) =>
      make("button", { type: "button", textContent: text, onclick: () => (use(image), dialog.close()) }),
    ),
  );
  find("bars").hidden = true;
  words(find("inspect-words"), null);
  const model = `${card.id}@${card.version}`;
  const wish = { model, ...(image.label != null && { label: image.label }), ...(image.scalars && { scalars: image.scalars }), ...(image.text && { text: image.text }) };
  if (image.z) {
    const body = { ...wish, z: [image.z] };
    find("inspect-texts").replaceChildren(
      make("p", { className: "hint", textContent: "It lies between seeds: its z is its address." }),
      copyable("curl", posted({ ...body, format: "png" }, image.file)),
      copyable("Python", python(body, card)),
    );
  } else {
    Object.assign(wish, { seed: image.seed, ...(truncation !== 1 && { truncation }) });
    find("inspect-texts").replaceChildren(
      copyable("Address", image.href),
      copyable("curl", `curl -fsS ${quoted(image.href)} -o ${image.file}`),
      copyable("Python", python(wish, card)),
    );
  }
  if (!dialog.open) dialog.showModal();
  try {
    const z = image.z ?? (await ask("v1/samples", { ...wish, format: "json", include_z: true })).answer.images[0].z;
    if (opened !== image) return;
    find("inspect-texts").append(copyable("z", `[${z.join(", ")}]`));
    bars(z);
  } catch (error) {
    words(find("inspect-words"), error);
  }
}

function copyable(title, text) {
  const button = make("button", { type: "button", textContent: "Copy", ariaLabel: `Copy ${title}` });
  button.addEventListener("click", () => copy(text, button));
  const shown = make("pre", { textContent: text, tabIndex: 0, role: "group", ariaLabel: title });
  const box = make("div", { className: "copyable" }, make("h3", { textContent: title }), button, shown);
  box.dataset.kind = title;
  return box;
}

const quoted = (text) => `'${text.replaceAll("'", "'\\''")}'`;

function posted(body, file) {
  return `curl -fsS ${quoted(address("v1/samples"))} -H 'content-type: application/json' -d ${quoted(JSON.stringify(body))} -o ${file}`;
}

function python(wish, { image }) {
  // Strings, numbers and lists are written in JSON as in Python, whatever stands in the names.
  const fields = Object.entries({ ...wish, format: "npy" }).map(([name, value]) => `"${name}": ${JSON.stringify(value)}`);
  return `import io, json, urllib.request
import numpy as np

body = {${fields.join(", ")}}
request = urllib.request.Request(
    ${JSON.stringify(address("v1/samples"))},
    json.dumps(body).encode(),
    {"content-type": "application/json"},
)
with urllib.request.urlopen(request) as reply:
    images = np.load(io.BytesIO(reply.read()))  # uint8 [1, ${image.height}, ${image.width}, ${image.channels}]`;
}

function bars(z) {
  const canvas = find("bars");
  canvas.hidden = false;
  const [width, height] = [canvas.clientWidth, canvas.clientHeight].map((size) => size * devicePixelRatio);
  Object.assign(canvas, { width, height });
  const pen = canvas.getContext("2d");
  const most = Math.max(...z.map(Math.abs), 1e-6);
  const wide = width / z.length;
  pen.fillStyle = getComputedStyle(canvas).color;
  z.forEach((value, i) => {
    const tall = (value / most) * (height / 2);
    pen.globalAlpha = value < 0 ? 0.55 : 1;
    pen.fillRect(i * wide, height / 2 - Math.max(tall, 0), Math.max(1, wide * 0.75), Math.abs(tall));
  });
}
