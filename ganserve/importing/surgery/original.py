"""A foreign graph as it is, by ONNX Runtime: what the adapted one is compared with."""

from collections.abc import Mapping

import numpy as np
import onnx
import onnxruntime as ort
from numpy.typing import NDArray

from ganserve.importing.surgery.feeds import Feeds
from ganserve.importing.surgery.wishes import Fault, Refused
from service.generator.file.session import session_of

DEPENDS = Fault(
    "An image depends on the others of its batch.", "Export again after model.eval(), or with training=False."
)
_SIZES = (1, 2, 4, 8, 16, 32, 64)
_TRIED = 3
_AGAIN = "Export it again: in float32, by another exporter, or in another opset."


class Original:
    """Draws any number of images, in passes of the size that the graph takes.

    batch: the images of a pass; None where it is free.
    """

    def __init__(
        self, model: onnx.ModelProto, weights: Mapping[str, NDArray], feeds: Feeds, outputs: list[str]
    ) -> None:
        """weights: those that were taken out of the model. outputs: names, also of tensors within the graph; the first holds the images.

        Raises Refused: ONNX Runtime can't run it, or an image depends on the others of its batch.
        """
        self.feeds = feeds
        self._outputs = outputs
        self._session = _session(model, weights, outputs)
        declared = feeds.noises[0].input.dims
        self.batch = declared[0] if declared else None
        if feeds.shares:
            # Images of their own choice, one by one.
            if self.batch not in (None, 1):
                shared = next(one.input.name for one in feeds.scalars if one.shape is None)
                what = f"All {self.batch} images of a pass share input '{shared}', and requests could not choose it."
                raise Refused([Fault(what, f"--constant {shared}=VALUE, or export a batch of 1")])
            self.batch = 1
        if self.batch is None:
            self.batch = self._find_batch()

    def all(self, z: NDArray[np.float32], label: NDArray[np.int64] | None) -> list[NDArray]:
        """z: float32 [N, z_dim]; label: int64 [N]. Returns every output, [N, ...]."""
        if self.batch is None:
            return self._run(z, label)
        count, parts = len(z), []
        for start in range(0, count, self.batch):
            # A last pass that is not full begins again.
            rows = np.arange(start, start + self.batch) % count
            parts.append(self._run(z[rows], None if label is None else label[rows]))
        return [np.concatenate(part)[:count] for part in zip(*parts, strict=True)]

    def raw(self, z: NDArray[np.float32], label: NDArray[np.int64] | None) -> NDArray:
        return self.all(z, label)[0]

    def inputs(self, count: int) -> tuple[NDArray[np.float32], NDArray[np.int64] | None]:
        """The first seeds, and classes in turn."""
        label = None
        if self.feeds.label is not None:
            label = np.arange(count, dtype=np.int64) % (self.feeds.label.rows or 1)
        return self.feeds.rows(range(count)), label

    def _run(self, z: NDArray[np.float32], label: NDArray[np.int64] | None) -> list[NDArray]:
        given = [np.asarray(one) for one in self._session.run(self._outputs, self.feeds.arrays(z, label))]
        if self.batch is not None and (given[0].ndim < 2 or len(given[0]) != len(z)):
            raise Refused([_without_batch(given[0].shape, len(z))])
        return given

    def _find_batch(self) -> int | None:
        """None, if any will do. What an exporter says of it need not be true."""
        z, label = self.inputs(_TRIED)

        def images(rows: slice) -> NDArray:
            return self._run(z[rows], None if label is None else label[rows])[0].astype(np.float64)

        try:
            together = images(slice(0, _TRIED))
            singly = [images(slice(i, i + 1)) for i in range(_TRIED)]
            alone = np.concatenate(singly)
        except Exception as error:  # onnxruntime raises a dozen classes of its own
            return self._fixed_batch(error)
        one = singly[0].shape
        if len(one) == together.ndim and one[:1] == together.shape[:1] and one != together.shape:
            raise Refused([_without_batch(together.shape, _TRIED)])
        if together.shape != alone.shape:
            return self._fixed_batch(ValueError(f"{_TRIED} images come as {list(together.shape)}"))
        largest = np.abs(alone[np.isfinite(alone)]).max(initial=0)
        if not np.allclose(together, alone, rtol=1e-3, atol=1e-3 * largest, equal_nan=True):
            raise Refused([DEPENDS])
        return None

    def _fixed_batch(self, error: Exception) -> int:
        for size in _SIZES:
            z, label = self.inputs(size)
            try:
                if len(self._run(z, label)[0]) == size:
                    return size
            except Exception as last:
                error = last
        raise Refused(
            [Fault(f"ONNX Runtime can't run it: {error}", "--z, --label and --constant: are they right?")]
        )


def _without_batch(shape: tuple[int, ...], count: int) -> Fault:
    what = f"{count} image{'s' if count > 1 else ''} come{'' if count > 1 else 's'} as {list(shape)}: the first axis is not the batch."
    return Fault(what, "Export it again with images of [N, C, H, W] or [N, H, W, C]")


def _session(
    model: onnx.ModelProto, weights: Mapping[str, NDArray], outputs: list[str]
) -> ort.InferenceSession:
    own = {one.name for one in model.graph.output}
    if not own.issuperset(outputs):
        copy = onnx.ModelProto()
        copy.CopyFrom(model)
        copy.graph.output.extend(onnx.ValueInfoProto(name=name) for name in outputs if name not in own)
        model = copy
    options = ort.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = 1
    # What it makes of it is compared with what it makes of the adapted graph: neither is to be rewritten far.
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_BASIC
    try:
        return session_of(model.SerializeToString(), weights, options, ["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime raises a dozen classes of its own
        raise Refused([Fault(f"ONNX Runtime can't load it: {error}", _AGAIN)]) from error
