"""Classes of a foreign file: their names; and whether what it draws of them, and of all that requests may choose, can be served."""

from dataclasses import replace

import numpy as np
import onnx
from numpy.typing import NDArray

from ganserve.importing.reading import Foreign
from ganserve.importing.roles import constant_of
from ganserve.importing.surgery.every_class import alike, every_class, finite, outside
from ganserve.importing.surgery.feeds import Feeds
from ganserve.importing.surgery.ignored import ignored
from ganserve.importing.surgery.levels import look
from ganserve.importing.surgery.nodes import Signature
from ganserve.importing.surgery.original import Original
from ganserve.importing.surgery.picture import Picture, find_picture
from ganserve.importing.surgery.wishes import Fault, Wishes
from service.generator.classes import ClassNames
from service.generator.file import graph

MOST_CLASSES = 2**16
"""Whose names are compared, and whose pictures looked at, while somebody waits."""


def with_classes(
    foreign: Foreign, feeds: Feeds, wishes: Wishes
) -> tuple[Feeds, list[str] | None, list[Fault]]:
    """The names of the classes: those given, or numbers; None if there is no label."""
    label, given = feeds.label, wishes.classes
    if label is None:
        if given is None:
            return feeds, None, []
        return feeds, None, [Fault("There are names of classes, and no input takes a class.", "--label NAME")]
    rows = label.rows if label.one_hot else graph.label_rows(foreign.model, label.input.name)
    if given is None and rows is None:
        what = f"How many classes input '{label.input.name}' takes can't be seen."
        mend = "--classes names.txt (a name per line), or --classes 10"
        if wishes.label is None:
            mend += f"; {constant_of(label.input)}, if it is no class"
        return feeds, None, [Fault(what, mend)]
    count = len(given) if isinstance(given, list) else given or rows or 0
    if count > MOST_CLASSES:
        what = f"There are {count:,} classes; {MOST_CLASSES:,} are taken."
        return feeds, None, [Fault(what, f"--classes with up to {MOST_CLASSES:,}")]
    ids, dtype = np.arange(count), label.input.dtype
    with np.errstate(over="ignore"):
        if not label.one_hot and len(lost := np.flatnonzero(ids.astype(dtype) != ids)):
            what = f"Input {label.input} can't hold {count:,} classes: class {lost[0]} is {ids.astype(dtype)[lost[0]]:g} there."
            return feeds, None, [Fault(what, f"--classes {lost[0]}, or export it again with labels of int64")]
    names = given if isinstance(given, list) else [str(i) for i in ids]
    faults = [Fault(text, "--classes FILE, with other names") for text in ClassNames(tuple(names)).faults]
    if rows is not None and len(names) > rows:
        what = f"There are {len(names)} names of classes, and the graph has rows for {rows}."
        faults.append(Fault(what, f"--classes with {rows} names, or --classes {rows}"))
    elif rows is not None and len(names) < rows:
        foreign.notes.append(
            f"the graph has rows for {rows} classes, and {len(names)} of them will be served: `--classes {rows}` takes all"
        )
    rows = label.rows if label.one_hot else len(names)
    feeds = replace(feeds, label=replace(label, rows=rows, classes=len(names)))
    return feeds, names, faults


def looked_at(
    model: onnx.ModelProto,
    original: Original,
    output: Signature,
    raw: NDArray,
    classes: list[str],
    wishes: Wishes,
    notes: list[str],
) -> list[Fault]:
    """What is wrong with what the original draws: its levels, inputs that change nothing, its classes; what is only odd is a note.

    raw: what it gives for `original.inputs`.
    """
    picture, images = None, raw[finite(raw)]
    if len(images):
        picture = find_picture(model.graph, output, raw.shape[1:], images, wishes)
    levels = picture.levels if isinstance(picture, Picture) else None
    found, odd = (
        look(levels(images), images, picture.range) if isinstance(picture, Picture) and levels else ([], [])
    )
    notes += odd
    found = found or ignored(original, len(classes), levels or np.asarray)
    label = original.feeds.label
    if found or not classes or label is None:
        return found
    without, pairs = every_class(original, classes, raw, levels)
    if without or levels is None:
        return [without] if without else []
    # What is looked up, or has a place in a row, is told apart; and may have learnt the same.
    is_told = label.one_hot or graph.labels_stay_inside(model, len(classes), label.input.name)
    if pairs and not is_told:
        return [Fault(f"{alike(pairs, classes)}.", "--classes with as many names as the graph tells apart")]
    notes += [alike(pairs, classes)] if pairs else []
    wrong = None if is_told else outside(original, classes, levels)
    return [wrong] if wrong else []
