"""What is imported draws the original's pictures: by ONNX Runtime, of each form of file that others write."""

import math
from collections.abc import Callable
from pathlib import Path
from statistics import NormalDist
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from click.testing import CliRunner, Result
from numpy.typing import NDArray

from ganserve.importing.command import import_command
from service.generator import golden, loading
from service.generator.contract import Contract, parse
from service.generator.engines.ort import OrtEngine
from service.generator.file.rewired import rewired
from service.generator.latents import latents
from service.settings import Settings
from tests.importing import foreign
from tests.importing.foreign import save

SEEDS = range(5)


def run(*words: object) -> Result:
    return CliRunner().invoke(import_command, [str(word) for word in words])


def served(out: Path, seeds: range = SEEDS, **scalars: Any) -> tuple[NDArray[np.uint8], Contract]:
    """The images of the imported file, all in one batch, with these scalars, one per image; the label of a seed is that modulo the number of classes."""
    file = (out / "generator.onnx").read_bytes()
    contract = parse(file)
    engine = OrtEngine(rewired(file, contract), contract, cuda=False, precision="fp32", threads=1)
    label = None if contract.classes is None else np.array(seeds, np.int64) % contract.class_count
    rows = contract.rows(seeds)
    for place, name in enumerate(
        (one.name for one in contract.declared if one.role == "scalar"), contract.z_dim
    ):
        rows[:, place] = scalars.get(name, rows[:, place])
    return engine.wide(rows, label), contract


def original(
    model: onnx.ModelProto, seeds: range = SEEDS, batch: int | None = None, output: int = 0, **feeds: NDArray
) -> NDArray:
    """feeds: by input, those of all seeds. batch: images of a pass; those that are too few are filled up with zeros."""
    session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    parts = []
    for start in range(0, len(seeds), batch or len(seeds)):
        fed = {}
        for name, value in feeds.items():
            part = value if len(value) != len(seeds) else value[start : start + (batch or len(seeds))]
            missing = (batch or len(part)) - len(part)
            fed[name] = np.pad(part, [(0, missing), *[(0, 0)] * (part.ndim - 1)]) if len(value) > 1 else part
        parts.append(session.run(None, fed)[output])
    return np.concatenate(parts)[: len(seeds)]


def levels(images: NDArray, low: float = -1, high: float = 1) -> NDArray[np.uint8]:
    return np.rint((images.astype(np.float64) - low) * 255 / (high - low)).clip(0, 255).astype(np.uint8)


def assert_same(got: NDArray[np.uint8], want: NDArray[np.uint8]) -> None:
    assert got.shape == want.shape
    assert golden.difference(got, want).excess("fp32") is None
    assert want.std() > 10  # there is something to see


def z(size: int, seeds: range = SEEDS) -> NDArray[np.float32]:
    return latents(seeds, size)


def _dcgan(model: onnx.ModelProto, batch: int | None = None) -> NDArray[np.uint8]:
    return levels(original(model, batch=batch, input=z(100).reshape(-1, 100, 1, 1)))


def _one_hot(count: int) -> NDArray[np.float32]:
    return np.eye(count, dtype=np.float32)[np.array(SEEDS) % count]


def _open_inputs() -> onnx.ModelProto:
    one = foreign.reshaping(4)
    one.graph.input[0].type.tensor_type.shape.dim[0].dim_param = "N"
    return one


def _within_2(normal: float) -> float:
    """The number below which as much of the normal within -2 to 2 lies as of the whole normal below this one."""
    whole = NormalDist()
    low, high = whole.cdf(-2), whole.cdf(2)
    return whole.inv_cdf(low + whole.cdf(normal) * (high - low))


