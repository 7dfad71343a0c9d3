"""The model card and the sample picture of an exported generator."""

import re
import shlex
from dataclasses import fields
from typing import Any

import numpy as np

from service.generator.contract import Contract, card_row
from service.generator.engines.choose import is_as_good
from service.generator.file.front_matter import front_matter, with_front_matter
from service.generator.file.named import with_range
from service.generator.images import grid, png
from training.data.dataset import Pixels
from training.evaluation.generated import Source
from training.evaluation.quality.figures import FIGURES
from training.evaluation.quality.judging import JUDGES
from training.evaluation.report import markdown, table
from training.gan.losses import FLOW
from training.presets import PRESETS, settings_of
from training.settings import Settings

SAMPLES = "samples.png"
COLUMNS = 10
MAX_ROWS = 20
# Smaller images are enlarged by a whole factor up to about this side, or nobody sees them.
SHOWN_PIXELS = 56

ABOUT_DATA = {
    "fashion-mnist": (
        "Fashion-MNIST (Xiao, Rasul and Vollgraf 2017, [arXiv 1708.07747](https://arxiv.org/abs/1708.07747)): "
        "70,000 grey pictures of garments, 60,000 of them for training, by Zalando SE, under the "
        "[MIT licence](https://github.com/zalandoresearch/fashion-mnist/blob/master/LICENSE)."
    ),
}
UNKNOWN_DATA = "Not stated. (`export --about-data` says what the images are, whose, and under which licence.)"
# Of what was trained on them, as Hugging Face's Hub names it.
LICENCES = {"fashion-mnist": "mit"}
# Settings that have an option of their own on the command line of `train`.
NAMED_OPTIONS = {name: f"--{name}" for name in ("images", "batch", "seed", "augment", "precision")}
NAMED_OPTIONS |= {"source": "--from", "freeze_d": "--freeze-d", "freeze_g": "--freeze-g"}


def sample_grid(source: Source) -> bytes:
    """A PNG of seeds 0 to 9 through the exported file: a row is a class, a column one z."""
    rows = min(len(source.classes or ()), MAX_ROWS) or COLUMNS
    count = rows * COLUMNS
    # Unconditional: every cell is a seed of its own.
    seeds = [i % COLUMNS if source.classes else i for i in range(count)]
    label = np.repeat(np.arange(rows), COLUMNS) if source.classes else None
    return shown(source.forward(source.drawn(seeds), label))


