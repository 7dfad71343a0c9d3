"""Tiny generators that are given a picture, made without torch, with a forward pass in NumPy beside them.

They invert it; larger ones also draw over it, by z and by the class.
"""

from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto as T
from onnx import helper as h
from onnx import numpy_helper

from service.generator import contract, golden
from service.generator.contract import Contract, ImageShape
from service.generator.file.inputs import Input


@dataclass(frozen=True)
class Inverter:
    """`photo` -> its negative, `grow` times as large.

    z_dim, classes: where there are some, z is drawn over it as strongly as the scalar `strength` says, and a class makes it
    lighter.
    """

    name: str = "inverter"
    shape: tuple[int, int, int] = (3, 8, 8)
    grow: int = 1
    z_dim: int = 0
    classes: tuple[str, ...] | None = None
    batch: int | None = None

    @property
    def inputs(self) -> list[Input]:
        z = [Input("noise", "z", [self.z_dim])] if self.z_dim else []
        label = [Input("y", "label")] if self.classes else []
        strength = [Input("strength", "scalar", low=0, high=2, default=1)] if self.z_dim else []
        return [*z, Input("photo", "image", list(self.shape)), *label, *strength]

    def translated(
        self,
        photo: NDArray[np.uint8],
        z: NDArray[np.float32] | None = None,
        label: NDArray[np.int64] | None = None,
        strength: float = 1.0,
    ) -> NDArray[np.uint8]:
        """What the file computes, in NumPy. photo: uint8 [N, C, H, W]."""
        levels = 255 - photo.astype(np.float32)
        if z is not None and self.z_dim:
            drawn = np.tanh(z * np.float32(strength) @ self._weights) * 20
            levels = levels + drawn.reshape(-1, 1, *self.shape[1:])
        if label is not None and self.classes:
            levels = levels + 8 * label.reshape(-1, 1, 1, 1).astype(np.float32)
        images = np.rint(levels.clip(0, 255)).astype(np.uint8)
        return images.repeat(self.grow, axis=2).repeat(self.grow, axis=3)

    def contract(self, **changed: Any) -> Contract:
        count = int(np.prod(self.shape))
        channels, height, width = self.shape
        said = Contract(
            *(contract.SCHEMA_OF_ROLES, self.name, self.z_dim + count),
            None if self.classes is None else list(self.classes),
            image=ImageShape(channels, self.grow * height, self.grow * width),
            inputs=self.inputs,
            batch=self.batch,
        )
        seeds = range(3)
        labels = None if self.classes is None else [seed % len(self.classes) for seed in seeds]

        def forward(rows: NDArray[np.float32], label: NDArray[np.int64] | None) -> NDArray[np.uint8]:
            return self.translated(said.sources(rows), rows[:, : self.z_dim], label)

        samples = golden.make(forward, said.z_dim, seeds, labels, said.rows(seeds))
        return msgspec.structs.replace(said, golden=samples, **changed)

    def model(self) -> onnx.ModelProto:
        axis = self.batch or "N"
        channels, height, width = self.shape
        tensors: dict[str, NDArray] = {
            "white": np.array(255, np.float32),
            "black": np.array(0, np.float32),
            "scales": np.array([1, 1, self.grow, self.grow], np.float32),
        }
        nodes = [
            h.make_node("Cast", ["photo"], ["levels"], to=T.FLOAT),
            h.make_node("Sub", ["white", "levels"], ["negative"]),
        ]
        last, given = "negative", [h.make_tensor_value_info("photo", T.UINT8, [axis, *self.shape])]
        if self.z_dim:
            given.insert(0, h.make_tensor_value_info("noise", T.FLOAT, [axis, self.z_dim]))
            tensors |= {
                "w": self._weights,
                "column": np.array([-1, 1]),
                "one_channel": np.array([-1, 1, height, width]),
                "twenty": np.array(20, np.float32),
            }
            nodes += [
                h.make_node("Reshape", ["strength", "column"], ["strengths"]),
                h.make_node("Mul", ["noise", "strengths"], ["strong"]),
                h.make_node("MatMul", ["strong", "w"], ["projected"]),
                h.make_node("Tanh", ["projected"], ["bounded"]),
                h.make_node("Mul", ["bounded", "twenty"], ["drawn"]),
                h.make_node("Reshape", ["drawn", "one_channel"], ["map"]),
                h.make_node("Add", [last, "map"], ["drawn_over"]),
            ]
            last = "drawn_over"
        if self.classes:
            given.append(h.make_tensor_value_info("y", T.INT64, [axis]))
            tensors |= {
                "lighter": 8 * np.arange(len(self.classes), dtype=np.float32),
                "pixel": np.array([-1, 1, 1, 1]),
            }
            nodes += [
                h.make_node("Gather", ["lighter", "y"], ["by_class"]),
                h.make_node("Reshape", ["by_class", "pixel"], ["shift"]),
                h.make_node("Add", [last, "shift"], ["lightened"]),
            ]
            last = "lightened"
        if self.z_dim:
            given.append(h.make_tensor_value_info("strength", T.FLOAT, [axis]))
        nodes += [
            h.make_node("Clip", [last, "black", "white"], ["clipped"]),
            h.make_node(
                "Resize",
                ["clipped", "", "scales"],
                ["grown"],
                mode="nearest",
                coordinate_transformation_mode="asymmetric",
                nearest_mode="floor",
            ),
            h.make_node("Round", ["grown"], ["whole"]),
            h.make_node("Cast", ["whole"], ["image"], to=T.UINT8),
        ]
        image = [axis, channels, self.grow * height, self.grow * width]
        graph = h.make_graph(
            nodes,
            "inverter",
            given,
            [h.make_tensor_value_info("image", T.UINT8, image)],
            [numpy_helper.from_array(value, name) for name, value in tensors.items()],
        )
        return h.make_model(
            graph, opset_imports=[h.make_opsetid("", contract.OPSET)], ir_version=contract.IR_VERSION
        )

    def file(self, **changed: Any) -> bytes:
        return contract.write(self.model(), self.contract(**changed))

    @property
    def _weights(self) -> NDArray[np.float32]:
        shape = self.z_dim, self.shape[1] * self.shape[2]
        return np.random.default_rng(0).normal(size=shape).astype(np.float32)


PLAIN = Inverter()
FULL = Inverter("full", (1, 8, 12), grow=2, z_dim=16, classes=("day", "dusk", "night"))


def photos(n: int, shape: tuple[int, int, int], seed: int = 0) -> NDArray[np.uint8]:
    """uint8 [n, *shape], of every level."""
    return np.random.default_rng(seed).integers(0, 256, (n, *shape), np.uint8)
