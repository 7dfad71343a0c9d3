"""A foreign file -> a graph of plain operators, in an opset that the service reads, and its weights.

Weights stay out of protobuf, which has no message of 2 GiB: of the graph, they are only the names.
"""

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import external_data_helper, inliner, numpy_helper, version_converter

from ganserve.importing import other_files
from ganserve.importing.surgery.nodes import graphs_of
from ganserve.importing.surgery.wishes import Fault, Refused
from service.generator.contract import IR_VERSION, OPSET
from service.generator.file.apart import take_out, taken_apart, was_taken
from service.generator.file.graph import parts as graph_parts
from service.generator.file.reading import contents, is_pointer

_PLAIN = {"", "ai.onnx"}
_COPY = "Copy the files again from where they come from: all into one folder, as files and not as links."
_SHOWN, _SHOWN_LETTERS = 5, 200


@dataclass
class Foreign:
    """model: as it was written. weights: those that were taken out of it, wherever they lay. notes: what was done, for the card."""

    model: onnx.ModelProto
    weights: dict[str, NDArray]
    notes: list[str] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)

    @property
    def opset(self) -> int:
        return next((one.version for one in self.model.opset_import if one.domain in _PLAIN), 0)


def read(path: Path) -> Foreign:
    """Functions are inlined.

    Raises Refused where it is no ONNX file at all; all else is among `faults`.
    """
    if other := other_files.by_name(path):
        raise Refused([other])
    file = b""
    try:
        file = contents(path)
        apart = taken_apart(file)
        model = apart.model()
    except OSError as error:
        raise Refused([Fault(f"{path} can't be read: {error.strerror}.", "Is it the right path?")]) from error
    except Exception as error:  # protobuf raises its own DecodeError, and others on hostile input
        raise Refused([other_files.by_content(path, file, error)]) from error
    if not model.graph.output:
        what = f"{path.name} is {'an ONNX file whose graph gives nothing' if file else 'empty'}."
        raise Refused([Fault(what, "Give a .onnx file that draws images.")])
    _open_axes(model)
    foreign = Foreign(model, apart.weights)
    if not 0 < foreign.opset <= onnx.defs.onnx_opset_version():
        says = f"of opset {foreign.opset}, newer than is read here" if foreign.opset else "of no opset"
        raise Refused([Fault(f"{path.name} is {says}.", f"Export again with opset_version={OPSET}.")])
    _read_outside(foreign, path)
    _keep_plain_operators(foreign)
    _widen(foreign)
    _name_nodes_once(foreign.model)
    return foreign


def converted(foreign: Foreign) -> onnx.ModelProto:
    """Of OPSET or later. Raises Refused."""
    model = onnx.ModelProto()
    model.CopyFrom(foreign.model)
    if foreign.opset < OPSET:
        try:
            model = version_converter.convert_version(model, OPSET)
        except Exception as error:  # the converter raises RuntimeError and its own ConvertError
            what = f"Opset {foreign.opset} can't be converted to {OPSET}: {str(error).splitlines()[0]}."
            raise Refused([Fault(what, f"Export again with opset_version={OPSET}.")]) from error
        foreign.notes.append(f"opset {foreign.opset} was converted to {OPSET}")
    model.ir_version = IR_VERSION
    return model


def _open_axes(model: onnx.ModelProto) -> None:
    """A batch of none, and sides below 0, are how some exporters write what is open; ONNX Runtime takes them at their word."""
    for value in (*model.graph.input, *model.graph.output):
        for place, axis in enumerate(value.type.tensor_type.shape.dim):
            if axis.HasField("dim_value") and axis.dim_value < (place == 0):
                axis.dim_param = f"open_{place}" if place else "N"


