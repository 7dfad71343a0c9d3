"""Tiny generators as contract files, made without torch, with a forward pass in NumPy beside them.

Linear (plus a class embedding), ReLU, nearest x2, 3x3 convolution, tanh: what real ones are made of.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto as T
from onnx import helper as h
from onnx import numpy_helper

from service.generator import contract, golden
from service.generator.contract import Contract, ImageShape

CLASSES = (
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
)


@dataclass(frozen=True)
class Tiny:
    """A generator with random weights. `burn` adds that many 1024x1024 layers that take time and change nothing.

    fails_on_large_z: a z above 1,000 looks its class up in a row that is not there.
    """

    name: str = "tiny"
    z_dim: int = 8
    classes: tuple[str, ...] | None = CLASSES
    image: tuple[int, int, int] = (1, 8, 8)
    weights_seed: int = 0
    golden_samples: int = 4
    burn: int = 0
    fails_on_large_z: bool = False

    def forward(self, z: NDArray[np.float32], label: NDArray[np.int64] | None) -> NDArray[np.uint8]:
        """What the ONNX file computes, in NumPy."""
        w = self._weights()
        hidden = z @ w["linear"]
        if label is not None:
            hidden = hidden + w["embedding"][label]
        small = np.maximum(hidden, 0).reshape(len(z), *self._small)
        large = np.pad(small.repeat(2, axis=2).repeat(2, axis=3), ((0, 0), (0, 0), (1, 1), (1, 1)))
        _, height, width = self.image
        pixels = sum(
            np.einsum("nihw,oi->nohw", large[:, :, y : y + height, x : x + width], w["kernel"][:, :, y, x])
            for y in range(3)
            for x in range(3)
        )
        return np.rint(np.tanh(pixels) * 127.5 + 127.5).astype(np.uint8)

    def contract(self) -> Contract:
        """What the file says of itself, golden samples included."""
        seeds = range(self.golden_samples)
        labels = None if self.classes is None else [seed % len(self.classes) for seed in seeds]
        return Contract(
            schema=contract.SCHEMA if self.image[0] < 4 else contract.SCHEMA_OF_ROLES,
            name=self.name,
            z_dim=self.z_dim,
            classes=None if self.classes is None else list(self.classes),
            image=ImageShape(*self.image),
            golden=golden.make(self.forward, self.z_dim, seeds, labels) if seeds else [],
        )

    def file(self) -> bytes:
        """The ONNX file that the service loads."""
        return contract.write(self.model(), self.contract())

    def model(self) -> onnx.ModelProto:
        """The graph, without metadata."""
        weights = self._weights() | {
            "small": np.array([-1, *self._small]),
            "scales": np.array([1, 1, 2, 2], np.float32),
            "half": np.array(127.5, np.float32),
        }
        nodes = [h.make_node("MatMul", ["z", "linear"], ["projected"])]
        inputs = [h.make_tensor_value_info("z", T.FLOAT, ["N", self.z_dim])]
        hidden = "projected"
        if self.classes is not None:
            inputs.append(h.make_tensor_value_info("label", T.INT64, ["N"]))
            index = "label"
            if self.fails_on_large_z:
                weights |= {
                    "units": np.array([1]),
                    "most": np.array(1000, np.float32),
                    "far": np.array(10**6),
                }
                nodes += [
                    h.make_node("ReduceMax", ["z", "units"], ["largest"], keepdims=0),
                    h.make_node("Greater", ["largest", "most"], ["is_large"]),
                    h.make_node("Cast", ["is_large"], ["one_if_large"], to=T.INT64),
                    h.make_node("Mul", ["one_if_large", "far"], ["beyond"]),
                    h.make_node("Add", ["label", "beyond"], ["index"]),
                ]
                index = "index"
            nodes.append(h.make_node("Gather", ["embedding", index], ["class"]))
            nodes.append(h.make_node("Add", ["projected", "class"], ["conditioned"]))
            hidden = "conditioned"
        if self.burn:
            hidden = self._burn(hidden, weights, nodes)
        nodes += [
            h.make_node("Relu", [hidden], ["positive"]),
            h.make_node("Reshape", ["positive", "small"], ["maps"]),
            h.make_node(
                "Resize",
                ["maps", "", "scales"],
                ["large"],
                mode="nearest",
                coordinate_transformation_mode="asymmetric",
                nearest_mode="floor",
            ),
            h.make_node("Conv", ["large", "kernel"], ["pixels"], pads=[1, 1, 1, 1]),
            h.make_node("Tanh", ["pixels"], ["unit"]),
            h.make_node("Mul", ["unit", "half"], ["levels"]),
            h.make_node("Add", ["levels", "half"], ["positive_levels"]),
            h.make_node("Round", ["positive_levels"], ["whole_levels"]),
            h.make_node("Cast", ["whole_levels"], ["image"], to=T.UINT8),
        ]
        outputs = [h.make_tensor_value_info("image", T.UINT8, ["N", *self.image])]
        tensors = [numpy_helper.from_array(value, name) for name, value in weights.items()]
        graph = h.make_graph(nodes, "tiny", inputs, outputs, tensors)
        return h.make_model(
            graph, opset_imports=[h.make_opsetid("", contract.OPSET)], ir_version=contract.IR_VERSION
        )

    @property
    def _small(self) -> tuple[int, int, int]:
        return 4, self.image[1] // 2, self.image[2] // 2

    def _weights(self) -> dict[str, NDArray]:
        rng = np.random.default_rng(self.weights_seed)
        units = int(np.prod(self._small))
        shapes = {
            "linear": (self.z_dim, units),
            "embedding": (len(self.classes or ()), units),
            "kernel": (self.image[0], self._small[0], 3, 3),
        }
        weights = {name: rng.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}
        weights["kernel"] *= np.float32(0.2)
        return weights if self.classes else {k: v for k, v in weights.items() if k != "embedding"}

    def _burn(self, hidden: str, weights: dict[str, NDArray], nodes: list[onnx.NodeProto]) -> str:
        rng = np.random.default_rng(1)
        weights["burn_in"] = rng.normal(size=(self.z_dim, 1024)).astype(np.float32)
        weights["burn"] = rng.normal(size=(1024, 1024)).astype(np.float32)
        weights["nothing"] = np.array(1e-30, np.float32)
        weights["units"] = np.array([1])
        nodes.append(h.make_node("MatMul", ["z", "burn_in"], ["burn_0"]))
        for i in range(self.burn):
            nodes.append(h.make_node("MatMul", [f"burn_{i}", "burn"], [f"product_{i}"]))
            nodes.append(h.make_node("Tanh", [f"product_{i}"], [f"burn_{i + 1}"]))
        nodes.append(h.make_node("ReduceMean", [f"burn_{self.burn}", "units"], ["burnt"]))
        nodes.append(h.make_node("Mul", ["burnt", "nothing"], ["faint"]))
        nodes.append(h.make_node("Add", [hidden, "faint"], ["unchanged"]))
        return "unchanged"


def with_metadata(document: str | None, model: onnx.ModelProto | None = None) -> bytes:
    """A file whose metadata is `document`, true or not."""
    model = model or Tiny().model()
    if document is not None:
        h.set_model_props(model, {contract.METADATA_KEY: document})
    return model.SerializeToString()


def with_contract(**changes: object) -> bytes:
    """A tiny generator whose contract says something else than its graph."""
    document = msgspec.to_builtins(Tiny().contract()) | changes
    return with_metadata(msgspec.json.encode(document).decode())


def with_graph(change: Callable[[onnx.ModelProto], object]) -> bytes:
    """A tiny generator whose graph was changed behind its contract's back."""
    model = Tiny().model()
    change(model)
    return with_metadata(msgspec.json.encode(Tiny().contract()).decode(), model)


def with_other_golden() -> bytes:
    """A generator that carries another generator's golden samples."""
    other = msgspec.to_builtins(Tiny(weights_seed=1).contract())
    return with_contract(golden=other["golden"])


def folder(root: Path, files: dict[str, bytes]) -> Path:
    """A models folder holding these files, by model name."""
    for name, file in files.items():
        (root / name).mkdir(parents=True, exist_ok=True)
        (root / name / "generator.onnx").write_bytes(file)
    return root
