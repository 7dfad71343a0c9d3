"""ONNX Runtime's session of a file, whose weights never pass through protobuf."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
from numpy.typing import NDArray


def session_of(
    graph: bytes, weights: Mapping[str, NDArray], options: ort.SessionOptions, providers: Sequence[Any]
) -> ort.InferenceSession:
    """graph, weights: of a file that was taken apart. Raises what ONNX Runtime raises.

    While it reads weights from a file's bytes it keeps the interpreter's lock: 0.15 s of 135 MB. So it does not see them.
    """
    # What no node reads ONNX Runtime drops, and then misses it.
    read = _read(onnx.load_model_from_string(graph).graph) if weights else set()
    # Copied: in the file they need not lie where a processor can read them.
    held = {
        name: ort.OrtValue.ortvalue_from_numpy(np.array(one)) for name, one in weights.items() if name in read
    }
    if held:
        options.add_external_initializers(list(held), list(held.values()))
    session = ort.InferenceSession(graph, options, providers=list(providers))
    vars(session)["weights"] = held  # which it reads as long as it lives, and does not own
    return session


def _read(graph: onnx.GraphProto) -> set[str]:
    """Names that a node takes, in branches and loops too, or that are handed out as they are."""
    found = {one.name for one in graph.output}
    for node in graph.node:
        found.update(node.input)
        for attribute in node.attribute:
            for inner in [attribute.g] if attribute.HasField("g") else attribute.graphs:
                found |= _read(inner)
    return found
