"""What is black and what is white in what a graph gives, and whether the pictures that come of it may be right."""

import numpy as np
import onnx
from numpy.typing import NDArray

from ganserve.importing.surgery.nodes import Signature, constants_of
from ganserve.importing.surgery.wishes import Fault, Wishes

RANGES = ("-1..1", "0..1", "0..255", "0..65535", "-128..127")
"""Those that the last operator may say."""
_WHITES = (255, 1023, 4095, 65535)
_BY_OP = {"Tanh": "-1..1", "Sigmoid": "0..1", "HardSigmoid": "0..1"}
_KEEPS_VALUES = {
    "Identity",
    "Transpose",
    "Reshape",
    "Flatten",
    "Squeeze",
    "Unsqueeze",
    "Cast",
    "DepthToSpace",
}
_FEWEST_LEVELS = 16
_DARK, _LIGHT = 64, 191


def ends(range_: str) -> tuple[float, float]:
    """Black and white of LOW..HIGH."""
    low, _, high = range_.partition("..")
    return float(low), float(high)


def find_range(graph: onnx.GraphProto, output: Signature, raw: NDArray | None, wishes: Wishes) -> str | Fault:
    if wishes.range is not None:
        return wishes.range
    if output.dtype == np.bool_:
        return "0..1"
    is_whole = np.issubdtype(output.dtype, np.integer)
    if not is_whole and (known := _range_by_graph(graph, output.name)):
        return known
    if raw is None:
        mend = "--range -1..1 (or 0..1, 0..255: LOW..HIGH)"
        is_open = output.dtype != np.uint8
        return Fault(f"The range of output '{output.name}' can't be seen.", mend) if is_open else "0..255"
    low, high = float(raw.min()), float(raw.max())
    if found := _whole_range(output.dtype, low, high) if is_whole else _real_range(low, high):
        return found
    return Fault(
        f"Output '{output.name}', {output.dtype}, has values from {low:.3g} to {high:.3g}: what is black, and what is white?",
        "--range 0..255 (or 0..1, 0..1023, 0..4095, 0..65535, -128..127: LOW..HIGH)"
        if is_whole
        else "--range -1..1 (or 0..1, 0..255: LOW..HIGH)",
    )


def _whole_range(dtype: np.dtype, low: float, high: float) -> str | None:
    """None: what was drawn fills none of those that pictures have, as where 0 and 1 are all."""
    if dtype == np.int8 and low <= -96 and high >= 95:
        return "-128..127"
    return next((f"0..{white}" for white in _WHITES if low >= 0 and 0.75 * white <= high <= white), None)


def _real_range(low: float, high: float) -> str | None:
    """None: what was drawn does not end where a range does, as half a Tanh, or what was normalised for a classifier."""
    if -1.5 <= low <= -0.9 and 0.9 <= high <= 1.5:
        return "-1..1"
    if -0.001 <= low <= 0.1 and 0.9 <= high <= 1.001:
        return "0..1"
    return "0..255" if -64 < low <= 64 and 200 <= high < 320 else None


def _range_by_graph(graph: onnx.GraphProto, name: str) -> str | None:
    """By the last operator that bounds the values."""
    maker = {output: node for node in graph.node for output in node.output}
    while (node := maker.get(name)) is not None and node.op_type in _KEEPS_VALUES:
        name = node.input[0]
    if node is None:
        return None
    if node.op_type == "Clip":
        held = constants_of(graph)
        bounds = tuple(float(held[one]) for one in node.input[1:] if one in held and held[one].size == 1)
        return next((known for known in RANGES if ends(known) == bounds), None)
    return _BY_OP.get(node.op_type)


def look(levels: NDArray[np.uint8], raw: NDArray, range_: str) -> tuple[list[Fault], list[str]]:
    """What is wrong with some pictures, and what is only odd.

    levels: uint8 [N, C, H, W]. raw: as the graph gives them, finite.
    """
    low, high = float(raw.min()), float(raw.max())
    if low == high:  # of one colour, which is said of z
        return [], []
    # Alpha is no colour.
    levels = levels[:, :3]
    darkest, brightest = int(levels.min()), int(levels.max())
    black, white = ends(range_)
    beyond = np.abs(raw.astype(np.float64) - (black + white) / 2) > 0.52 * (white - black)
    cut, most = float(beyond.mean()), np.bincount(levels.ravel()).max() / levels.size
    taken = f"values from {low:.3g} to {high:.3g}, taken as {range_.replace('..', ' to ')}"
    mend = "--range LOW..HIGH: what is black, and what is white; else another checkpoint"
    if brightest - darkest < _FEWEST_LEVELS:
        what = (
            f"Every pixel has a level of {darkest} to {brightest}, out of 0 to 255: the graph gives {taken}."
        )
        return [Fault(what, mend)], []
    if cut > 1 / 3:
        return [Fault(f"{cut:.0%} of the pixels lie beyond black and white: {taken}.", mend)], []
    notes = []
    if cut > 0.01:
        notes.append(f"{cut:.0%} of the pixels lie beyond black and white, and are cut: {taken}")
    if brightest < _LIGHT or darkest > _DARK:
        notes.append(f"pixels have levels of {darkest} to {brightest} only: {taken}; was it another --range?")
    if most > 0.99:
        notes.append(f"{most:.1%} of the pixels have one level: {taken}; was it another --range?")
    return [], notes
