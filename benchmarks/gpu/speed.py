"""Images per second of a pass as the engine makes it: copies in, the graph, copies out; by model, precision and batch."""

from collections.abc import Callable, Sequence
from typing import Any

import onnx
import onnxruntime as ort

from benchmarks.gpu import networks, sessions
from benchmarks.gpu.part import Part
from service.generator.contract import parse
from service.generator.engines.cuda import BoundPasses
from service.generator.engines.lone import inputs

EVERY = tuple(2**power for power in range(11))
SOME = EVERY[::2]
FEW = (1, 64, 1024)
_SHARES = {EVERY: 3, SOME: 5, FEW: 1}
_SECONDS = 0.2
_MAKING_SECONDS = 8.0
"""A hundred million weights drawn, written and loaded."""
_ENERGY_SECONDS = 1.5


def run(part: Part, sizes: Sequence[tuple[float, int]] = networks.SIZES) -> None:
    """sizes: of the generators that are made here, million parameters and pixels."""
    files: dict[str, tuple[Callable[[], bytes], tuple[int, ...]]] = {}
    seen: dict[Any, str] = {}
    for name, file in sessions.shipped().items():
        first = seen.setdefault(_shape(file), name)
        if first == name:
            files[name] = (lambda file=file: file), EVERY if name == sessions.SHIPPED else FEW
        else:
            part.leave_out(f"{name}: the same operations as {first}")
    for size in sizes:
        files[networks.name(*size)] = (lambda size=size: networks.make(*size)), SOME
    shares = [_SHARES[batches] for _, batches in files.values()]
    for place, (name, (make, batches)) in enumerate(files.items()):
        # What one does not need is the later ones'.
        keep = part.left() * (1 - shares[place] / sum(shares[place:]))
        if part.has_time(name, 1 if batches != SOME else _MAKING_SECONDS):
            _model(part, name, make(), batches, keep)


def _shape(file: bytes) -> Any:
    """Equal for files whose passes take as long: their operations, and how many weights each has."""
    graph = onnx.load_model_from_string(file).graph
    return tuple(node.op_type for node in graph.node), tuple(tuple(one.dims) for one in graph.initializer)


def _model(part: Part, name: str, file: bytes, batches: tuple[int, ...], keep: float) -> None:
    contract = parse(file)
    for place, precision in enumerate(part.precisions):
        what = f"{name} in {precision}"
        mine = (part.left() - keep) / (len(part.precisions) - place)
        if mine < 2 * _SECONDS:
            part.leave_out(f"{what}: no time left")
            continue
        later = part.left() - mine
        try:
            session = sessions.session(part, file, precision)
        except Exception as error:  # EngineUnavailable, or what ONNX Runtime raises
            part.check(what, False, f"no session: {error}")
            continue

        def make(batch: int, session: ort.InferenceSession = session) -> Callable[[], object]:
            passes = BoundPasses(session, contract, (batch,), part.device)
            given = inputs(contract, 0, batch)
            return lambda: passes(*given)

        found = sessions.sweep(part, what, make, batches, _SECONDS, later)
        if found and part.card and batches != FEW and part.left() - later > 2 * _ENERGY_SECONDS:
            best = max(found, key=found.__getitem__)
            figures = sessions.rate(make(best), best, _ENERGY_SECONDS, part.card)
            part.row(f"{what}, its best batch for longer", batch=best, **figures)
