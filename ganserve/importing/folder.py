"""models/NAME/: the file that serves, its card and a picture of samples."""

import hashlib
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from msgspec.structs import replace

from ganserve.importing.adapting import Adapted
from ganserve.importing.inspecting import Plan
from ganserve.importing.surgery.feeds import LAWS
from ganserve.importing.surgery.further import said_of
from ganserve.importing.surgery.wishes import Fault, Refused, printable, sentence
from service.errors import ContractError
from service.generator import loading
from service.generator.contract import SCHEMA_OF_ROLES, Contract, card_row, write
from service.generator.file.folded import laid_beside
from service.generator.file.front_matter import front_matter
from service.generator.file.inputs import ROLES
from service.generator.file.named import with_range
from service.generator.images import grid, png
from service.generator.loading import CARD, FILE, Loaded
from service.settings import Settings

SAMPLES = "samples.png"
WEIGHTS = f"{FILE}.data"
MOST_INSIDE_MIB = 1900
"""Of weights; more lie beside the graph, since other readers of ONNX read no file of 2 GiB."""
COLUMNS = 10
MAX_ROWS = 20
_SHOWN_PIXELS = 56
COLOURS = {1: "grey", 3: "RGB", 4: "RGBA"}


@dataclass(frozen=True)
class About:
    """What the card says of where it comes from. source: a file's name; text: of the images, whose, which licence."""

    source: str
    sha256: str
    text: str | None = None
    licence: str | None = None


def about(factory: str | None, source: Path, text: str | None, licence: str | None = None) -> About:
    """factory: of a torch module. source: the file that holds the weights."""
    digest = hashlib.sha256(source.read_bytes()).hexdigest() if source.is_file() else ""
    if factory is None:
        return About(source.name, digest, text, licence)
    return About(
        f"torch module `{factory}`, weights {source.name if digest else 'as it makes them'}",
        digest,
        text,
        licence,
    )


NO_TRUNCATION = (
    "truncation changes nothing: seeds with z scaled by 0.1 and by 0.5 were drawn as with all of it, as where the graph brings z to one "
    "length itself; requests that ask for truncation are refused. Where the original has one of its own as an input, requests may "
    "choose that: `--scalar psi=0..1:1`"
)


class Written(NamedTuple):
    """files: their names. found: what was only seen when it was loaded, a line each."""

    files: list[str]
    found: list[str]


def write_folder(plan: Plan, adapted: Adapted, out: Path, origin: About) -> Written:
    """Loads the file as the service will, and only then moves it into place with its card, each file atomically.

    Raises Refused if the service would not serve it; OSError. A model of that name then stays as it was.
    """
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=".partial-") as partial:
        folder = Path(partial) / adapted.contract.name  # the service reads the model's name off its folder
        folder.mkdir()
        file, contract = _write_file(adapted, folder)
        try:
            # Which engine is faster is for the service to measure, on the machine that serves; it compares the pictures again.
            served = loading.load(loading.read(folder / FILE), Settings(engine="onnxruntime"))
        except ContractError as error:
            what = f"The service would not serve it: {error.what}."
            raise Refused([Fault(what, sentence(error.mend))]) from error
        except Exception as error:  # an engine may raise anything on a file that it can't run
            what = f"The service would not serve it: {error}"
            raise Refused(
                [Fault(what, "Export it again, in float32, by another exporter or opset.")]
            ) from error
        (folder / SAMPLES).write_bytes(_samples(served, contract))
        (folder / CARD).write_text(_card(plan, contract, file, served, origin), "utf-8")
        out.mkdir(exist_ok=True)
        names = [*[WEIGHTS] * bool(contract.weights), FILE, SAMPLES, CARD]
        for name in names:
            (folder / name).replace(out / name)
        if not contract.weights:  # of a model that was there before
            (out / WEIGHTS).unlink(missing_ok=True)
    return Written(names, [NO_TRUNCATION] * (not served.findings.truncation))


def _write_file(adapted: Adapted, folder: Path) -> tuple[bytes, Contract]:
    """The graph's file as it was written, with its weights inside or beside it; and what it says of itself."""
    model, weights, contract = adapted
    if sum(one.nbytes for one in weights.values()) > MOST_INSIDE_MIB * 2**20:
        beside = laid_beside(model, weights, folder / WEIGHTS)
        contract = replace(contract, schema=SCHEMA_OF_ROLES, weights=[beside])
        weights = {}
    file = write(model, contract, weights)
    (folder / FILE).write_bytes(file)
    return file, contract


