"""The contract: one ONNX file that describes itself.

Schema 1: inputs `z` float32 [N, z_dim] and, in a conditional generator, `label` int64 [N]; output `image`
uint8 [N, C, H, W]; N free. Schema 2: inputs by role (inputs.py), a picture that is given (uint8 [N, C, H, W]) and a
text (int64 [N, tokens]) among them; outputs by role (outputs.py), z and logits beside the picture; C also 4 (RGBA), N free or
one number, weights in the file or beside it.
`metadata_props["ganserve"]` holds one JSON document, `Contract`.
The reader judges files that it did not write, so the schema lives here, and export imports it.
"""

import hashlib
import re
from collections.abc import Mapping, Sequence
from math import isfinite
from pathlib import Path

import msgspec
import onnx
from msgspec import Struct
from numpy.typing import NDArray

from service.errors import COPY, IMPORT, WRITE, ContractError
from service.generator.document import Contract
from service.generator.document import GoldenSample as GoldenSample
from service.generator.document import ImageShape as ImageShape
from service.generator.file import graph, inputs, outputs
from service.generator.file.apart import metadata_alone, put_together, taken_apart, was_taken
from service.generator.file.graph import Signature, signature
from service.generator.file.inputs import faults
from service.generator.file.outputs import Output

METADATA_KEY = "ganserve"
SCHEMA = 1
"""Of a file that has no need of the next."""
SCHEMA_OF_ROLES = 2
MOST_Z = {SCHEMA: 2**16, SCHEMA_OF_ROLES: 2**20}
# What onnxruntime 1.20 and OpenVINO 2025, the oldest supported, both read.
OPSET = 18
IR_VERSION = 10

_CARD_ROW = re.compile(r"^\| SHA-256 of generator\.onnx \|(.*)\|[ \t]*$", re.MULTILINE)


def version(file: bytes) -> str:
    """The model version that a file's bytes are: 12 hex digits of its SHA-256."""
    return hashlib.sha256(file).hexdigest()[:12]


def card_row(file: bytes) -> str:
    """The row of a model card's table that names the file."""
    return f"| SHA-256 of generator.onnx | `{hashlib.sha256(file).hexdigest()}` |"


def is_of_card(file: bytes, card: str) -> bool:
    """Whether the card names this very file; False if it names none. Raises ContractError if it names another."""
    stated = _CARD_ROW.findall(card)
    if any(row.strip(" `").lower() != hashlib.sha256(file).hexdigest() for row in stated):
        raise ContractError(
            f"the file is not that of its card: its SHA-256 is {hashlib.sha256(file).hexdigest()}, and the card's is "
            f"{stated[0].strip(' `')[:64]}",
            "copy file and README.md again, together",
        )
    return bool(stated)


def parse(file: bytes) -> Contract:
    """The contract of an ONNX file, checked against its graph.

    Raises ContractError: not ONNX, external data that it does not name, custom operators, no or wrong metadata, inputs
    or outputs other than the contract's, random numbers, layers left in training, NaN, a class without a row.
    """
    apart = taken_apart(file)
    try:
        model = apart.model()
    except Exception as error:  # protobuf raises its own DecodeError, and others on hostile input
        raise ContractError(f"not an ONNX file: {error}", COPY) from error
    if not model.HasField("graph"):
        raise ContractError("not an ONNX file: it holds no graph", COPY)
    outside = [one for one in graph.outside(model) if not (was_taken(one) and one.name in apart.weights)]
    if foreign := graph.domains(model) - graph.PLAIN_DOMAINS:
        raise ContractError(f"custom operators are refused: {', '.join(sorted(foreign))}", IMPORT)
    contract = _metadata(model)
    _check_graph(model.graph, contract)
    _check_outside(model.graph, outside, contract)
    for fault in graph.faults(model, apart.weights):
        raise ContractError(fault.text, IMPORT if fault.kind == "random" else graph.MENDS[fault.kind])
    if contract.classes is not None:
        graph.labels_stay_inside(model, contract.class_count, contract.label_name)
    if contract.text is not None:
        graph.labels_stay_inside(model, contract.text.reading.tokens, contract.text.name, "tokens")
    return contract


def files_beside(file: bytes) -> list[str]:
    """Names of the files beside it that hold its weights; of what is no contract's file none."""
    try:
        return [one.file for one in _metadata(taken_apart(file).model()).weights]
    except Exception:  # whoever loads it says what is wrong with it
        return []


class Gives(Struct):
    """What a contract says of its pictures, and of what comes with them."""

    image: ImageShape | None = None
    outputs: list[Output] | None = None

    @property
    def more(self) -> bool:
        """Whether there is more than the picture."""
        return bool(outputs.beside(self.outputs or []))

    @property
    def pixels(self) -> int:
        """Of one picture; 0 if that is not said."""
        return self.image.height * self.image.width if self.image else 0


def gives(path: Path) -> Gives:
    """What the file gives, by its metadata alone; of what is no contract's file nothing."""
    try:
        with path.open("rb") as file:
            model = metadata_alone(file)
        document = next(prop.value for prop in model.metadata_props if prop.key == METADATA_KEY)
        return msgspec.json.decode(document, type=Gives)
    except Exception:  # whoever loads it says what is wrong with it
        return Gives()


