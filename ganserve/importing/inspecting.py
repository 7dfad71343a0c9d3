"""What a foreign file is, and all that is open before it can be served."""

import math
from collections import Counter
from dataclasses import dataclass, field, replace
from pathlib import Path

import msgspec
import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import shape_inference

from ganserve.importing.classes import looked_at, with_classes
from ganserve.importing.reading import Foreign, read
from ganserve.importing.roles import find_roles, given_picture
from ganserve.importing.surgery import randomness
from ganserve.importing.surgery.every_class import finite
from ganserve.importing.surgery.feeds import Feeds
from ganserve.importing.surgery.further import Further, choose_output, kept, wanted
from ganserve.importing.surgery.nodes import Signature, graphs_of, inputs_of, odd_kind, outputs_of
from ganserve.importing.surgery.original import DEPENDS, Original
from ganserve.importing.surgery.picture import (
    MOST_NUMBERS,
    MOST_PIXELS,
    NOT_FINITE,
    Picture,
    find_picture,
)
from ganserve.importing.surgery.wishes import Fault, Refused, Wishes, printable, sentence
from service.generator.contract import METADATA_KEY, Contract
from service.generator.file import graph

_LOOKED_AT = 8
_BATCHES = (1, 3, 8)


@dataclass
class Plan:
    """Everything that is known of a foreign file. notes: what was changed, for the card."""

    foreign: Foreign
    feeds: Feeds
    picture: Picture
    original: Original
    classes: list[str] | None
    others: list[Signature]
    """Outputs beside the picture."""
    further: list[Further]
    """Those of them that are kept; in their order, as the original gives them after the picture."""
    notes: list[str] = field(default_factory=list)

    def forward(self, z: NDArray[np.float32], label: NDArray[np.int64] | None) -> NDArray[np.uint8]:
        """The original's images. Raises Refused where they are none."""
        raw = self.original.raw(z, label)
        if not finite(raw).all():
            raise Refused([NOT_FINITE])
        return self.picture.levels(raw)

    def beside(self, z: NDArray[np.float32], label: NDArray[np.int64] | None) -> dict[str, NDArray]:
        """What the original gives beside them, of what is kept."""
        values = self.original.all(z, label)[1:]
        return {one.name: value.astype(np.float32) for one, value in zip(self.further, values, strict=True)}


def inspect(path: Path, wishes: Wishes) -> Plan:
    """What the file is; it is read and run, and nothing is written. Raises Refused, with all that is open."""
    foreign = read(path)
    known = _contract_of(foreign.model)
    own = known.classes or None if known is not None and wishes.classes is None else None
    faults = list(foreign.faults)
    # Weights that are not there are not NaN.
    faults += [] if foreign.faults else _graph_faults(foreign, wishes)
    if strange := _strange(foreign.model.graph, wishes):
        raise Refused([*faults, *strange])
    feeds, unknown = find_roles(inputs_of(foreign.model.graph), wishes)
    faults += unknown
    if own is not None and feeds is not None and feeds.label is None:
        foreign.notes.append(
            f"no input takes a class, so the {len(own)} names in the file's own metadata are left out"
        )
    elif own is not None:
        wishes = replace(wishes, classes=own)
    outputs = outputs_of(foreign.model.graph)
    output = choose_output(outputs, wishes)
    if isinstance(output, Fault):
        raise Refused([*faults, output])
    if impossible := _impossible(foreign.model, output, feeds):
        raise Refused([*faults, *impossible])
    if known is not None and output.dtype == np.uint8 and wishes.range is None:
        wishes = replace(wishes, range="0..255")
    others = [one for one in outputs if one is not output]
    beside, unknown_outputs = wanted(others, wishes)
    faults += unknown_outputs
    further: list[Further] = []
    original, raw, classes = None, None, None
    notes: list[str] = []
    if feeds is not None and not foreign.faults:
        found: list[Fault] = []
        if not unknown:
            feeds, classes, found = with_classes(foreign, feeds, wishes)
        try:
            if wishes.noise and randomness.random_nodes(foreign.model.graph):
                feeds = _without_draws(foreign, feeds, wishes.noise, notes)
            # Draws that are asked about do not keep anything else from being seen.
            named = [output.name, *(one.name for one in beside)]
            original = Original(randomness.silenced(foreign.model), foreign.weights, feeds, named)
            raw, *values = original.all(*original.inputs(_LOOKED_AT))
            if beside:
                runs = {_LOOKED_AT: values, 3: original.all(*original.inputs(3))[1:]}
                further, odd = kept(beside, runs, wishes)
                found += odd
            if (
                not found
                and not unknown
                and (wishes.noise or not randomness.random_nodes(foreign.model.graph))
            ):
                found += looked_at(foreign.model, original, output, raw, classes or [], wishes, notes)
            if classes and found and not finite(raw).all():
                raw = raw[finite(raw)] if finite(raw).any() else None
        except Refused as refused:
            # Where a graph draws numbers, or learns of its batch, two passes differ for a reason that is already said.
            found += [one for one in refused.faults if one != DEPENDS or not faults]
        except Exception as error:  # onnxruntime raises a dozen classes of its own
            mend = "--z, --label, --constant: are they right?"
            found.append(Fault(f"ONNX Runtime can't run it: {error}", mend))
        if not unknown:
            faults += found
        elif raw is not None and not np.isfinite(raw.astype(np.float64)).all():
            raw = None
    shape = raw.shape[1:] if raw is not None else _inferred(foreign.model, output)
    if shape is not None and feeds is not None and wishes.z is None:
        faults += given_picture(feeds.noises[0], shape)
    picture = None if shape is None else find_picture(foreign.model.graph, output, shape, raw, wishes)
    if isinstance(picture, list):
        # Of weights that are NaN that is said already.
        is_nan = any(one.mend == sentence(graph.MENDS["nan"]) for one in faults)
        faults += [one for one in picture if one != NOT_FINITE or not is_nan]
    if faults or feeds is None or original is None or not isinstance(picture, Picture):
        raise Refused(faults)
    return Plan(foreign, feeds, picture, original, classes, others, further, notes)