def shown(images: Pixels, columns: int = COLUMNS) -> bytes:
    """A PNG of images, uint8 [N, C, H, W], row by row, large enough to be seen."""
    picture, factor = grid(images, columns), max(1, SHOWN_PIXELS // images.shape[2])
    return png(np.ascontiguousarray(picture.repeat(factor, axis=1).repeat(factor, axis=2)))


def card(contract: Contract, file: bytes, origin: dict[str, Any], about_data: str | None) -> str:
    """The card in Markdown, from what the file says of itself.

    file: the ONNX file; the service refuses any other beside this card.
    origin: what ran the samples, `Source.origin`. about_data: the images, whose, and under which licence.
    """
    normal = sum(one.size for one in contract.declared if one.role == "z")
    label = "; label, an index into the classes" if contract.classes else ""
    codes = [with_range(one) for one in contract.declared if one.role == "code"]
    label += f"; codes: {', '.join(codes)}" if codes else ""
    return page(
        contract,
        file,
        _what(contract),
        _samples(contract, origin),
        f"z, {normal} numbers, standard normal{label}",
        {"classes": ", ".join(contract.classes or ("none",))},
        _training(contract),
        _quality(contract),
        _limits(contract),
        about_data=about_data,
    )


def page(
    contract: Contract,
    file: bytes,
    what: str,
    samples: str,
    takes: str,
    names: dict[str, str],
    *sections: str,
    about_data: str | None = None,
) -> str:
    """A card in Markdown. what, samples: paragraphs. takes: its input. names: more rows of its table; and see `card`."""
    training, image = contract.training, contract.image
    images, length = training["images_seen"], training["settings"]["images"]
    facts = {
        "input": takes,
        "output": f"uint8 {image.channels} x {image.height} x {image.width}",
        **names,
        "parameters": f"{training['parameters']:,}",
        "multiply-adds an image": f"{training['multiply_adds']:,}",
        "weights": f"average of the generator after {images:,} of {length:,} images",
    }
    if "configuration" in training:
        facts["configuration"] = training["configuration"]
    rows = "".join(f"| {name} | {value} |\n" for name, value in facts.items())
    parts = [
        f"# {contract.name}",
        what,
        samples,
        f"| | |\n| --- | --- |\n{rows}{card_row(file)}",
        f"## Data and licence\n\n{about_data or ABOUT_DATA.get(training['dataset'], UNKNOWN_DATA)}",
        *sections,
    ]
    return front_matter(contract, LICENCES.get(training["dataset"])) + "\n\n".join(parts) + "\n"


def trained_by(training: dict[str, Any], command: str, length: str = "") -> str:
    """A card's section, of generators that `train` has not made. training: what the file says of it."""
    return f"## Training\n\ntorch {training['torch']}{length}:\n\n```sh\n{command}\n```"


def with_precisions(text: str, contract: Contract, before: bytes, file: bytes) -> str:
    """The card of a file that was given `quality["precisions"]`: SHA-256 and one section are new, the rest as it was.

    before, file: the ONNX file without and with them.
    """
    text = text.replace(card_row(before), card_row(file))
    return with_section(text, "Precisions", _precisions(contract))


def with_section(text: str, title: str, content: str) -> str:
    """The card with this section before its limits, in the place of one of that title."""
    head, limits, rest = _section(title).sub("", text).partition("## Limits\n")
    return f"{head.rstrip()}\n\n## {title}\n\n{content}\n\n{limits}{rest}".rstrip() + "\n"


def with_figures(text: str, contract: Contract, before: bytes, file: bytes) -> str:
    """The same of a file that was measured anew: SHA-256, head, figures and limits are new."""
    text = text.replace(card_row(before), card_row(file))
    for title, section in (("Figures", _quality(contract)), ("Limits", _limits(contract))):
        text = _section(title).sub(lambda _, section=section: section + "\n\n", text)
    licence = LICENCES.get(contract.training.get("dataset", ""))
    return with_front_matter(text, contract, licence).rstrip() + "\n"


def train_command(settings: Settings, dataset: str) -> str:
    """The command line that trains with these settings, from a data set in data/."""
    words = ["python", "-m", "training", "train", "--data", f"data/{dataset}", "--run", f"runs/{dataset}"]
    # A preset of an earlier version: what it set is then said value by value.
    known = settings.preset in PRESETS
    base = settings_of(settings.preset) if known else Settings()
    words += ["--preset", settings.preset] if known else []
    for field in fields(Settings):
        name, value = field.name, getattr(settings, field.name)
        if name == "preset" or (value == getattr(base, name) and name not in ("images", "seed")):
            continue
        text = str(value).lower() if isinstance(value, bool) else str(value)
        words += [NAMED_OPTIONS[name], text] if name in NAMED_OPTIONS else ["--set", f"{name}={text}"]
    return shlex.join(words)


def _section(title: str) -> re.Pattern[str]:
    return re.compile(rf"^## {title}\n.*?(?=^## |\Z)", re.MULTILINE | re.DOTALL)


def _what(contract: Contract) -> str:
    kind = "A class-conditional" if contract.classes else "An unconditional"
    how = "from another's weights" if contract.training.get("origin") else "from scratch"
    what = "generative adversarial network" if contract.training.get("loss") != FLOW else "flow of one step"
    shape, colour = contract.image, "grey" if contract.image.channels == 1 else "RGB"
    return (
        f"{kind} image generator, trained {how} with ganserve as a {what}: "
        f"{shape.width}x{shape.height} {colour} images of the kind that {contract.training['dataset']} holds."
    )


def _samples(contract: Contract, origin: dict[str, Any]) -> str:
    what = f"Seeds 0 to {COLUMNS**2 - 1}, row by row"
    if contract.classes:
        what = "One class per row, in the order below; a column is one z: seeds 0 to 9"
    return (
        f"![Samples]({SAMPLES})\n\n{what}, no truncation, "
        f"through `generator.onnx` on {origin['engine']} in {origin['precision']}."
    )


def _training(contract: Contract) -> str:
    training = contract.training
    settings = "\n".join(f"{name} = {value}" for name, value in training["settings"].items())
    began = training.get("origin", "")
    return (
        f"## Training\n\nNetwork `{training['network']}`, loss `{training['loss']}`, torch {training['torch']}"
        f"{'. ' * bool(began)}{began.removesuffix('.')}:\n\n"
        f"```sh\n{training['command']}\n```\n\nIts settings (`training/settings.py` says what each means; one that is not here came later, and is at its default):\n\n"
        f"```text\n{settings}\n```"
    )


def _quality(contract: Contract) -> str:
    quality = contract.quality
    if not quality:
        return "## Figures\n\nNot evaluated: it was exported without `--data`."
    judges = " ".join(f"--judge {verdict['judge']['architecture']}" for verdict in quality["verdicts"])
    origin, first = quality["origin"], quality["verdicts"][0]["judge"]
    seeds = f"seed i of class i mod {contract.class_count}" if contract.classes else "seed i"
    usual = JUDGES[first["architecture"]].images
    judges += "" if first["images"] == usual else f" --judge-images {first['images']}"
    command = (
        f"python -m training evaluate --model models/{contract.name} --data data/{quality['dataset']} "
        f"--images {quality['images']} {judges}"
    )
    return (
        f"## Figures\n\nOf the served file on {origin['engine']} in {origin['precision']}: {quality['images']:,} images, "
        f"{seeds}, no truncation, against {quality['images']:,} real images that were held out of training "
        f"(split: {quality['split']}); {quality['draws']} draws of seeds. The floor is what as many other real images, each class "
        "as often, reach in the generated ones' place. The judges are classifiers of the data set, each trained on its "
        "own half of the training images; its floor comes from the half that it never saw. By judge "
        f"'{first['architecture']}', which is named first, nothing was chosen. Figures of one judge can't be compared "
        "with another's, nor with Inception's; a Fréchet distance has a bias of about 1/n, so its floor is one for "
        "this n (the distance for n → ∞ has none).\n\n"
        f"{markdown(quality)}\n\nMeasured by\n\n```sh\n{command}\n```"
    )


def _precisions(contract: Contract) -> str:
    """Of each engine that was measured: fp32, and what it has beside it."""
    runs = contract.quality["precisions"]
    fp32 = {run["engine"]: run for run in runs if run["precision"] == "fp32"}
    others = [run for run in runs if run["precision"] != "fp32"]
    return "\n\n".join(_precision(contract, fp32[other["engine"]], other) for other in others)


def _precision(contract: Contract, fp32: dict[str, Any], other: dict[str, Any]) -> str:
    rows, faster = [], other["precision"]
    for name in fp32["figures"]:
        judge, _, figure = name.partition(".")
        about, both = FIGURES[figure], (fp32["figures"][name], other["figures"][name])
        values = (f"{one['value']:.{about.digits}f} ± {one['error']:.{about.digits}f}" for one in both)
        rows.append([f"{about.heading}, judge '{judge}'", *values])
    good = is_as_good(contract, other["engine"], faster)
    found = f"may take {faster}: no figure" if good else f"does not take {faster}: a figure"
    of = {"openvino": "OpenVINO", "onnxruntime": "ONNX Runtime on CUDA"}[other["engine"]]
    return (
        f"Of {fp32['images']:,} images of {of} in each, from the same z, with one standard error "
        f"(Fréchet distance: bootstrap of the images, {fp32['resamples']} resamples; class accuracy: binomial):\n\n"
        + table(["figure", "fp32", faster], rows)
        + f"\n\n`auto` {found} differs by more than the error of the difference."
    )


def _limits(contract: Contract) -> str:
    limits = [
        f"It draws what {contract.training['dataset']} holds, with its biases, and nothing else.",
        f"Images have {contract.image.width}x{contract.image.height} pixels.",
        "The figures come from one training run, so they say nothing of the spread between runs.",
    ]
    for verdict in contract.quality.get("verdicts", []):
        accuracy = verdict["class_accuracies"]
        if not accuracy:
            continue
        name, figure = min(accuracy.items(), key=lambda pair: pair[1]["value"])
        limits.append(
            f"Judge '{verdict['judge']['architecture']}' recognises {name} least: "
            f"{figure['value']:.3f} of the generated images, {figure['floor']:.3f} of the real ones."
        )
        if variety := verdict["class_diversities"]:
            least = min(variety, key=lambda name: variety[name]["value"])
            limits.append(
                f"It sees the least variety in {least}: images are {variety[least]['value']:.2f} times as far apart as real "
                f"ones (other real ones: {variety[least]['floor']:.2f})."
            )
        gap = {name: figure["floor"] - figure["value"] for name, figure in accuracy.items()}
        worst = max(gap, key=lambda name: gap[name])
        if worst != name and gap[worst] > 0.01:
            limits.append(f"The same judge sees the widest gap to real images in {worst}: {gap[worst]:.3f}.")
    return "## Limits\n\n" + "\n".join(f"- {limit}" for limit in limits)