def write(model: onnx.ModelProto, contract: Contract, weights: Mapping[str, NDArray] | None = None) -> bytes:
    """The ONNX file of `model` with `contract` as its metadata, parsed back before it is returned.

    weights: those that were taken out of the model (file/apart.py).
    """
    document = msgspec.json.encode(contract).decode()
    onnx.helper.set_model_props(model, {METADATA_KEY: document})
    file = model.SerializeToString()
    if weights:
        file = put_together(file, weights)
    parse(file)
    return file


def _metadata(model: onnx.ModelProto) -> Contract:
    document = next((prop.value for prop in model.metadata_props if prop.key == METADATA_KEY), None)
    if document is None:
        raise ContractError(
            f"no metadata under the key '{METADATA_KEY}': a generator of another making", IMPORT
        )
    try:
        contract = msgspec.json.decode(document, type=Contract)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise ContractError(f"metadata '{METADATA_KEY}': {error}", WRITE) from error
    if contract.schema not in MOST_Z:
        what = f"metadata schema {contract.schema}: this version reads schema 1 and 2"
        raise ContractError(what, "serve it by the version of ganserve that wrote it, or a later one")
    if contract.z_dim > MOST_Z[contract.schema]:
        raise ContractError(
            f"z_dim is {contract.z_dim}: schema {contract.schema} has up to {MOST_Z[contract.schema]}", WRITE
        )
    if contract.schema == SCHEMA and (
        contract.inputs or contract.outputs or contract.batch or contract.weights
    ):
        raise ContractError("inputs, outputs, batch and weights are of schema 2", WRITE)
    count = None if contract.classes is None else contract.class_count
    image, named = contract.image, [one.name for one in contract.declared]
    wrong = faults(contract.declared, contract.z_dim, count)
    if wrong := wrong + outputs.faults(contract.given, (image.channels, image.height, image.width), named):
        raise ContractError(f"metadata '{METADATA_KEY}': {'; '.join(wrong)}", WRITE)
    if contract.image.channels == 2:
        raise ContractError("image.channels is 2: allowed are 1 (grey), 3 (RGB) and 4 (RGBA)", WRITE)
    if contract.schema == SCHEMA and contract.image.channels == 4:
        raise ContractError("image.channels is 4: RGBA is of schema 2", WRITE)
    classes = contract.classes
    if classes is not None:
        if not classes:
            raise ContractError("classes is empty", "use null for an unconditional generator")
        if refusal := contract.names.refusal():
            raise ContractError(f"names of classes: {refusal}", f"rename them, and {WRITE}")
    sizes = {one.name: one.size for one in contract.beside}
    for sample in contract.golden:
        for name, numbers in sample.beside.items():
            most = min(sizes.get(name, 0), outputs.GOLDEN_NUMBERS)
            if not 0 < len(numbers) <= most or not all(map(isfinite, numbers)):
                raise ContractError(
                    f"golden sample of seed {sample.seed}: '{name[:64]}' is no output, or not 1 to {most} finite numbers",
                    WRITE,
                )
        if sample.text and contract.text is None:
            raise ContractError(f"golden sample of seed {sample.seed}: there is no text", WRITE)
        if (sample.label is None) != (classes is None) or (sample.label or 0) >= max(1, contract.class_count):
            what = f"golden sample of seed {sample.seed}: label {sample.label} is not a class"
            raise ContractError(what, WRITE)
    return contract


def _check_graph(graph: onnx.GraphProto, contract: Contract) -> None:
    initializers = {tensor.name for tensor in graph.initializer}
    takes = [signature(value) for value in graph.input if value.name not in initializers]
    gives = [signature(value) for value in graph.output]
    batch = contract.batch
    want_takes: list[Signature] = [
        (one.name, inputs.ROLES[one.role].element, (batch, *one.shape)) for one in contract.declared
    ]
    want_gives: list[Signature] = [
        (one.name, outputs.ELEMENTS[one.role], (batch, *one.shape)) for one in contract.given
    ]
    for kind, got, want in (("inputs", takes, want_takes), ("outputs", gives, want_gives)):
        if got != want:
            raise ContractError(
                f"{kind} are {got}, the contract has {want} (None is the free batch axis)", IMPORT
            )


def _check_outside(graph: onnx.GraphProto, outside: Sequence[onnx.TensorProto], contract: Contract) -> None:
    """Raises ContractError: weights outside that are no initializers of the graph, or in a file that is not named."""
    if outside and not contract.weights:
        raise ContractError(
            "external data is refused: the weights must be inside the file, or its files be named", IMPORT
        )
    known, initializers = {one.file for one in contract.weights}, {one.name for one in graph.initializer}
    for tensor in outside:
        location = next((one.value for one in tensor.external_data if one.key == "location"), "")
        if location not in known or tensor.name not in initializers:
            raise ContractError(
                f"weights '{tensor.name[:64]}' lie in '{location[:64]}', which the contract does not name",
                WRITE,
            )
