"""A tiny generator of schema 2, whose inputs have roles, with a forward pass in NumPy beside it."""

from dataclasses import dataclass, field
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

Z, SIDE = 16, 8


@dataclass(frozen=True)
class Styled:
    """z of one law, noise of a picture's shape, a class, and a strength between: as StyleGAN has them."""

    law: Any = "truncated"
    batch: int | None = None
    psi: Input = field(default_factory=lambda: Input("psi", "scalar", low=0, high=1, default=0.75))
    # Of 4096 bytes and more, so that they are taken out of the graph.
    weights: NDArray[np.float32] = field(
        default_factory=lambda: np.random.default_rng(0).normal(size=(Z, 3 * SIDE * SIDE)).astype(np.float32)
    )

    @property
    def inputs(self) -> list[Input]:
        return [
            Input("latent", "z", [Z], self.law),
            Input("y", "label"),
            self.psi,
            Input("z", "noise", [3, SIDE, SIDE]),
        ]

    def forward(self, rows: NDArray[np.float32], label: NDArray[np.int64] | None) -> NDArray[np.uint8]:
        """What the file computes, in NumPy; rows: z, noise, psi."""
        assert label is not None
        z, noise, psi = rows[:, :Z], rows[:, Z:-1], rows[:, -1:]
        x = (z * psi) @ np.nan_to_num(self.weights) + 0.2 * noise + label[:, None].astype(np.float32) / 4
        return np.rint(np.tanh(x) * 127.5 + 127.5).astype(np.uint8).reshape(-1, 3, SIDE, SIDE)

    def contract(self, **changed: Any) -> Contract:
        said = Contract(
            *(contract.SCHEMA_OF_ROLES, "styled", Z + 3 * SIDE * SIDE, ["a", "b", "c"]),
            image=ImageShape(3, SIDE, SIDE),
            inputs=self.inputs,
            batch=self.batch,
        )
        seeds = range(4)
        samples = golden.make(self.forward, said.z_dim, seeds, [0, 1, 2, 0], said.rows(seeds))
        return msgspec.structs.replace(said, golden=samples, **changed)

    def model(self) -> onnx.ModelProto:
        axis = self.batch or "N"
        tensors = {
            "w": self.weights,
            "flat": np.array([-1, 3 * SIDE * SIDE]),
            "one": np.array([-1, 1]),
            "image_shape": np.array([-1, 3, SIDE, SIDE]),
            "strength": np.array(0.2, np.float32),
            "quarter": np.array(0.25, np.float32),
            "half": np.array(127.5, np.float32),
        }
        nodes = [
            ("Reshape", ["psi", "one"], "psi_", {}),
            ("Mul", ["latent", "psi_"], "style", {}),
            ("MatMul", ["style", "w"], "x", {}),
            ("Reshape", ["z", "flat"], "noise", {}),
            ("Mul", ["noise", "strength"], "faint", {}),
            ("Add", ["x", "faint"], "noisy", {}),
            ("Cast", ["y"], "class", {"to": T.FLOAT}),
            ("Reshape", ["class", "one"], "class_", {}),
            ("Mul", ["class_", "quarter"], "shift", {}),
            ("Add", ["noisy", "shift"], "shifted", {}),
            ("Tanh", ["shifted"], "levels", {}),
            ("Mul", ["levels", "half"], "scaled", {}),
            ("Add", ["scaled", "half"], "pixels", {}),
            ("Round", ["pixels"], "rounded", {}),
            ("Reshape", ["rounded", "image_shape"], "shaped", {}),
            ("Cast", ["shaped"], "image", {"to": T.UINT8}),
        ]
        graph = h.make_graph(
            [h.make_node(op, given, [out], **rest) for op, given, out, rest in nodes],
            "styled",
            [
                h.make_tensor_value_info("latent", T.FLOAT, [axis, Z]),
                h.make_tensor_value_info("y", T.INT64, [axis]),
                h.make_tensor_value_info("psi", T.FLOAT, [axis]),
                h.make_tensor_value_info("z", T.FLOAT, [axis, 3, SIDE, SIDE]),
            ],
            [h.make_tensor_value_info("image", T.UINT8, [axis, 3, SIDE, SIDE])],
            [numpy_helper.from_array(value, name) for name, value in tensors.items()],
        )
        return h.make_model(graph, opset_imports=[h.make_opsetid("", 18)], ir_version=10)

    def file(self, **changed: Any) -> bytes:
        return contract.write(self.model(), self.contract(**changed))