def _read_outside(foreign: Foreign, path: Path) -> None:
    """The weights that lie in other files."""
    model, weights = foreign.model, foreign.weights
    outside = [
        one
        for one in _tensors(model)
        if one.data_location == onnx.TensorProto.EXTERNAL and not (was_taken(one) and one.name in weights)
    ]
    if not outside:
        return
    places = [{entry.key: entry.value for entry in tensor.external_data} for tensor in outside]
    files = {path.parent / place.get("location", "") for place in places}
    if pointers := sorted(file.name for file in files if file.is_file() and _is_pointer(file)):
        what = f"The weights lie in other files, and {', '.join(pointers)} is a pointer of Git LFS."
        foreign.faults.append(Fault(what, "`git lfs pull`, in its clone, gets it."))
        return
    if missing := sorted(str(file)[:_SHOWN_LETTERS] for file in files if not file.is_file()):
        more = f" and {len(missing) - _SHOWN} more" if len(missing) > _SHOWN else ""
        what = f"The weights lie in other files, and {', '.join(missing[:_SHOWN])}{more} is not there."
        foreign.faults.append(Fault(what, f"Put what the exporter wrote beside {path.name} there too."))
        return
    sizes = {file: file.stat().st_size for file in files}
    held, taken = sum(sizes.values()), 0
    for place in places:
        length = place.get("length", str(sizes[path.parent / place["location"]]))
        taken += int(length) if length.isdecimal() else 0
    # Else a small file could be read until memory is full.
    if taken > held:
        what = f"The weights take {taken:,} bytes, and the files that they lie in have {held:,}: they overlap, or are cut short."
        foreign.faults.append(Fault(what, _COPY))
        return
    initializers = {id(one) for one in model.graph.initializer}
    size = 0
    try:
        for tensor in outside:
            external_data_helper.load_external_data_for_tensor(tensor, str(path.parent))
            tensor.ClearField("data_location")
            tensor.ClearField("external_data")
            size += len(tensor.raw_data)
            if id(tensor) in initializers:
                take_out(tensor, memoryview(tensor.raw_data), weights)
    except Exception as error:  # of a path that leads out of the folder, a short file, and more
        foreign.faults.append(
            Fault(f"The weights can't be read: {str(error) or type(error).__name__}.", _COPY)
        )
        return
    foreign.notes.append(f"weights of {size / 2**20:.2f} MiB lay beside the file")


def _is_pointer(file: Path) -> bool:
    with file.open("rb") as opened:
        return is_pointer(opened.read(64))


def _tensors(model: onnx.ModelProto) -> list[onnx.TensorProto]:
    # ONNX's own walk knows attributes, branches and functions.
    return list(external_data_helper._get_all_tensors(model))


def _keep_plain_operators(foreign: Foreign) -> None:
    if foreign.model.functions:
        foreign.model = inliner.inline_local_functions(foreign.model)
        foreign.notes.append("functions were inlined")
    model = foreign.model
    used: dict[str, set[str]] = {}
    for node in _nodes(model.graph):
        used.setdefault(node.domain, set()).add(node.op_type)
    if odd := {domain: names for domain, names in used.items() if domain not in _PLAIN}:
        shown = ", ".join(
            f"{domain}.{name}" for domain, names in sorted(odd.items()) for name in sorted(names)
        )
        mend = "Export again with plain ONNX operators only; if ONNX Runtime optimised the file, take the one before."
        foreign.faults.append(Fault(f"Custom operators: {shown}.", mend))
    # Exporters import domains that they then do not use.
    kept = [one for one in model.opset_import if one.domain in used or one.domain in _PLAIN]
    del model.opset_import[:]
    model.opset_import.extend(kept)


def _widen(foreign: Foreign) -> None:
    """bfloat16, of which NumPy knows nothing and ONNX Runtime has few operators on CPU, becomes float32, which holds each of its numbers."""
    wide, narrow = onnx.TensorProto.FLOAT, onnx.TensorProto.BFLOAT16
    changed = False
    for tensor in graph_parts(foreign.model, onnx.TensorProto):
        if tensor.data_type == narrow and tensor.data_location != onnx.TensorProto.EXTERNAL:
            name, values = tensor.name, numpy_helper.to_array(tensor).astype(np.float32)
            tensor.CopyFrom(numpy_helper.from_array(values, name))
            changed = True
    for kind in graph_parts(foreign.model, onnx.TypeProto.Tensor):
        if kind.elem_type == narrow:
            kind.elem_type, changed = wide, True
    for attribute in graph_parts(foreign.model, onnx.AttributeProto):
        if attribute.name in ("to", "dtype") and attribute.i == narrow:
            attribute.i, changed = wide, True
    if changed:
        foreign.notes.append("what was bfloat16 is computed in float32")


def _name_nodes_once(model: onnx.ModelProto) -> None:
    """Names of nodes are for people, and ONNX Runtime refuses one that is there twice."""
    for one in graphs_of(model.graph):
        counts = Counter(node.name for node in one.node)
        for node in one.node:
            if counts[node.name] > 1:
                node.name = ""


def _nodes(graph: onnx.GraphProto) -> list[onnx.NodeProto]:
    return [node for one in graphs_of(graph) for node in one.node]
