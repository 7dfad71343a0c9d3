"""A run of `caption` -> models/<name>/: a file that reads a text, its card, and pictures of every combination of words."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import onnx
import torch
from torch import Tensor, nn

from service.generator import golden
from service.generator.contract import SCHEMA_OF_ROLES, Contract, ImageShape, card_row, write
from service.generator.engines.ort import OrtEngine
from service.generator.file.front_matter import front_matter
from service.generator.file.inputs import Input
from service.generator.file.rewired import rewired
from service.generator.images import png
from service.generator.loading import CARD, FILE
from training.captions.figures import HELD_OUT, table
from training.captions.rules import ATTRIBUTES, combinations
from training.captions.run import Painter, shown
from training.data.dataset import Pixels
from training.errors import UserError
from training.export.card import ABOUT_DATA, LICENCES, SAMPLES, UNKNOWN_DATA
from training.export.export import GOLDEN_SAMPLES, install, staged
from training.export.folding import fold
from training.export.onnx_graph import PARITY_BATCHES, multiply_adds, traced

TEXT = "text"


class Served(nn.Module):
    """(z, token ids) -> uint8 image: denormalised, rounded, clipped and cast as dataset.to_uint8 does it."""

    def __init__(self, generator: nn.Module) -> None:
        super().__init__()
        self.generator = generator

    def forward(self, z: Tensor, text: Tensor) -> Tensor:
        """z: float32 [N, z_dim]; text: int64 [N, L]. Returns uint8 [N, C, H, W]."""
        return (self.generator(z, text) + 1).mul(127.5).round().clamp(0, 255).to(torch.uint8)


def export(painter: Painter, model: Path, found: dict[str, Any], threads: int) -> int:
    """Writes the model's folder; returns the size of its file in bytes.

    found: of `figures.compare`. Raises UserError, and then leaves a model of that name as it was.
    """
    graph, contract = build(painter, model.resolve().name, found)
    with staged(model) as folder:
        install(graph, contract, folder, threads)
        picture = shown(painter).repeat(2, axis=1).repeat(2, axis=2)
        (folder / SAMPLES).write_bytes(png(np.ascontiguousarray(picture)))
        (folder / CARD).write_text(card(contract, (folder / FILE).read_bytes()), "utf-8")
    return (model / FILE).stat().st_size


def build(painter: Painter, name: str, found: dict[str, Any]) -> tuple[onnx.ModelProto, Contract]:
    """The graph, and what the file will say of itself. Raises UserError unless the two draw the same pictures."""
    header = painter.header
    spec, settings, captions = header.spec, header.settings, header.captions
    inputs = {"z": torch.zeros(2, settings.z_dim), TEXT: torch.zeros(2, captions.length, dtype=torch.int64)}
    free = {"z": {0: torch.export.Dim("N")}, TEXT: {0: torch.export.Dim.AUTO}}
    graph = traced(Served(fold(painter.generator)), inputs, free, "generator", ["image"])
    contract = Contract(
        schema=SCHEMA_OF_ROLES,
        name=name,
        z_dim=settings.z_dim,
        classes=None,
        image=ImageShape(spec.channels, spec.height, spec.width),
        inputs=[
            Input("z", "z", [settings.z_dim]),
            Input(TEXT, "text", [captions.length], words=captions.words),
        ],
        training={
            "dataset": spec.dataset,
            "images_seen": header.images_seen,
            "parameters": sum(weight.numel() for weight in painter.generator.parameters()),
            "multiply_adds": multiply_adds(graph),
            "settings": asdict(settings),
            "captions": {"attributes": list(header.attributes), "thresholds": header.thresholds},
            "interpolated": header.interpolated,
            "torch": str(torch.__version__),
        },
        quality=found,
    )
    asked = list(combinations(captions))
    texts = [captions.text(*asked[i % len(asked)]) for i in range(7, 7 * (max(PARITY_BATCHES) + 1), 7)]

    def draw(count: int) -> Pixels:
        return painter(torch.from_numpy(contract.drawn(range(count))), texts[:count])

    rows = contract.rows(range(GOLDEN_SAMPLES), texts[:GOLDEN_SAMPLES])
    samples = golden.make(
        lambda rows, label: draw(len(rows)), contract.z_dim, range(GOLDEN_SAMPLES), None, rows, texts
    )
    contract = msgspec.structs.replace(contract, golden=samples)
    file = write(graph, contract)
    got = OrtEngine(rewired(file, contract), contract, cuda=False, precision="fp32", threads=1).wide
    for batch in PARITY_BATCHES:
        errors = golden.difference(got(contract.rows(range(batch), texts[:batch]), None), draw(batch))
        if excess := errors.excess("fp32"):
            raise UserError(f"not exported: at batch {batch} ONNX Runtime differs from torch: {excess}")
    return graph, contract


def card(contract: Contract, file: bytes) -> str:
    """The card in Markdown, from what the file says of itself. file: the ONNX file."""
    training, quality, reads = contract.training, contract.quality, contract.text
    settings, dataset, names = training["settings"], training["dataset"], training["captions"]["attributes"]
    assert reads is not None
    options = " ".join(f"--{name} {settings[name]}" for name in ("images", "batch", "seed", "width"))
    options += "".join(f" --attribute {name}" for name in names) + (
        "" if training["interpolated"] else " --texts-alone"
    )
    facts = {
        "input": f"z, float32 {contract.z_dim}; text, int64 {reads.shape[0]}: word i of the list below is i + 1 (from 0), 0 fills up",
        "words": ", ".join(reads.words),
        "output": f"uint8 {contract.image.channels} x {contract.image.height} x {contract.image.width}",
        "parameters": f"{training['parameters']:,}",
        "multiply-adds an image": f"{training['multiply_adds']:,}",
        "weights": f"average of the generator after {training['images_seen']:,} images",
    }
    measured = "\n".join(
        f"| {ATTRIBUTES[name].words[0]} | {ATTRIBUTES[name].words[1]} | {ATTRIBUTES[name].about} |"
        for name in names
    )
    (verdict,) = quality["verdicts"]
    distance, accuracy = verdict["figures"]["frechet_distance"], verdict["figures"]["class_accuracy"]
    text = f"""# {contract.name}

