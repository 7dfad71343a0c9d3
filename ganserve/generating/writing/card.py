"""The dataset card of a set of Parquet files: what the Hub shows, and what `datasets` reads its files by."""

from pathlib import Path
from typing import Any

from ganserve.generating.plan import Refused

CARD = "README.md"
_MARK = "<!-- Written by ganserve generate. -->"


def claim(folder: Path, manifest: Path) -> None:
    """Raises Refused where there is a README.md already that is not such a card."""
    card = folder / CARD
    if card.exists() and _MARK not in card.read_text("utf-8", "replace"):
        raise Refused(
            f"{card} exists, and the set's card has that name: take an empty folder, as --out faces/train.parquet."
        )


def write(folder: Path, manifest: dict[str, Any]) -> None:
    image, seeds = manifest["image"], manifest["seeds"]
    classes = manifest["classes"]
    files = "\n".join(f"      - {shard['file']}" for shard in manifest["shards"])
    asked = f"`{manifest['command']}`"
    named = f"Classes: {', '.join(classes)}." if classes else "The model has no classes."
    colours = {1: "grey", 3: "RGB", 4: "RGBA"}[image["channels"]]
    text = f"""---
tags:
- synthetic
task_categories:
- image-classification
configs:
- config_name: default
  data_files:
  - split: train
    path:
{files}
---
{_MARK}

# {manifest["images"]:,} images of {manifest["model"]}

These are not photographs: a trained generator drew them. Each row is the image of one seed, which the same generator draws
again at any time.

| | |
| --- | --- |
| model | {manifest["model"]}@{manifest["version"]} |
| engine | {manifest["engine"]} in {manifest["precision"]} |
| seeds | {seeds[0]} to {seeds[1]} |
| truncation | {manifest["truncation"]} |
| image | {image["height"]}x{image["width"]}, {colours} |
| made by | {asked} |

{named} The licence is that of the model and of the data that it was trained on: its own card says which.
"""
    (folder / CARD).write_text(text, "utf-8")
