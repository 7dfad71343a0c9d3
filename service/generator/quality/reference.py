"""What a model's images are held to: `generator.watch` beside it, an ONNX file of a judge, with what it saw in real images.

Input `image` uint8 [N, C, H, W]; outputs `features` float32 [N, F] and `logits` float32 [N, K]; N free.
`metadata_props["ganserve-watch"]` holds one JSON document, `Reference`.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import msgspec
import numpy as np
import onnx
import onnxruntime as ort
from msgspec import Meta, Struct
from numpy.typing import NDArray

from service.errors import ContractError
from service.generator.contract import Contract
from service.generator.quality.statistics import (
    Gaussian,
    Seen,
    figures,
    gaussian,
    in_class_distances,
    limit,
)

METADATA_KEY = "ganserve-watch"
_AGAIN = "write it anew, by `python -m training export --watch`, or take it away"
SCHEMA = 1
_BATCH = 64

Labelled = tuple[NDArray[np.uint8], NDArray[np.int64] | None]
"""Images, uint8 [N, C, H, W], and what they should be, int64 [N]."""


class Figure(Struct, frozen=True):
    """floor: what real images reach in the generated ones' place. limit: what the model was never worse than."""

    floor: float
    limit: float


class Reference(Struct, frozen=True):
    """images: how many the figures are of, as a distance depends on it. mean, covariance: float32, of real features.

    apart: how far real images of a class are from each other, by label; None where there are not two.
    """

    schema: int
    images: Annotated[int, Meta(ge=20, le=100_000)]
    mean: bytes
    covariance: bytes
    apart: list[float | None]
    figures: dict[str, Figure]

    @property
    def real(self) -> Gaussian:
        mean = np.frombuffer(self.mean, "<f4").astype(np.float64)
        return Gaussian(
            mean, np.frombuffer(self.covariance, "<f4").astype(np.float64).reshape(len(mean), len(mean))
        )

    @property
    def unit(self) -> dict[int, float]:
        return {label: apart for label, apart in enumerate(self.apart) if apart is not None}


class Judge:
    """On one thread, the caller's: whoever asks is counted for it."""

    def __init__(self, file: bytes) -> None:
        """Raises what ONNX Runtime raises on a file that it can't run."""
        options = ort.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 3
        self._session = ort.InferenceSession(file, options, providers=["CPUExecutionProvider"])

    def signature(self) -> list[tuple[str, str, list[int]]]:
        """Name, type and all sides but the first."""
        values = (*self._session.get_inputs(), *self._session.get_outputs())
        return [(value.name, value.type, list(value.shape[1:])) for value in values]

    def __call__(self, images: NDArray[np.uint8], labels: NDArray[np.int64] | None) -> Seen:
        parts = [
            self._session.run(["features", "logits"], {"image": images[i : i + _BATCH]})
            for i in range(0, len(images), _BATCH)
        ]
        features, logits = (np.concatenate([np.asarray(part[i]) for part in parts]) for i in (0, 1))
        return Seen(features, logits.argmax(axis=1), labels)


def watch_of(path: Path) -> Path:
    """Of a model file, whether it is there or not."""
    return path.with_suffix(".watch")


def read(file: bytes, contract: Contract) -> tuple[Judge, Reference]:
    """Raises ContractError: it is no judge of these images; and what ONNX Runtime raises."""
    try:
        model = onnx.load_model_from_string(file)
    except Exception as error:  # protobuf raises its own, and others on hostile input
        raise ContractError(f"not an ONNX file: {error}", _AGAIN) from error
    if any(tensor.external_data for tensor in model.graph.initializer):
        raise ContractError("external data is refused: the weights must be inside the file", _AGAIN)
    document = next((prop.value for prop in model.metadata_props if prop.key == METADATA_KEY), "")
    try:
        reference = msgspec.json.decode(document, type=Reference)
        size = len(reference.real.mean)
    except (msgspec.MsgspecError, ValueError) as error:
        raise ContractError(f"metadata '{METADATA_KEY}': {error}", _AGAIN) from error
    if reference.schema != SCHEMA:
        raise ContractError(f"schema {reference.schema}: this version reads {SCHEMA}", _AGAIN)
    judge, image = Judge(file), contract.image
    # Of one class, or none, it was taught to tell something else apart.
    classes = contract.class_count if contract.class_count > 1 else len(reference.apart)
    want = [
        ("image", "tensor(uint8)", [image.channels, image.height, image.width]),
        ("features", "tensor(float)", [size]),
        ("logits", "tensor(float)", [classes]),
    ]
    if (got := judge.signature()) != want:
        what = f"inputs and outputs are {got}, those of a judge of these images are {want}"
        raise ContractError(what, _AGAIN)
    return judge, reference


def write(
    judge: onnx.ModelProto, real: Labelled, others: Sequence[Labelled], drawn: Sequence[Labelled]
) -> bytes:
    """The file of `judge` with what it sees in real images, in others of them, and in the model's own.

    real: held out of the training of both. others: draws of real images, drawn: of generated ones, two or more; all of
    one size. Without labels where there is one class.
    """
    file = judge.SerializeToString()
    look = Judge(file)
    seen = look(*real)
    classes = look.signature()[-1][2][0]
    apart = {} if seen.labels is None else in_class_distances(seen.features, seen.labels)
    model, unit = gaussian(seen.features), apart
    floors, reached = ([figures(model, unit, look(*one)) for one in ones] for ones in (others, drawn))
    told = {
        name: Figure(
            float(np.mean([one[name] for one in floors])), limit(name, [one[name] for one in reached])
        )
        for name in reached[0]
    }
    reference = Reference(
        SCHEMA,
        len(drawn[0][0]),
        model.mean.astype("<f4").tobytes(),
        model.covariance.astype("<f4").tobytes(),
        [apart.get(label) for label in range(classes)],
        told,
    )
    onnx.helper.set_model_props(judge, {METADATA_KEY: msgspec.json.encode(reference).decode()})
    return judge.SerializeToString()
