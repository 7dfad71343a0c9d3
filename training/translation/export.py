"""A run of pix2pix or CycleGAN -> models/<name>/: a file that is given a picture, its card, and a picture of pairs."""

import shlex
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from service.generator import golden
from service.generator.contract import SCHEMA_OF_ROLES, Contract, ImageShape, card_row, write
from service.generator.file.front_matter import front_matter
from service.generator.file.inputs import Input
from service.generator.loading import CARD, FILE
from training.data.dataset import Dataset, Indices, Pixels, to_levels
from training.export.card import ABOUT_DATA, LICENCES, SAMPLES, UNKNOWN_DATA
from training.export.export import GOLDEN_SAMPLES, install, staged
from training.export.onnx_graph import PARITY_BATCHES, check_parity, multiply_adds, traced
from training.translation.figures import BASELINES, FLOOR, table
from training.translation.rules import RULES, domains, rule_of
from training.translation.run import Translator, picture
from training.translation.settings import Settings

PICTURE = "picture"


class Served(nn.Module):
    """A picture in levels -> an image in levels, as dataset.py makes them."""

    def __init__(self, generator: nn.Module) -> None:
        super().__init__()
        self.generator = generator

    def forward(self, picture: Tensor) -> Tensor:
        """picture: uint8 [N, c, h, w]. Returns uint8 [N, C, H, W]."""
        return to_levels(self.generator(picture.float().div(127.5).sub(1)))


def export(
    translators: Sequence[Translator], model: Path, dataset: Dataset, found: dict[str, Any], threads: int
) -> int:
    """Writes the model's folder, of the first; returns the size of its file in bytes.

    found: of `figures.compare`, in their order. Raises UserError, and then leaves a model of that name as it was.
    """
    translator = translators[0]
    graph, contract = build(translator, model.resolve().name, dataset, found)
    with staged(model) as folder:
        install(graph, contract, folder, threads)
        (folder / SAMPLES).write_bytes(picture(translators, *domains(translator.settings, dataset)))
        (folder / CARD).write_text(card(contract, (folder / FILE).read_bytes()), "utf-8")
    return (model / FILE).stat().st_size


def build(
    translator: Translator, name: str, dataset: Dataset, found: dict[str, Any]
) -> tuple[onnx.ModelProto, Contract]:
    """The graph, and what the file will say of itself. Raises UserError unless the two draw the same pictures."""
    spec = translator.spec
    source, _ = domains(translator.settings, dataset)
    given = rule_of(translator.settings.rule, spec.channels).of(source.test_images[: max(PARITY_BATCHES)])
    shape = given.shape[1:]
    example = {PICTURE: torch.from_numpy(given[:2])}
    graph = traced(
        Served(translator.generator), example, {PICTURE: {0: torch.export.Dim("N")}}, "generator", ["image"]
    )
    contract = Contract(
        schema=SCHEMA_OF_ROLES,
        name=name,
        z_dim=int(np.prod(shape)),
        classes=None,
        image=ImageShape(spec.channels, spec.height, spec.width),
        inputs=[Input(PICTURE, "image", list(shape))],
        training={
            "dataset": spec.dataset,
            "images_seen": translator.images_seen,
            "parameters": sum(weight.numel() for weight in translator.generator.parameters()),
            "multiply_adds": multiply_adds(graph),
            "settings": asdict(translator.settings),
            "torch": str(torch.__version__),
        },
        quality=_quality(found),
    )

    def forward(z: NDArray[np.float32], label: Indices | None) -> Pixels:
        return translator(contract.sources(z))

    seeds = range(GOLDEN_SAMPLES)
    samples = golden.make(forward, contract.z_dim, seeds, None, contract.rows(seeds))
    contract = msgspec.structs.replace(contract, golden=samples)
    check_parity(write(graph, contract), contract, forward, given)
    return graph, contract