A generator that draws what a text says, trained from scratch with ganserve as GAN-INT-CLS (Reed et al. 2016, [arXiv 1605.05396](https://arxiv.org/abs/1605.05396)) on captions that a rule made of {dataset}.

![Samples]({SAMPLES})

One z. A column is a class; a row is a choice of words, from {" ".join(ATTRIBUTES[name].words[0] for name in names)} to {" ".join(ATTRIBUTES[name].words[1] for name in names)}.

| | |
| --- | --- |
{"".join(f"| {name} | {value} |{chr(10)}" for name, value in facts.items())}{card_row(file)}

## Captions

A text names a class, and words for what was measured: the lower third of the class's training pictures has the first word, the upper third the second, the middle none.

| lower third | upper third | measure |
| --- | --- | --- |
{measured}

Of each class one pair of words for the first two was in no training picture and no training text (`training/captions/rules.py`): *{HELD_OUT}* below.

## Data and licence

{ABOUT_DATA.get(dataset, UNKNOWN_DATA)}

## Training

torch {training["torch"]}:

```sh
python -m training caption train --data data/{dataset} --run runs/{contract.name} {options}
```

## Figures

In per cent of pictures, each with one standard error over pictures: the class as judge '{quality["judge"]["architecture"]}' sees it, a classifier trained on half of the real training images, which is right on {100 * quality["judge_accuracy"]:.1f} of the held-out ones (split: {quality["split"]}); each attribute by the caption's own measure; all together. Every text names a class and a word for each attribute. That real pictures of a text have its attributes is so by definition.

{table(quality)}

By the captions of {distance["images"]:,} held-out pictures, Fréchet distance in the judge's features {distance["value"]:.3f} ± {distance["standard_error"]:.3f} (other real pictures: {distance["floor"]:.3f}), class accuracy {100 * accuracy["value"]:.1f} ± {100 * accuracy["standard_error"]:.1f}. One training run: the errors say nothing of the spread between runs.

## Limits

- It knows the words above and no others; a text with another word is refused. Order and grammar hardly matter.
- A word is relative to its class: a dark bag is dark for a bag.
- It draws what {dataset} holds, with its biases.
"""
    return front_matter(contract, LICENCES.get(dataset)) + text
