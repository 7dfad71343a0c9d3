"""Tiny encoders as files beside generators, made without torch: a linear map of the pixels, with its NumPy form beside it."""

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

from service.generator import contract, encoder
from service.generator.contract import Contract
from service.generator.encoder import EncoderDocument, GoldenCode
from service.generator.engine import Forward
from tests.generators import Tiny


@dataclass(frozen=True)
class TinyEncoder:
    """Of a generator, by its contract and version, with random weights.

    names: of the classes of one that finds no z.
    """

    contract: Contract
    version: str
    weights_seed: int = 0
    names: tuple[str, ...] = ()

    @property
    def classes(self) -> int | None:
        return len(self.names) or self.contract.class_count or None

    def forward(self, images: NDArray[np.uint8]) -> tuple[NDArray[np.float32], NDArray[np.float32] | None]:
        """z, and logits of a conditional one: what the ONNX file computes, in NumPy; of a classifier it gives the latter alone."""
        flat = images.reshape(len(images), -1).astype(np.float32)
        weights = self._weights()
        return flat @ weights["to_z"], flat @ weights["to_logits"] if self.classes else None

    def document(self, draw: Forward | None = None) -> EncoderDocument:
        """draw: the generator's forward pass, for golden z."""
        seeds = range(4) if draw else ()
        count = self.contract.class_count
        labels = [seed % count for seed in seeds] if count else None
        codes: list[GoldenCode] = []
        if draw is not None:
            images = draw(self.contract.rows(seeds), None if labels is None else np.array(labels, np.int64))
            z, logits = self.forward(images)
            for i, seed in enumerate(seeds):
                label = None if labels is None else labels[i]
                if self.names and logits is not None:
                    codes.append(GoldenCode(seed, label=label, logits=logits[i].tolist()))
                else:
                    codes.append(GoldenCode(seed, z[i].tolist(), label))
        z_dim = None if self.names else self.contract.z_dim
        return EncoderDocument(
            *(encoder.SCHEMA, self.version, z_dim, self.classes, self.contract.image),
            golden=codes,
            class_names=list(self.names),
        )

    def model(self) -> onnx.ModelProto:
        """The graph, without metadata."""
        image = self.contract.image
        nodes = [
            h.make_node("Cast", ["image"], ["levels"], to=T.FLOAT),
            h.make_node("Flatten", ["levels"], ["flat"]),
        ]
        outputs = []
        if not self.names:
            nodes.append(h.make_node("MatMul", ["flat", "to_z"], ["z"]))
            outputs.append(h.make_tensor_value_info("z", T.FLOAT, ["N", self.contract.z_dim]))
        if self.classes:
            nodes.append(h.make_node("MatMul", ["flat", "to_logits"], ["logits"]))
            outputs.append(h.make_tensor_value_info("logits", T.FLOAT, ["N", self.classes]))
        graph = h.make_graph(
            nodes,
            "encoder",
            [h.make_tensor_value_info("image", T.UINT8, ["N", image.channels, image.height, image.width])],
            outputs,
            [
                numpy_helper.from_array(value, name)
                for name, value in self._weights().items()
                if not (self.names and name == "to_z")
            ],
        )
        return h.make_model(
            graph, opset_imports=[h.make_opsetid("", contract.OPSET)], ir_version=contract.IR_VERSION
        )

    def file(self, draw: Forward | None = None) -> bytes:
        """The file that lies beside the generator."""
        return encoder.write(self.model(), self.document(draw))

    def _weights(self) -> dict[str, NDArray[np.float32]]:
        random, image = np.random.default_rng(self.weights_seed), self.contract.image
        pixels = image.channels * image.height * image.width
        shapes = {"to_z": (pixels, self.contract.z_dim)} | (
            {"to_logits": (pixels, self.classes)} if self.classes else {}
        )
        # Of pixels around 128 with a spread of some 60: z near a standard normal.
        return {
            name: (random.normal(size=shape) / (60 * np.sqrt(pixels))).astype(np.float32)
            for name, shape in shapes.items()
        }


def beside(
    root: Path, name: str, tiny: Tiny, weights_seed: int = 0, names: tuple[str, ...] = ()
) -> TinyEncoder:
    """Lays an encoder where the generator `tiny` is or will be, in a models folder, and returns it. names: as TinyEncoder has them."""
    made = TinyEncoder(tiny.contract(), contract.version(tiny.file()), weights_seed, names)
    (root / name).mkdir(parents=True, exist_ok=True)
    (root / name / "generator.encoder").write_bytes(made.file(tiny.forward))
    return made


def with_graph(tiny: TinyEncoder, change: Callable[[onnx.ModelProto], object]) -> bytes:
    """An encoder whose graph was changed behind its document's back."""
    model = onnx.load_model_from_string(tiny.file())
    change(model)
    return model.SerializeToString()


def with_document(tiny: TinyEncoder, **changes: object) -> bytes:
    """An encoder whose document says something else than its graph."""
    model = tiny.model()
    text = msgspec.json.encode(msgspec.to_builtins(tiny.document()) | changes).decode()
    h.set_model_props(model, {encoder.METADATA_KEY: text})
    return model.SerializeToString()