CASES: dict[str, tuple[Callable[[], onnx.ModelProto], Callable[[onnx.ModelProto], NDArray[np.uint8]], list[str]]] = {
    "DCGAN": (foreign.dcgan, _dcgan, []),
    "opset 9": (lambda: foreign.dcgan(opset=9), _dcgan, []),
    "fixed batch 1": (lambda: foreign.dcgan(1), lambda model: _dcgan(model, 1), []),
    "fixed batch 4": (lambda: foreign.dcgan(4), lambda model: _dcgan(model, 4), []),
    "H and W that are not said": (lambda: foreign.dcgan(sides=["H", "W"]), _dcgan, []),
    "a batch in a reshape": (
        lambda: foreign.reshaping(1),
        lambda model: levels(original(model, batch=1, z=z(16))),
        [],
    ),
    "a batch that the inputs do not tell": (
        _open_inputs,
        lambda model: levels(original(model, batch=4, z=z(16))),
        [],
    ),
    "modulated, batch 1": (
        lambda: foreign.modulated(1),
        lambda model: levels(original(model, batch=1, z=z(16))),
        [],
    ),
    "modulated, batch 3": (
        lambda: foreign.modulated(3),
        lambda model: levels(original(model, batch=3, z=z(16))),
        [],
    ),
    "one-hot floats": (
        foreign.conditional_dcgan,
        lambda model: levels(
            original(model, noise=z(32).reshape(-1, 32, 1, 1), labels=_one_hot(5).reshape(-1, 5, 1, 1))
        ),
        [],
    ),
    "BigGAN": (
        foreign.biggan,
        lambda model: levels(
            original(model, z=z(16), class_vector=_one_hot(7), truncation=np.array([0.5], np.float32))
        ),
        ["--constant", "truncation=0.5"],
    ),
    "Keras": (
        foreign.keras,
        lambda model: levels(
            original(model, input_1=z(16), input_2=(np.array(SEEDS, np.int32) % 4)[:, None]).transpose(0, 3, 1, 2),
            0,
        ),
        ["--label", "input_2"],
    ),
    "uint8": (
        foreign.as_uint8,
        lambda model: original(model, input=z(100).reshape(-1, 100, 1, 1)).transpose(0, 3, 1, 2),
        [],
    ),
    "a picture of noise, in halves": (
        foreign.from_noise_image,
        lambda model: levels(original(model, noise=z(16).reshape(-1, 1, 4, 4).astype(np.float16))),
        [],
    ),
    "RGBA, rows of no labels, and a second output": (
        foreign.stylegan,
        lambda model: levels(original(model, output=1, z=z(16), c=np.zeros((len(SEEDS), 0), np.float32))),
        [],
    ),
    "RGBA in uint8, channels last": (
        lambda: foreign.as_uint8(4),
        lambda model: original(model, input=z(100).reshape(-1, 100, 1, 1)).transpose(0, 3, 1, 2),
        [],
    ),
    "truncated z": (
        foreign.dcgan,
        lambda model: levels(
            original(model, input=np.vectorize(_within_2)(z(100)).astype(np.float32).reshape(-1, 100, 1, 1))
        ),
        ["--law", "truncated"],
    ),
    "uniform z": (
        foreign.dcgan,
        lambda model: levels(original(model, input=np.vectorize(math.erf)(z(100) / 2**0.5).astype(np.float32).reshape(-1, 100, 1, 1))),
        ["--law", "uniform"],
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_the_pictures_are_the_originals(tmp_path, case):
    make, want, options = CASES[case]
    model = make()
    result = run(save(model, tmp_path / "theirs.onnx"), "--out", tmp_path / "mine", *options)
    assert result.exit_code == 0, result.output
    got, contract = served(tmp_path / "mine")
    assert_same(got, want(model))
    assert len(contract.golden) >= 10
    assert {path.name for path in (tmp_path / "mine").iterdir()} == {
        "generator.onnx",
        "README.md",
        "samples.png",
    }


def test_what_is_imported_is_served_by_every_engine_with_its_golden_samples(tmp_path):
    for name, model in (("grouped", foreign.modulated(3)), ("plain", foreign.keras())):
        words = ["--label", "input_2"] if name == "plain" else []
        assert run(save(model, tmp_path / f"{name}.onnx"), "--out", tmp_path / name, *words).exit_code == 0
        for engine in ("onnxruntime", "openvino"):
            read = loading.read(tmp_path / name / "generator.onnx")
            assert read.verified
            assert loading.load(read, Settings(engine=engine, threads=1)).golden is not None


@pytest.mark.parametrize(
    ("operator", "numbers", "scale", "shift"),
    [("RandomNormalLike", 128, 2.0, 0.5), ("RandomUniform", 16, 4.0, -3.0)],
)
def test_noise_that_the_graph_draws_becomes_a_part_of_z(tmp_path, operator, numbers, scale, shift):
    result = run(
        save(foreign.noisy(operator), tmp_path / "theirs.onnx"), "--out", tmp_path / "mine", "--noise", "z"
    )
    assert result.exit_code == 0, result.output
    got, contract = served(tmp_path / "mine")
    assert contract.z_dim == 16 + numbers
    both = z(16 + numbers)
    drawn = both[:, 16:] if "Normal" in operator else np.vectorize(math.erf)(both[:, 16:] / 2**0.5) / 2 + 0.5
    drawn = (drawn * scale + shift).astype(np.float32).reshape(-1, numbers // 16, 4, 4)
    assert_same(got, levels(original(_drawn_outside(operator), z=both[:, :16], drawn=drawn)))


def test_noise_that_the_graph_draws_can_be_its_mean(tmp_path):
    result = run(
        save(foreign.noisy(), tmp_path / "theirs.onnx"), "--out", tmp_path / "mine", "--noise", "none"
    )
    assert result.exit_code == 0, result.output
    got, contract = served(tmp_path / "mine")
    assert contract.z_dim == 16
    mean = np.full((len(SEEDS), 8, 4, 4), 0.5, np.float32)
    assert_same(got, levels(original(_drawn_outside("RandomNormalLike"), z=z(16), drawn=mean)))


def _drawn_outside(operator: str) -> onnx.ModelProto:
    """The same graph, with its draws as an input."""
    one = foreign.noisy(operator)
    one.graph.node.remove(next(node for node in one.graph.node if node.op_type == operator))
    one.graph.input.append(
        onnx.helper.make_tensor_value_info("drawn", onnx.TensorProto.FLOAT, ["N", "C", 4, 4])
    )
    return one


def test_a_card_says_where_truncation_changes_nothing_and_how_a_fixed_batch_is_drawn(tmp_path):
    assert run(save(foreign.stylegan(), tmp_path / "a.onnx"), "--out", tmp_path / "a").exit_code == 0
    assert "Truncation changes nothing" in (tmp_path / "a" / "README.md").read_text("utf-8")
    assert run(save(foreign.modulated(3), tmp_path / "b.onnx"), "--out", tmp_path / "b").exit_code == 0
    card = (tmp_path / "b" / "README.md").read_text("utf-8")
    assert "takes a batch of 3 only, so every pass has 3, padded where fewer are asked for" in card
    assert "Truncation changes nothing" not in card


def test_what_all_images_of_a_pass_share_may_be_chosen_for_each(tmp_path):
    """So every pass has one image. BigGAN's truncation is such an input, and has a name of its own beside z's."""
    model = foreign.biggan()
    path = save(model, tmp_path / "theirs.onnx")
    result = run(path, "--out", tmp_path / "mine", "--scalar", "truncation=0..1:0.5")
    assert result.exit_code == 0, result.output
    chosen = np.array([0.5, 1, 0.2, 0.9, 0.5], np.float32)
    got, contract = served(tmp_path / "mine", model_truncation=chosen)
    assert contract.batch == 1
    alone = [
        original(
            model,
            range(1),
            z=z(16)[i : i + 1],
            class_vector=_one_hot(7)[i : i + 1],
            truncation=chosen[i : i + 1],
        )
        for i in range(len(SEEDS))
    ]
    assert_same(got, levels(np.concatenate(alone)))
