"""An encoder beside a generator: `generator.encoder`, an ONNX file that finds the z of a picture, or its class alone.

Input `image` uint8 [N, C, H, W]; outputs `z` float32 [N, z_dim] and, of a conditional generator, `logits` float32 [N, K]; N
free. A classifier gives `logits` and no z, of classes that it names itself: the generator may have others, or none.
`metadata_props["ganserve.encoder"]` holds one JSON document, `EncoderDocument`, which names the generator's version.
Training writes it, and the service judges what it did not write, so the format lives here.
"""

from math import isfinite
from pathlib import Path
from typing import Annotated, Any

import msgspec
import onnx
from msgspec import Meta, Struct

from service.errors import RETRAIN, ContractError
from service.generator.classes import ClassNames
from service.generator.contract import MOST_Z, SCHEMA_OF_ROLES, Contract
from service.generator.document import ImageShape
from service.generator.file import graph
from service.generator.file.apart import taken_apart, was_taken
from service.generator.file.graph import Signature, signature

METADATA_KEY = "ganserve.encoder"
SCHEMA = 1
MOST_GOLDEN = 64


class GoldenCode(Struct, frozen=True, omit_defaults=True):
    """What the PyTorch network gives for the generator's own image of (seed, label): z_dim numbers, or a classifier's K logits.

    label: None of an unconditional generator.
    """

    seed: Annotated[int, Meta(ge=0, le=2**53 - 1)]
    z: list[float] = []
    label: Annotated[int, Meta(ge=0)] | None = None
    logits: list[float] = []


class EncoderDocument(Struct, frozen=True, omit_defaults=True):
    """What an encoder file says of itself.

    generator: the version of the generator that it is of, as contract.version has it. z_dim: None of a classifier, which finds
    no z. classes: K; None of an unconditional generator's encoder. class_names: a classifier's own, K of them; an encoder's
    classes are its generator's. training: how it was made; quality: what was measured of it. For people.
    """

    schema: int
    generator: Annotated[str, Meta(pattern="^[0-9a-f]{12}$")]
    z_dim: Annotated[int, Meta(ge=1, le=MOST_Z[SCHEMA_OF_ROLES])] | None
    classes: Annotated[int, Meta(ge=1)] | None
    image: ImageShape
    training: dict[str, Any] = {}
    quality: dict[str, Any] = {}
    golden: Annotated[list[GoldenCode], Meta(max_length=MOST_GOLDEN)] = []
    class_names: list[str] = []

    @property
    def outputs(self) -> dict[str, int]:
        """Numbers that it gives for a picture, by the output's name."""
        sizes = {"z": self.z_dim, "logits": self.classes}
        return {name: size for name, size in sizes.items() if size is not None}


def encoder_of(path: Path) -> Path:
    """Of a generator's file, whether it is there or not."""
    return path.with_suffix(".encoder")


def parse(file: bytes) -> EncoderDocument:
    """What an encoder file says of itself, checked against its graph.

    Raises ContractError: not ONNX, external data, custom operators, no or wrong metadata, inputs or outputs other than an
    encoder's, random numbers, layers left in training, NaN.
    """
    apart = taken_apart(file)
    try:
        model = apart.model()
    except Exception as error:  # protobuf raises its own, and others on hostile input
        raise ContractError(f"not an ONNX file: {error}", RETRAIN) from error
    if not model.HasField("graph"):
        raise ContractError("not an ONNX file: it holds no graph", RETRAIN)
    if foreign := graph.domains(model) - graph.PLAIN_DOMAINS:
        raise ContractError(f"custom operators are refused: {', '.join(sorted(foreign))}", RETRAIN)
    if any(not (was_taken(one) and one.name in apart.weights) for one in graph.outside(model)):
        raise ContractError("external data is refused: the weights must be inside the file", RETRAIN)
    document = _metadata(model)
    _check_graph(model.graph, document)
    for fault in graph.faults(model, apart.weights):
        raise ContractError(fault.text, RETRAIN)
    return document


def write(model: onnx.ModelProto, document: EncoderDocument) -> bytes:
    """The ONNX file of `model` with `document` as its metadata, parsed back before it is returned. Raises ContractError."""
    text = msgspec.json.encode(document).decode()
    onnx.helper.set_model_props(model, {METADATA_KEY: text})
    file = model.SerializeToString()
    parse(file)
    return file


def require_of(document: EncoderDocument, contract: Contract, version: str) -> None:
    """Raises ContractError where it is the encoder of another generator than this contract's, of this version."""
    if document.generator != version:
        mend = "`python -m training encode --figures` binds it where both draw the same pictures; else train it anew"
        raise ContractError(f"it is of generator {document.generator}, and this is {version}", mend)
    classes = None if contract.classes is None else contract.class_count
    said = (document.z_dim, document.classes, document.image)
    # A classifier's classes are its own.
    of = said[:2] if document.z_dim is None else (contract.z_dim, classes)
    if said != (want := (*of, contract.image)):
        raise ContractError(f"z_dim, classes and image are {said}, and the generator's {want}", RETRAIN)
    for code in document.golden:
        if (code.label is None) != (classes is None) or (code.label or 0) >= (classes or 1):
            raise ContractError(
                f"golden sample of seed {code.seed}: label {code.label} is not a class", RETRAIN
            )


def _metadata(model: onnx.ModelProto) -> EncoderDocument:
    text = next((prop.value for prop in model.metadata_props if prop.key == METADATA_KEY), None)
    if text is None:
        raise ContractError(f"no metadata under the key '{METADATA_KEY}'", RETRAIN)
    try:
        document = msgspec.json.decode(text, type=EncoderDocument)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise ContractError(f"metadata '{METADATA_KEY}': {error}", RETRAIN) from error
    if document.schema != SCHEMA:
        raise ContractError(f"metadata schema {document.schema}: this version reads {SCHEMA}", RETRAIN)
    if document.z_dim is None:
        _check_names(document)
    elif document.class_names:
        raise ContractError("it names classes, and finds a z: its classes are the generator's", RETRAIN)
    what, *_ = document.outputs
    for code in document.golden:
        numbers, size = getattr(code, what), document.outputs[what]
        if len(numbers) != size or not all(map(isfinite, numbers)):
            raise ContractError(f"golden {what} of seed {code.seed}: not {size} finite numbers", RETRAIN)
    return document


def _check_names(document: EncoderDocument) -> None:
    names = document.class_names
    if not document.classes or len(names) != document.classes:
        raise ContractError(f"it finds no z, and names {len(names)} of {document.classes} classes", RETRAIN)
    if refusal := ClassNames(tuple(names)).refusal():
        raise ContractError(f"class names: {refusal}", RETRAIN)


def _check_graph(graph: onnx.GraphProto, document: EncoderDocument) -> None:
    initializers = {tensor.name for tensor in graph.initializer}
    shape = document.image
    want_inputs: list[Signature] = [("image", "UINT8", (None, shape.channels, shape.height, shape.width))]
    want_outputs: list[Signature] = [(name, "FLOAT", (None, size)) for name, size in document.outputs.items()]
    inputs = [signature(value) for value in graph.input if value.name not in initializers]
    for kind, got, want in (
        ("inputs", inputs, want_inputs),
        ("outputs", [signature(value) for value in graph.output], want_outputs),
    ):
        if got != want:
            raise ContractError(
                f"{kind} are {got}, those of an encoder are {want} (None is the free batch axis)", RETRAIN
            )