def card(contract: Contract, file: bytes) -> str:
    """The card in Markdown, from what the file says of itself. file: the ONNX file."""
    training, quality = contract.training, contract.quality
    settings, dataset, source = training["settings"], training["dataset"], contract.source
    assert source is not None
    of, runs = Settings(**settings), [name for name in quality["rows"] if name not in BASELINES]
    paper, kind, last, limit = unpaired(of) if of.unpaired else paired(of)
    facts = {
        "input": f"{PICTURE}, uint8 {source.channels} x {source.height} x {source.width}: {RULES[of.rule].about}",
        "output": f"uint8 {contract.image.channels} x {contract.image.height} x {contract.image.width}",
        "parameters": f"{training['parameters']:,}",
        "multiply-adds an image": f"{training['multiply_adds']:,}",
        "weights": f"average of the generator after {training['images_seen']:,} images",
    }
    text = f"""# {contract.name}

A generator that is given a picture, trained from scratch with ganserve as {paper}: {dataset}, {kind}.

![Pairs]({SAMPLES})

Held-out pictures: what goes in; what comes out of {"; of ".join(runs)}; {last}.

| | |
| --- | --- |
{"".join(f"| {name} | {value} |{chr(10)}" for name, value in facts.items())}{card_row(file)}

## Data and licence

{ABOUT_DATA.get(dataset, UNKNOWN_DATA)}

## Training

torch {training["torch"]}:

```sh
{shlex.join(["python", "-m", "training", "translate", "train", "--data", f"data/{dataset}", "--run", f"runs/{contract.name}", *options(of)])}
```

## Figures

Of {quality["images"]:,} held-out pictures (split: {quality["split"]}), each with one standard error over images (Fréchet distance: bootstrap). Judge '{quality["judge"]["architecture"]}', a classifier of the data set that was trained on half of its training images, is right on {quality["judge_accuracy"]:.4f} of the real ones; *{FLOOR}* are of the other half. One training run each: the errors say nothing of the spread between runs.

{table(quality)}

## Limits

- It draws what {dataset} holds, with its biases, whatever it is given.
- {limit}
- One picture in gives one picture out, of many that would fit.
"""
    return front_matter(contract, LICENCES.get(dataset)) + text


class Words(NamedTuple):
    """Of a card. last: the picture's last row."""

    paper: str
    kind: str
    last: str
    limit: str


def paired(of: Settings) -> Words:
    return Words(
        f"pix2pix (Isola et al. 2017, [arXiv 1611.07004](https://arxiv.org/abs/1611.07004)), L1 {'+ GAN' if of.adversarial else 'alone'}",
        f"rule `{of.rule}`",
        "the real one",
        "What the rule loses it makes up: it is no evidence of what was there.",
    )


def unpaired(of: Settings) -> Words:
    return Words(
        "CycleGAN (Zhu et al. 2017, [arXiv 1703.10593](https://arxiv.org/abs/1703.10593))",
        f"{of.source} to {of.target}, of which no two pictures belong together",
        f"the {of.source} that the way back makes of the first",
        f"Which {of.target} belongs to a {of.source} nobody knows: it draws one of which the way back can draw that {of.source}.",
    )


def options(of: Settings) -> list[str]:
    """Of `translate train`: rule, images and seed, and what is not as it is by default."""
    names = {"source": "from", "target": "to"}
    words = ["--rule", of.rule]
    for name, value in asdict(of).items():
        if name in ("images", "seed") or (
            name not in ("rule", "adversarial") and value != getattr(Settings, name)
        ):
            words += [f"--{names.get(name, name).replace('_', '-')}", str(value)]
    return words if of.adversarial else [*words, "--l1-alone"]


def _quality(found: dict[str, Any]) -> dict[str, Any]:
    """What was found, and the judge's figures of this generator where readers of other files look for them."""
    (first, *_), floor = found["rows"].values(), found["rows"][FLOOR]
    of_judge = {"frechet_distance", "class_accuracy"} & set(first)
    figures = {name: first[name] | {"floor": floor[name]["value"]} for name in sorted(of_judge)}
    return found | {"verdicts": [{"judge": found["judge"], "figures": figures}]}
