"""A run of `caption` -> models/<name>/: a file that reads a text, its card, and pictures of every combination of words."""

from pathlib import Path
from typing import Any

import msgspec
import torch

from service.generator.contract import Contract
from service.generator.file.inputs import Input
from service.generator.loading import CARD, FILE
from training.captions.figures import HELD_OUT, table
from training.captions.rules import ATTRIBUTES
from training.captions.run import Painter, picture
from training.evaluation.report import table as markdown
from training.evaluation.report import with_error
from training.export.card import SAMPLES, page, trained_by
from training.export.export import contract_of, install, sealed, staged
from training.export.folding import fold
from training.export.onnx_graph import Served, traced

TEXT = "text"


def export(painter: Painter, model: Path, found: dict[str, Any], threads: int) -> int:
    """Writes the model's folder; returns the size of its file in bytes.

    found: of `figures.compare`. Raises UserError, and then leaves a model of that name as it was.
    """
    header, captions = painter.header, painter.header.captions
    z_dim, tokens = header.settings.z_dim, captions.length
    example = {"z": torch.zeros(2, z_dim), TEXT: torch.zeros(2, tokens, dtype=torch.int64)}
    free = {"z": {0: torch.export.Dim("N")}, TEXT: {0: torch.export.Dim.AUTO}}
    graph = traced(Served(fold(painter.generator)), example, free, "generator", ["image"])
    inputs = [Input("z", "z", [z_dim]), Input(TEXT, "text", [tokens], words=captions.words)]
    said = {"attributes": list(header.attributes), "thresholds": header.thresholds}
    more = {"captions": said, "interpolated": header.interpolated}
    name = model.resolve().name
    contract = contract_of(name, painter.generator, graph, header, inputs, z_dim, **more)
    contract = sealed(graph, contract, painter.forward)
    contract = msgspec.structs.replace(contract, quality=found)
    with staged(model) as folder:
        install(graph, contract, folder, threads)
        (folder / SAMPLES).write_bytes(picture(painter))
        (folder / CARD).write_text(card(contract, (folder / FILE).read_bytes()), "utf-8")
    return (model / FILE).stat().st_size


def card(contract: Contract, file: bytes) -> str:
    """The card in Markdown, from what the file says of itself. file: the ONNX file."""
    training, quality, reads = contract.training, contract.quality, contract.text
    settings, dataset, names = training["settings"], training["dataset"], training["captions"]["attributes"]
    assert reads is not None
    command = f"python -m training caption train --data data/{dataset} --run runs/{contract.name}"
    command += "".join(f" --{name} {settings[name]}" for name in ("images", "batch", "seed", "width"))
    command += "".join(f" --attribute {name}" for name in names)
    command += "" if training["interpolated"] else " --texts-alone"
    head = ["lower third", "upper third", "measure"]
    measured = markdown(head, [[*ATTRIBUTES[name].words, ATTRIBUTES[name].about] for name in names], head)
    (verdict,) = quality["verdicts"]
    distance, accuracy = verdict["figures"]["frechet_distance"], verdict["figures"]["class_accuracy"]
    return page(
        contract,
        file,
        f"A generator that draws what a text says, trained from scratch with ganserve as GAN-INT-CLS (Reed et al. 2016, [arXiv 1605.05396](https://arxiv.org/abs/1605.05396)) on captions that a rule made of {dataset}.",
        f"""![Samples]({SAMPLES})

One z. A column is a class; a row is a choice of words, from {" ".join(ATTRIBUTES[name].words[0] for name in names)} to {" ".join(ATTRIBUTES[name].words[1] for name in names)}.""",
        f"z, float32 {contract.z_dim}; text, int64 {reads.shape[0]}: word i of the list below is i + 1 (from 0), 0 fills up",
        {"words": ", ".join(reads.words)},
        f"""## Captions

A text names a class, and words for what was measured: the lower third of the class's training pictures has the first word, the upper third the second, the middle none.

{measured}

Of each class one pair of words for the first two was in no training picture and no training text (`training/captions/rules.py`): *{HELD_OUT}* below.""",
        trained_by(training, command),
        f"""## Figures

In per cent of pictures, each with one standard error over pictures: the class as judge '{quality["judge"]["architecture"]}' sees it, a classifier trained on half of the real training images, which is right on {100 * quality["judge_accuracy"]:.1f} of the held-out ones (split: {quality["split"]}); each attribute by the caption's own measure; all together. Every text names a class and a word for each attribute. That real pictures of a text have its attributes is so by definition.

{table(quality)}

By the captions of {distance["images"]:,} held-out pictures, Fréchet distance in the judge's features {with_error(distance, 3)} (other real pictures: {distance["floor"]:.3f}), class accuracy {with_error(accuracy, 1, 0.01)}. One training run: the errors say nothing of the spread between runs.""",
        f"""## Limits

- It knows the words above and no others; a text with another word is refused. Order and grammar hardly matter.
- A word is relative to its class: a dark bag is dark for a bag.
- It draws what {dataset} holds, with its biases.""",
    )
