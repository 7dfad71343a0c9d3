"""Tiny generators that read a text, made without torch, with a forward pass in NumPy beside them: a shade of each word, over z."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto as T
from onnx import helper as h
from onnx import numpy_helper

from ganserve.importing.surgery.nodes import rename
from service.generator import contract, golden
from service.generator.contract import Contract, ImageShape
from service.generator.file.inputs import Input

SIDE = 8
WORDS = ("a", "bag", "bright", "dark", "large", "t-shirt")


@dataclass(frozen=True)
class Reader:
    """`ids` -> the sum of its words' pictures, and a little of z; the first one darkens, or brightens, what the second draws.

    rows: of the table that ids are looked up in, where that is not one each.
    """

    name: str = "reader"
    z_dim: int = 16
    length: int = 6
    words: tuple[str, ...] = WORDS
    tokenizer: str = ""
    pad: int = 0
    classes: tuple[str, ...] | None = None
    rows: int = 0

    @property
    def text(self) -> Input:
        words = [] if self.tokenizer else list(self.words)
        return Input("ids", "text", [self.length], words=words, tokenizer=self.tokenizer, pad=self.pad)

    @property
    def inputs(self) -> list[Input]:
        label = [Input("y", "label")] if self.classes else []
        return [Input("noise", "z", [self.z_dim]), self.text, *label]

    def drawn(
        self, z: NDArray[np.float32], ids: NDArray[Any], label: NDArray[np.int64] | None = None
    ) -> NDArray[np.uint8]:
        """What the file computes, in NumPy. z: float32 [N, z_dim]; ids: whole numbers [N, length]."""
        table, places, weights = self._tensors
        read = (table[ids.astype(np.int64)] * places).sum(axis=1)
        x = read + z @ weights
        if label is not None and self.classes:
            x = x + label[:, None].astype(np.float32)
        return np.rint(np.tanh(x) * 127.5 + 127.5).astype(np.uint8).reshape(-1, 1, SIDE, SIDE)

    def of(self, z: NDArray[np.float32], texts: list[str]) -> NDArray[np.uint8]:
        return self.drawn(z, self.text.reading.ids(texts, len(texts)))

    def contract(self, **changed: Any) -> Contract:
        said = Contract(
            *(contract.SCHEMA_OF_ROLES, self.name, self.z_dim),
            None if self.classes is None else list(self.classes),
            image=ImageShape(1, SIDE, SIDE),
            inputs=self.inputs,
        )
        seeds = range(4)
        labels = None if self.classes is None else [seed % len(self.classes) for seed in seeds]
        texts = said.texts(seeds)

        def forward(rows: NDArray[np.float32], label: NDArray[np.int64] | None) -> NDArray[np.uint8]:
            return self.drawn(rows[:, : self.z_dim], rows[:, self.z_dim :], label)

        samples = golden.make(forward, said.z_dim, seeds, labels, said.rows(seeds, texts), texts)
        return msgspec.structs.replace(said, golden=samples, **changed)

    def model(self) -> onnx.ModelProto:
        table, places, weights = self._tensors
        tensors: dict[str, NDArray] = {
            "table": table,
            "places": places,
            "w": weights,
            "axis": np.array([1]),
            "column": np.array([-1, 1]),
            "image_shape": np.array([-1, 1, SIDE, SIDE]),
            "half": np.array(127.5, np.float32),
        }
        nodes = [
            h.make_node("Gather", ["table", "ids"], ["read"]),
            h.make_node("Mul", ["read", "places"], ["placed"]),
            h.make_node("ReduceSum", ["placed", "axis"], ["said"], keepdims=0),
            h.make_node("MatMul", ["noise", "w"], ["drawn"]),
            h.make_node("Add", ["said", "drawn"], ["x0"]),
        ]
        given = [
            h.make_tensor_value_info("noise", T.FLOAT, ["N", self.z_dim]),
            h.make_tensor_value_info("ids", T.INT64, ["N", self.length]),
        ]
        last = "x0"
        if self.classes:
            given.append(h.make_tensor_value_info("y", T.INT64, ["N"]))
            tensors["shades"] = np.arange(len(self.classes), dtype=np.float32)
            nodes += [
                h.make_node("Gather", ["shades", "y"], ["shade"]),
                h.make_node("Reshape", ["shade", "column"], ["shade_"]),
                h.make_node("Add", ["x0", "shade_"], ["x1"]),
            ]
            last = "x1"
        nodes += [
            h.make_node("Tanh", [last], ["levels"]),
            h.make_node("Mul", ["levels", "half"], ["scaled"]),
            h.make_node("Add", ["scaled", "half"], ["pixels"]),
            h.make_node("Round", ["pixels"], ["rounded"]),
            h.make_node("Reshape", ["rounded", "image_shape"], ["shaped"]),
            h.make_node("Cast", ["shaped"], ["image"], to=T.UINT8),
        ]
        graph = h.make_graph(
            nodes,
            "reader",
            given,
            [h.make_tensor_value_info("image", T.UINT8, ["N", 1, SIDE, SIDE])],
            [numpy_helper.from_array(value, name) for name, value in tensors.items()],
        )
        return h.make_model(
            graph, opset_imports=[h.make_opsetid("", contract.OPSET)], ir_version=contract.IR_VERSION
        )

    def file(self, **changed: Any) -> bytes:
        return contract.write(self.model(), self.contract(**changed))

    @property
    def _tensors(self) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
        """Of ids [rows, pixels], the padding's 0; of places [length, 1]; of z [z_dim, pixels]."""
        random = np.random.default_rng(0)
        table = random.normal(size=(self.rows or self.text.reading.tokens, SIDE * SIDE)).astype(np.float32)
        table[self.pad] = 0
        places = (1 / np.arange(1, self.length + 1))[:, None].astype(np.float32)
        weights = 0.2 * random.normal(size=(self.z_dim, SIDE * SIDE))
        return table, places, weights.astype(np.float32)


WORDY = Reader()
CLASSED = Reader("classed", classes=("day", "dusk"))


def byte_pairs(folder: Path) -> Path:
    """A tokenizer of 286 byte pairs with CLIP's frame: a start, and an end that also fills up."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers

    tokenizer = Tokenizer(models.BPE(unk_token=None))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    frame = ["<|startoftext|>", "<|endoftext|>"]
    trainer = trainers.BpeTrainer(
        vocab_size=286,
        special_tokens=frame,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(["a dark bag and a bright bag", "the quick brown fox"], trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{frame[0]} $A {frame[1]}", special_tokens=[(name, i) for i, name in enumerate(frame)]
    )
    tokenizer.save(str(folder / "tokenizer.json"))
    return folder / "tokenizer.json"


def one_step(folder: Path) -> None:
    """As a one-step text-to-image model is published: a graph of `input_ids` and `latents`, and its tokenizer beside it."""
    folder.mkdir()
    model = Reader(length=16, tokenizer=byte_pairs(folder).read_text(), pad=1).model()
    names = {"ids": "input_ids", "noise": "latents"}
    rename(model.graph, lambda name: names.get(name, name))
    onnx.save(model, folder / "model.onnx")