def _samples(served: Loaded, contract: Contract) -> bytes:
    """A PNG: a row is a class, a column one z, seeds 0 to 9; without classes each cell is a seed of its own."""
    rows = min(contract.class_count, MAX_ROWS) or COLUMNS
    seeds = [i % COLUMNS if contract.classes else i for i in range(rows * COLUMNS)]
    label = np.repeat(np.arange(rows), COLUMNS) if contract.classes else None
    parts = [
        served.engine.wide(
            contract.rows(seeds[i : i + COLUMNS], contract.texts(seeds[i : i + COLUMNS])),
            None if label is None else label[i : i + COLUMNS],
        )
        for i in range(0, len(seeds), COLUMNS)
    ]
    picture = grid(np.concatenate(parts), COLUMNS)
    factor = max(1, _SHOWN_PIXELS // contract.image.height)
    return png(np.ascontiguousarray(picture.repeat(factor, axis=1).repeat(factor, axis=2)))


def _card(plan: Plan, contract: Contract, file: bytes, served: Loaded, origin: About) -> str:
    image, classes = contract.image, contract.classes
    kind = "A class-conditional" if classes else "An unconditional"
    colour = COLOURS[image.channels]
    what = (
        f"One class a row, in the order below{f', the first {MAX_ROWS}' if len(classes) > MAX_ROWS else ''}; a column is one z: seeds 0 to 9"
        if classes
        else f"Seeds 0 to {COLUMNS**2 - 1}, row by row"
    )
    weights = ", or weights over them" if contract.mixes_classes else ""
    label = f"; label, an index into the classes{weights}" if classes else ""
    rows = {
        "input": f"{_rows_said(contract)}{label}",
        "output": f"uint8 {image.channels} x {image.height} x {image.width}{_beside_said(contract)}",
        "classes": ", ".join(classes or ("none",)),
        "imported from": f"{origin.source}" + (f", SHA-256 `{origin.sha256}`" if origin.sha256 else ""),
    }
    table = "\n".join(
        [
            "| | |",
            "| --- | --- |",
            *(f"| {name} | {value.replace('|', '&#124;')} |" for name, value in rows.items()),
            card_row(file),
        ]
    )
    taken = "\n".join(f"- {line}" for line in (*describe(plan), *plan.notes, *plan.foreign.notes))
    limits = [f"Images have {image.width}x{image.height} pixels.", "Nobody measured its quality here."]
    if not served.findings.truncation:
        limits.append(sentence(NO_TRUNCATION))
    if contract.batch is not None:
        limits.append(f"Every pass has {contract.batch} images, padded where fewer are asked for.")
    return front_matter(contract, origin.licence) + (
        f"# {contract.name}\n\n{kind} image generator of {image.width}x{image.height} {colour} images, imported with "
        f"`ganserve import`.\n\n![Samples]({SAMPLES})\n\n{what}, no truncation.\n\n{table}\n\n"
        f"## What it was taken for\n\n{taken}\n\nThe golden samples in the file are the original's, by ONNX Runtime.\n\n"
        f"## Data and licence\n\n{origin.text or 'Not stated. (`ganserve import --about` says what the images are, whose, and under which licence.)'}\n\n"
        "## Limits\n\n" + "\n".join(f"- {line}" for line in limits) + "\n"
    )


def _rows_said(contract: Contract) -> str:
    """What a request may give beside the label."""
    said = []
    for one in contract.declared:
        if one.role == "scalar":
            said.append(with_range(one))
        elif ROLES[one.role].is_z:
            said.append(f"{one.name}, {one.size:,} numbers, {LAWS[one.law]}")
        elif one.role == "text":
            said.append(f"{one.name}, {one.size} tokens of a text, by the tokenizer in the file")
    return "; ".join(said)


def _beside_said(contract: Contract) -> str:
    said = [f"{one.name} ({one.role}), {one.size:,} numbers" for one in contract.beside]
    return f"; beside it, in V2, {', '.join(said)}" if said else ""


def describe(plan: Plan) -> list[str]:
    """What each input and the output were taken for, a line each."""
    feeds, picture = plan.feeds, plan.picture
    z = feeds.noises[0]
    scaled = "" if z.scale == 1 else f", times {z.scale:g}"
    lines = [f"input {z.input} is z, {LAWS[z.law]}{scaled}"]
    lines += [
        f"input {one.input} is noise, {LAWS[one.law]}, which the seed decides" for one in feeds.noises[1:]
    ]
    told = [one for one in feeds.declared if one.role == "scalar"]
    lines += [
        f"input {scalar.input} is what requests may choose: {with_range(one)}"
        for one, scalar in zip(told, feeds.scalars, strict=True)
    ]
    if feeds.text is not None:
        length, _, _, pad = feeds.text.reading
        lines.append(
            f"input {feeds.text.input} takes a text's tokens: {length} of {feeds.text.reading.tokens:,} ids, cut there, filled up with {pad}"
        )
    if feeds.label is not None:
        form = "one-hot" if feeds.label.one_hot else "an index"
        form += ", or as weights over classes, which requests may give" if feeds.mixes else ""
        lines.append(
            f"input {feeds.label.input} takes the class, as {form}: {len(plan.classes or ())} classes"
        )
    for constant in feeds.constants:
        value = constant.value
        same = value.size and (value == value.flat[0]).all()
        shown = f"{value.flat[0]:g}" if same else f"values of the shape {list(value.shape)}"
        lines.append(
            f"input {constant.input} is always {shown}" if value.size else f"input {constant.input} is empty"
        )
    shown = "x".join(map(str, picture.shape))
    lines.append(
        f"output '{printable(picture.output.name)}', {picture.output.dtype} {shown}, is {COLOURS[picture.channels]} {picture.width}x{picture.height}, "
        f"{picture.layout.upper()}, in {picture.range.replace('..', ' to ')}"
    )
    return [*lines, *said_of(plan.others, plan.further)]
