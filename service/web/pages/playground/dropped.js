// Pictures of one's own: chosen, or dropped from the desk or from a tile of the page.

import { find } from "./parts.js";
import { readAddress } from "./service.js";

/** take: is called with the file, a Blob, that the input is given or that is dropped on the zone. */
export function takesPictures(input, slot, take) {
  find(input).addEventListener("change", ({ target }) => target.files[0] && take(target.files[0]));
  const zone = find(slot);
  zone.addEventListener("dragover", (event) => {
    event.preventDefault();
    zone.classList.add("over");
  });
  zone.addEventListener("dragleave", () => zone.classList.remove("over"));
  zone.addEventListener("drop", async (event) => {
    event.preventDefault();
    zone.classList.remove("over");
    const { files } = event.dataTransfer;
    const address = event.dataTransfer.getData("text/uri-list");
    if (files.length) take(files[0]);
    else if (readAddress(address)) take(await (await fetch(address)).blob());
  });
}