def _graph_faults(foreign: Foreign, wishes: Wishes) -> list[Fault]:
    simple = {node.output[0] for node in randomness.random_nodes(foreign.model.graph)}
    alike: dict[tuple[str, str], list[graph.Fault]] = {}
    for fault in graph.faults(foreign.model, foreign.weights):
        mend = sentence(graph.MENDS[fault.kind])
        if fault.kind == "random" and fault.output in simple:
            if wishes.noise is not None:
                continue
            mend = "--noise z (what it draws becomes a part of z), or --noise none (its mean)"
        elif fault.kind == "random" and randomness.is_simple(fault.where):
            mend = "Export again without it: --noise does not reach into branches and loops."
        alike.setdefault((fault.kind, mend), []).append(fault)
    found = []
    for (_, mend), group in alike.items():
        first, all_of_them = group[0], ", ".join(one.where for one in group)
        text = first.text.replace(first.where, all_of_them, 1)
        found.append(Fault(sentence(text), mend))
    return found


def _strange(graph: onnx.GraphProto, wishes: Wishes) -> list[Fault]:
    """Inputs, and the output, of which nothing else can be said."""
    needed = {one.name for one in inputs_of(graph)}
    outputs = [one for one in graph.output if wishes.output in (None, one.name)]
    if wishes.output is None and len(outputs) > 1:
        # Another may hold the images.
        outputs = []
    parts = [("Input", one) for one in graph.input if one.name in needed]
    odd = "Export it as a tensor of numbers: float32, or int64 where it takes a class."
    return [
        *_named_twice(graph),
        *(
            Fault(f"{which} '{value.name}' is {what}.", odd)
            for which, value in [*parts, *(("Output", one) for one in outputs)]
            if (what := odd_kind(value))
        ),
    ]


def _named_twice(graph: onnx.GraphProto) -> list[Fault]:
    """Of the inputs and what nodes make; and of the weights."""
    made = [
        *(one.name for one in graph.input),
        *(name for node in graph.node for name in node.output if name),
    ]
    counts = Counter(made) | Counter(one.name for one in graph.initializer)
    if not (twice := [printable(name) for name, count in counts.items() if count > 1]):
        return []
    what = f"Two things in the graph have one name, so which is meant can't be seen: {', '.join(twice[:8])}."
    return [Fault(what, "Export it again, or by another exporter: by ONNX's rules each has its own.")]


def _impossible(model: onnx.ModelProto, output: Signature, feeds: Feeds | None) -> list[Fault]:
    """What no option mends, and a run would only fail on in other words."""
    graph, found = model.graph, list[Fault]()
    read = {name for one in graphs_of(graph) for node in one.node for name in node.input}
    if feeds is not None and feeds.noises[0].input.name not in read:
        what = f"z is input {feeds.noises[0].input}, which nothing in the graph reads: every image would be the same."
        found.append(Fault(what, "--z NAME of another input, or export it again"))
    shape = _inferred(model, output)
    if shape and math.prod(shape) > MOST_NUMBERS:
        shown = "x".join(map(str, shape))
        what = f"An image comes as {shown} numbers; the service has up to {MOST_PIXELS}x{MOST_PIXELS} pixels."
        found.append(Fault(what, "Export a smaller size."))
    return found


def _without_draws(foreign: Foreign, feeds: Feeds, noise: str, notes: list[str]) -> Feeds:
    drawn = len(randomness.random_nodes(foreign.model.graph))
    operators = f"{drawn} random operator{'s' if drawn > 1 else ''}"
    if noise == "none":
        foreign.model = randomness.silenced(foreign.model)
        notes.append(f"of what {operators} drew, the graph has the mean")
        return feeds
    grown = randomness.become_inputs(foreign.model, foreign.weights, feeds)
    notes.append(f"what {operators} drew are the last {grown.z_dim - feeds.z_dim:,} numbers of z")
    return grown


def _inferred(model: onnx.ModelProto, output: Signature) -> tuple[int, ...] | None:
    """The shape of an image without a run; None if it can't be seen."""
    try:
        known = outputs_of(shape_inference.infer_shapes(model, data_prop=True).graph)
    except Exception:  # what can't be inferred is found by a run, or not at all
        return None
    dims = next((one.dims for one in known if one.name == output.name), None)
    shape = tuple(axis for axis in (dims or ())[1:] if axis is not None)
    return shape if dims and len(shape) == len(dims) - 1 else None


def _contract_of(model: onnx.ModelProto) -> Contract | None:
    """What the file says of itself, true or not."""
    document = next((prop.value for prop in model.metadata_props if prop.key == METADATA_KEY), None)
    try:
        return None if document is None else msgspec.json.decode(document, type=Contract)
    except (msgspec.MsgspecError, RecursionError):
        return None
