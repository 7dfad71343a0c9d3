"""A run of pix2pix or CycleGAN -> models/<name>/: a file that is given a picture, its card, and a picture of pairs."""

import shlex
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from service.generator.contract import Contract
from service.generator.file.inputs import Input
from service.generator.loading import CARD, FILE
from training.data.dataset import Dataset, to_levels
from training.export.card import SAMPLES, page, trained_by
from training.export.export import contract_of, install, sealed, staged
from training.export.onnx_graph import PARITY_BATCHES, traced
from training.translation.figures import BASELINES, FLOOR, table
from training.translation.rules import RULES, domains
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
    translators: Sequence[Translator],
    model: Path,
    dataset: Dataset,
    found: dict[str, Any],
    threads: int,
    about_data: str | None = None,
) -> int:
    """Writes the model's folder, of the first; returns the size of its file in bytes.

    about_data: as in the card of `export`. found: of `figures.compare`, in their order. Raises UserError, and then leaves a model of that name as it was.
    """
    translator = translators[0]
    header = translator.header
    source, target = domains(header.settings, dataset)
    given = header.rule.of(source.test_images[: max(PARITY_BATCHES)])
    example, free = {PICTURE: torch.from_numpy(given[:2])}, {PICTURE: {0: torch.export.Dim("N")}}
    graph = traced(Served(translator.generator), example, free, "generator", ["image"])
    inputs = [Input(PICTURE, "image", list(given.shape[1:]))]
    name = model.resolve().name
    contract = contract_of(name, translator.generator, graph, header, inputs, given[0].size)

    def rows(seeds: Sequence[int]) -> NDArray[np.float32]:
        return given[np.array(seeds) % len(given)].reshape(len(seeds), -1).astype(np.float32)

    done = sealed(graph, contract, lambda z, _: translator(contract.sources(z)), rows=rows)
    done = msgspec.structs.replace(done, quality=_quality(found))
    shown = picture(translators, source, target)
    with staged(model) as folder:
        install(graph, done, folder, threads)
        (folder / SAMPLES).write_bytes(shown)
        (folder / CARD).write_text(card(done, (folder / FILE).read_bytes(), about_data), "utf-8")
    return (model / FILE).stat().st_size


def card(contract: Contract, file: bytes, about_data: str | None = None) -> str:
    """The card in Markdown, from what the file says of itself. file: the ONNX file. about_data: the images, whose, and under which licence."""
    training, quality = contract.training, contract.quality
    settings, dataset, source = training["settings"], training["dataset"], contract.source
    assert source is not None
    of, runs = Settings(**settings), [name for name in quality["rows"] if name not in BASELINES]
    if of.unpaired:
        paper = "CycleGAN (Zhu et al. 2017, [arXiv 1703.10593](https://arxiv.org/abs/1703.10593))"
        kind = f"{of.source} to {of.target}, of which no two pictures belong together"
        last = f"the {of.source} that the way back makes of the first"
        limit = f"Which {of.target} belongs to a {of.source} nobody knows: it draws one of which the way back can draw that {of.source}."
    else:
        paper = f"pix2pix (Isola et al. 2017, [arXiv 1611.07004](https://arxiv.org/abs/1611.07004)), L1 {'+ GAN' if of.adversarial else 'alone'}"
        kind, last = f"rule `{of.rule}`", "the real one"
        limit = "What the rule loses it makes up: it is no evidence of what was there."
    return page(
        contract,
        file,
        f"A generator that is given a picture, trained from scratch with ganserve as {paper}: {dataset}, {kind}.",
        f"""![Pairs]({SAMPLES})

Held-out pictures: what goes in; what comes out of {"; of ".join(runs)}; {last}.""",
        f"{PICTURE}, uint8 {source.channels} x {source.height} x {source.width}: {RULES[of.rule].about}",
        {},
        trained_by(training, command(of, dataset, contract.name)),
        f"""## Figures

Of {quality["images"]:,} held-out pictures (split: {quality["split"]}), each with one standard error over images (Fréchet distance: bootstrap). Judge '{quality["judge"]["architecture"]}', a classifier of the data set that was trained on half of its training images, is right on {quality["judge_accuracy"]:.4f} of the real ones; *{FLOOR}* are of the other half. One training run each: the errors say nothing of the spread between runs.

{table(quality)}""",
        f"""## Limits

- It draws what {dataset} holds, with its biases, whatever it is given.
- {limit}
- One picture in gives one picture out, of many that would fit.""",
        about_data=about_data,
    )


def command(of: Settings, dataset: str, name: str) -> str:
    """With rule, images and seed, and what is not as it is by default."""
    words = ["python", "-m", "training", "translate", "train", "--data", f"data/{dataset}"]
    words += ["--run", f"runs/{name}"]
    options = {"source": "from", "target": "to"}
    for key, value in asdict(of).items():
        differs = value != getattr(Settings, key) and key != "adversarial"
        if differs or key in ("rule", "images", "seed"):
            words += [f"--{options.get(key, key).replace('_', '-')}", str(value)]
    return shlex.join(words if of.adversarial else [*words, "--l1-alone"])


def _quality(found: dict[str, Any]) -> dict[str, Any]:
    """What was found, and the judge's figures of this generator where readers of other files look for them."""
    (first, *_), floor = found["rows"].values(), found["rows"][FLOOR]
    of_judge = {"frechet_distance", "class_accuracy"} & set(first)
    figures = {name: first[name] | {"floor": floor[name]["value"]} for name in sorted(of_judge)}
    return found | {"verdicts": [{"judge": found["judge"], "figures": figures}]}
