"""A tiny generator that gives more than a picture: the style that it draws with, and what a classifier says of it."""

from collections.abc import Callable
from dataclasses import dataclass, field

import msgspec
import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto as T
from onnx import helper as h
from onnx import numpy_helper

from service.generator import contract
from service.generator.contract import Contract
from service.generator.engines.everything import golden_numbers
from service.generator.file.outputs import Output
from tests.generators import CLASSES, Tiny


@dataclass(frozen=True)
class Telling:
    """Tiny's pictures, in an output `picture`; `style` float32 [N, 4, 16], and `logits` [N, K or 1]."""

    tiny: Tiny = field(default_factory=Tiny)
    picture: str = "picture"

    @property
    def classes(self) -> int:
        return len(self.tiny.classes or (0,))

    def beside(self, z: NDArray[np.float32], label: NDArray[np.int64] | None) -> dict[str, NDArray]:
        """What the file gives beside the picture, in NumPy."""
        weights = self.tiny._weights()
        style = z @ weights["linear"] + (0 if label is None else weights["embedding"][label])
        return {"style": style.reshape(-1, 4, 16), "logits": style @ self._head()}

    def contract(self) -> Contract:
        said = self.tiny.contract()
        z = said.rows([one.seed for one in said.golden])
        label = None if said.classes is None else np.array([one.label for one in said.golden])
        told = self.beside(z, label) if said.golden else {}
        image = said.image
        return msgspec.structs.replace(
            said,
            schema=contract.SCHEMA_OF_ROLES,
            outputs=[
                Output("style", "z", [4, 16]),
                Output(self.picture, "image", [image.channels, image.height, image.width]),
                Output("logits", "logits", [self.classes], about="the classifier's"),
            ],
            golden=[
                msgspec.structs.replace(one, beside=golden_numbers(told, i))
                for i, one in enumerate(said.golden)
            ],
        )

    def file(self, change: Callable[[onnx.ModelProto], object] | None = None) -> bytes:
        model = self.tiny.model()
        graph = model.graph
        style = "projected" if self.tiny.classes is None else "conditioned"
        graph.initializer.append(numpy_helper.from_array(self._head(), "head"))
        graph.initializer.append(numpy_helper.from_array(np.array([-1, 4, 16]), "as_style"))
        graph.node.extend(
            [
                h.make_node("Identity", ["image"], [self.picture]) if self.picture != "image" else _nothing(),
                h.make_node("Reshape", [style, "as_style"], ["style"]),
                h.make_node("MatMul", [style, "head"], ["logits"]),
            ]
        )
        del graph.output[:]
        graph.output.extend(
            [
                h.make_tensor_value_info("style", T.FLOAT, ["N", 4, 16]),
                h.make_tensor_value_info(self.picture, T.UINT8, ["N", *self.tiny.image]),
                h.make_tensor_value_info("logits", T.FLOAT, ["N", self.classes]),
            ]
        )
        if change is not None:
            change(model)
        return contract.write(model, self.contract())

    def _head(self) -> NDArray[np.float32]:
        return np.random.default_rng(5).normal(size=(64, self.classes)).astype(np.float32)


def _nothing() -> onnx.NodeProto:
    return h.make_node("Identity", ["head"], ["unused"])


PLAIN = Telling(Tiny(classes=None), picture="image")
FULL = Telling(Tiny(classes=CLASSES))
