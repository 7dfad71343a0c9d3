"""A run of pix2pix -> models/<name>/: a file that is given a picture, its card, and a picture of pairs."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from service.generator import golden
from service.generator.contract import SCHEMA_OF_ROLES, Contract, ImageShape, card_row, write
from service.generator.engines.ort import OrtEngine
from service.generator.file.front_matter import front_matter
from service.generator.file.inputs import Input
from service.generator.file.rewired import rewired
from service.generator.images import png
from service.generator.loading import CARD, FILE
from training.data.dataset import Dataset, Indices, Pixels
from training.errors import UserError
from training.export.card import ABOUT_DATA, LICENCES, SAMPLES, SHOWN_PIXELS, UNKNOWN_DATA
from training.export.export import GOLDEN_SAMPLES, install, staged
from training.export.onnx_graph import PARITY_BATCHES, multiply_adds, traced
from training.translation.figures import FLOOR, table
from training.translation.rules import RULES, rule_of
from training.translation.run import COLUMNS, Translator, rows

PICTURE = "picture"


class Served(nn.Module):
    """A picture in levels -> an image in levels: scaled, denormalised, rounded, clipped and cast as dataset.py does it."""

    def __init__(self, generator: nn.Module) -> None:
        super().__init__()
        self.generator = generator

    def forward(self, picture: Tensor) -> Tensor:
        """picture: uint8 [N, c, h, w]. Returns uint8 [N, C, H, W]."""
        image = self.generator(picture.float().div(127.5).sub(1))
        return (image + 1).mul(127.5).round().clamp(0, 255).to(torch.uint8)


def export(
    translators: Sequence[Translator], model: Path, dataset: Dataset, found: dict[str, Any], threads: int
) -> int:
    """Writes the model's folder, of the first; returns the size of its file in bytes.

    found: of `figures.compare`, in their order. Raises UserError, and then leaves a model of that name as it was.
    """
    translator = translators[0]
    graph, contract = build(translator, model.resolve().name, dataset, found)
    real = dataset.test_images[:COLUMNS]
    picture = rows(translators, rule_of(translator.settings.rule, real.shape[1]).of(real), real)
    factor = max(1, SHOWN_PIXELS // contract.image.height)
    with staged(model) as folder:
        install(graph, contract, folder, threads)
        large = picture.repeat(factor, axis=1).repeat(factor, axis=2)
        (folder / SAMPLES).write_bytes(png(np.ascontiguousarray(large)))
        (folder / CARD).write_text(card(contract, (folder / FILE).read_bytes()), "utf-8")
    return (model / FILE).stat().st_size


def build(
    translator: Translator, name: str, dataset: Dataset, found: dict[str, Any]
) -> tuple[onnx.ModelProto, Contract]:
    """The graph, and what the file will say of itself. Raises UserError unless the two draw the same pictures."""
    spec = translator.spec
    given = rule_of(translator.settings.rule, spec.channels).of(dataset.test_images[: max(PARITY_BATCHES)])
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
    check_parity(write(graph, contract), contract, translator, given)
    return graph, contract


def check_parity(file: bytes, contract: Contract, translator: Translator, given: Pixels) -> None:
    """Raises UserError where ONNX Runtime's images are not those of the network. given: uint8 [N, c, h, w]."""
    got = OrtEngine(rewired(file, contract), contract, cuda=False, precision="fp32", threads=1).wide
    z = given.reshape(len(given), -1).astype(np.float32)
    for batch in PARITY_BATCHES:
        errors = golden.difference(got(z[:batch], None), translator(given[:batch]))
        if excess := errors.excess("fp32"):
            raise UserError(f"not exported: at batch {batch} ONNX Runtime differs from torch: {excess}")


def card(contract: Contract, file: bytes) -> str:
    """The card in Markdown, from what the file says of itself. file: the ONNX file."""
    training, quality = contract.training, contract.quality
    settings, dataset, source = training["settings"], training["dataset"], contract.source
    assert source is not None
    kind, flag = ("+ GAN", "--adversarial") if settings["adversarial"] else ("alone", "--l1-alone")
    named = ("rule", "images", "batch", "seed", "width", "l1_weight", "lr")
    options = " ".join(f"--{name.replace('_', '-')} {settings[name]}" for name in named)
    facts = {
        "input": f"{PICTURE}, uint8 {source.channels} x {source.height} x {source.width}: {RULES[settings['rule']].about}",
        "output": f"uint8 {contract.image.channels} x {contract.image.height} x {contract.image.width}",
        "parameters": f"{training['parameters']:,}",
        "multiply-adds an image": f"{training['multiply_adds']:,}",
        "weights": f"average of the generator after {training['images_seen']:,} images",
    }
    text = f"""# {contract.name}

A generator that is given a picture, trained from scratch with ganserve as pix2pix (Isola et al. 2017, [arXiv 1611.07004](https://arxiv.org/abs/1611.07004)), L1 {kind}: {dataset}, rule `{settings["rule"]}`.

![Pairs]({SAMPLES})

Held-out pictures: what goes in; what comes out of {"; of ".join(list(quality["rows"])[:-1])}; the real one.

| | |
| --- | --- |
{"".join(f"| {name} | {value} |{chr(10)}" for name, value in facts.items())}{card_row(file)}

## Data and licence

{ABOUT_DATA.get(dataset, UNKNOWN_DATA)}

## Training

torch {training["torch"]}:

```sh
python -m training translate train --data data/{dataset} --run runs/{contract.name} {options} {flag}
```

## Figures

Of {quality["images"]:,} held-out pairs (split: {quality["split"]}), each with one standard error over images (Fréchet distance: bootstrap). Judge '{quality["judge"]["architecture"]}', a classifier of the data set that was trained on half of its training images, is right on {quality["judge_accuracy"]:.4f} of the real ones; *{FLOOR}* are of the other half. One training run each: the errors say nothing of the spread between runs.

{table(quality)}

## Limits

- It draws what {dataset} holds, with its biases, whatever it is given.
- What the rule loses it makes up: it is no evidence of what was there.
- One picture in gives one picture out, of many that would fit.
"""
    return front_matter(contract, LICENCES.get(dataset)) + text


def _quality(found: dict[str, Any]) -> dict[str, Any]:
    """What was found, and the judge's figures of this generator where readers of other files look for them."""
    (first, *_), floor = found["rows"].values(), found["rows"][FLOOR]
    of_judge = {"frechet_distance", "class_accuracy"} & set(first)
    figures = {name: first[name] | {"floor": floor[name]["value"]} for name in sorted(of_judge)}
    return found | {"verdicts": [{"judge": found["judge"], "figures": figures}]}
