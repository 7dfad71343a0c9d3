"""Schema 2: inputs by role, laws of z, scalars, one batch, weights beside the file; on the engines that serve."""

import hashlib
from dataclasses import dataclass, field
from pathlib import Path
from statistics import NormalDist
from typing import Any

import msgspec
import numpy as np
import onnx
import onnxruntime
import pytest
from numpy.typing import NDArray
from onnx import TensorProto as T
from onnx import external_data_helper, numpy_helper
from onnx import helper as h

from service.errors import ContractError, InvalidField
from service.generator import contract, golden, loading
from service.generator.contract import Contract, ImageShape
from service.generator.file.apart import put_together, taken_apart
from service.generator.file.folded import Weights
from service.generator.file.inputs import Input
from service.generator.file.named import scalar_rows
from service.generator.latents import latents
from service.generator.laws import MEAN_SQUARES, quantiles_of
from service.settings import Settings
from tests.generators import Tiny

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


def loaded(folder: Path, file: bytes, engine: str = "onnxruntime", threads: int = 1) -> loading.Loaded:
    (folder / "styled").mkdir(exist_ok=True)
    path = folder / "styled" / "generator.onnx"
    path.write_bytes(file)
    return loading.load(loading.read(path), Settings(engine=engine, threads=threads, models=folder))


@pytest.mark.parametrize("engine", ["onnxruntime", "openvino"])
@pytest.mark.parametrize("batch", [None, 3])
def test_every_engine_draws_what_the_file_says_of_its_inputs(tmp_path, engine, batch):
    styled = Styled(batch=batch)
    got = loaded(tmp_path, styled.file(), engine, threads=2)
    assert got.golden is not None
    assert got.findings.truncation
    assert (got.engine.max_batch, list(got.engine.buckets)) == ((3, [3]) if batch else (8, []))
    rows, label = got.contract.rows(range(7)), np.arange(7) % 3
    rows[2, -1] = 0.25
    for forward in (got.engine.wide, *got.engine.lanes):
        for count in (1, 3, 7):
            want = styled.forward(rows[:count], label[:count])
            assert golden.difference(forward(rows[:count], label[:count]), want).max <= 1


def exact(law: str, share: float) -> float:
    normal = NormalDist()
    return {
        "normal": lambda: normal.inv_cdf(share),
        "truncated": lambda: normal.inv_cdf(normal.cdf(-2) + share * (normal.cdf(2) - normal.cdf(-2))),
        "uniform": lambda: 2 * share - 1,
        "uniform01": lambda: share,
        "pixels": lambda: int(256 * share),
    }[law]()


@pytest.mark.parametrize("law", MEAN_SQUARES)
def test_a_law_is_the_inverse_of_its_distribution_of_the_same_numbers(law):
    table = quantiles_of(law)
    places = [0, 1, 999, 32767, 32768, 65535]
    np.testing.assert_allclose(table[places], [exact(law, (k + 0.5) / 65536) for k in places], rtol=2e-6)
    assert (np.diff(table) >= 0).all()
    assert np.mean(table.astype(float) ** 2) == pytest.approx(MEAN_SQUARES[law], rel=1e-3)


def test_an_address_draws_the_same_quantiles_under_every_law():
    said = Styled(law="uniform").contract()
    normal = latents([7, 2**53 - 1], said.z_dim)
    z = said.drawn([7, 2**53 - 1])
    np.testing.assert_array_equal(z[:, Z:], normal[:, Z:])  # the noise is normal
    shares = np.vectorize(NormalDist().cdf)(normal[:, :Z])
    np.testing.assert_allclose(z[:, :Z], 2 * shares - 1, atol=1e-5)


def test_truncation_scales_z_and_neither_noise_nor_scalars():
    said = Styled().contract()
    rows, scaled = said.rows(range(3)), said.truncated(said.rows(range(3)), 0.5)
    np.testing.assert_array_equal(scaled[:, :Z], rows[:, :Z] / 2)
    np.testing.assert_array_equal(scaled[:, Z:], rows[:, Z:])


def test_z_of_a_million_numbers_is_drawn():
    one = Input("z", "noise", [2**20 - 1])
    said = Contract(2, "large", 2**20, None, ImageShape(3, 8, 8), inputs=[Input("w", "z", [1]), one])
    assert said.rows([1, 2]).shape == (2, 2**20)


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"psy": 0.5}, "There is no scalar 'psy'; there are psi \\(0 to 1, by default 0.75\\)"),
        ({"psi": 1.5}, "out of range: allowed is psi \\(0 to 1"),
        ({"psi": float("nan")}, "out of range"),
        ({"psi": [0.1, 0.2]}, "2 entries for 3 images"),
        ({"psi": [0.1, 0.2, 7]}, "out of range"),
    ],
)
def test_a_scalar_that_can_not_be_is_refused_with_what_may(given, says):
    with pytest.raises(InvalidField, match=says):
        scalar_rows(Styled().inputs, given, 3)


def test_a_scalar_is_one_number_or_one_per_image():
    said = Styled().inputs
    np.testing.assert_array_equal(scalar_rows(said, None, 2), np.full((2, 1), 0.75, np.float32))
    np.testing.assert_array_equal(scalar_rows(said, {"psi": [0, 1]}, 2), [[0], [1]])
    assert scalar_rows([Input("z", "z", [4])], None, 2) is None


WRONG = {
    "no z first": [Input("y", "label"), Input("z", "z", [208])],
    "z, noise and image have 16": [Input("latent", "z", [Z]), Input("y", "label")],
    "low <= default <= high": [*Styled().inputs[:2], Input("psi", "scalar", low=1, high=0, default=0.5), Styled().inputs[3]],
    "called that": [*Styled().inputs[:2], Input("seed", "scalar", low=0, high=1, default=0.5), Styled().inputs[3]],
    "only a scalar": [Input("latent", "z", [Z], low=0), *Styled().inputs[1:]],
    "each once": [*Styled().inputs, Input("psi", "scalar", low=0, high=1, default=0.5)],
    "have a shape": [Input("latent", "z", [Z]), Input("y", "label", [3]), *Styled().inputs[2:]],
    "one label": [one for one in Styled().inputs if one.role != "label"],
}  # fmt: skip


@pytest.mark.parametrize("says", WRONG)
def test_a_declaration_that_can_not_be_is_refused(says):
    said = msgspec.structs.replace(Styled().contract(), inputs=WRONG[says])
    with pytest.raises(ContractError, match="the first input is z" if says == "no z first" else says):
        contract.write(Styled().model(), said)


def test_inputs_of_the_graph_are_held_to_the_declaration():
    said = Styled().contract()
    other = [*said.declared[:3], Input("z", "noise", [SIDE, SIDE, 3])]
    with pytest.raises(ContractError, match="inputs are"):
        contract.write(Styled().model(), msgspec.structs.replace(said, inputs=other))
    with pytest.raises(ContractError, match="inputs are"):
        contract.write(Styled().model(), msgspec.structs.replace(said, batch=4))


def test_what_is_of_schema_2_is_refused_in_schema_1():
    for changed in ({"inputs": Styled().inputs}, {"batch": 2}, {"weights": [Weights("a", "0" * 64)]}):
        said = msgspec.structs.replace(Styled().contract(), schema=1, **changed)
        with pytest.raises(ContractError, match="of schema 2"):
            contract.write(Styled().model(), said)


def test_a_scalar_that_changes_nothing_is_refused(tmp_path):
    same = Styled(psi=Input("psi", "scalar", low=0.75, high=0.75, default=0.75))
    with pytest.raises(ContractError, match="psi changes nothing"):
        loaded(tmp_path, same.file())


def outside(folder: Path, styled: Styled) -> bytes:
    """The file whose weights lie beside it, as `generator.onnx.data`."""
    model = styled.model()
    external_data_helper.convert_model_to_external_data(model, location="generator.onnx.data")
    (folder / "styled").mkdir(exist_ok=True)
    external_data_helper.write_external_data_tensors(model, str(folder / "styled"))
    digest = hashlib.sha256((folder / "styled" / "generator.onnx.data").read_bytes()).hexdigest()
    return contract.write(model, styled.contract(weights=[Weights("generator.onnx.data", digest)]))


def test_weights_beside_the_file_are_held_to_their_hash(tmp_path):
    styled = Styled()
    file = outside(tmp_path, styled)
    assert len(file) < 20_000
    assert loaded(tmp_path, file).golden is not None
    data = tmp_path / "styled" / "generator.onnx.data"
    content = data.read_bytes()
    data.write_bytes(content[:-1] + b"x")
    with pytest.raises(ContractError, match="not what the file names"):
        loaded(tmp_path, file)
    data.unlink()
    with pytest.raises(ContractError, match=r"generator\.onnx\.data: No such file"):
        loaded(tmp_path, file)


def test_nan_is_found_in_weights_beside_the_file(tmp_path):
    styled = Styled()
    styled.weights[3, 5] = np.nan
    with pytest.raises(ContractError, match="NaN"):
        loaded(tmp_path, outside(tmp_path, styled))


def test_external_data_in_a_file_that_is_not_named_is_refused(tmp_path):
    model = Styled().model()
    external_data_helper.convert_model_to_external_data(model, location="../secret")
    for tensor in model.graph.initializer:
        tensor.ClearField("raw_data")
    for weights in ([], [Weights("generator.onnx.data", "0" * 64)]):
        with pytest.raises(ContractError, match=r"which the contract does not name|external data is refused"):
            contract.write(model, Styled().contract(weights=weights))


def test_a_file_that_is_taken_apart_can_be_put_together():
    file = Styled().file()
    apart = taken_apart(file)
    assert set(apart.weights) == {"w"}
    np.testing.assert_array_equal(apart.weights["w"], Styled().weights)
    again = onnx.load_model_from_string(put_together(apart.graph, apart.weights))
    assert again == onnx.load_model_from_string(file)


@pytest.mark.parametrize(
    "file", [b"", b"\x3a\xff", b"\x3a\x05\x2a\xff\xff\xff\xff", bytes(range(256)), b"\xff" * 99]
)
def test_what_is_no_onnx_file_is_left_as_it_is(file):
    assert taken_apart(file).weights == {}
    with pytest.raises(ContractError):
        contract.parse(file)


def test_no_weight_passes_through_protobuf_when_a_file_is_loaded(tmp_path, monkeypatch):
    """There a thread keeps the interpreter's lock, and its worker answers nobody: 0.5 s at a time of a file of 136 MB."""
    file = Tiny(burn=1).file()
    assert len(file) > 4_000_000
    sizes: list[int] = []

    def noting(read: Any) -> Any:
        return lambda content, *rest, **named: sizes.append(len(content)) or read(content, *rest, **named)

    monkeypatch.setattr(onnx, "load_model_from_string", noting(onnx.load_model_from_string))
    monkeypatch.setattr(onnxruntime, "InferenceSession", _Noted(sizes))
    assert loaded(tmp_path, file).golden is not None
    assert len(sizes) >= 3
    assert max(sizes) < 100_000


class _Noted:
    def __init__(self, sizes: list[int]) -> None:
        self.sizes, self.real = sizes, onnxruntime.InferenceSession

    def __call__(self, content: bytes, *rest: Any, **named: Any) -> onnxruntime.InferenceSession:
        self.sizes.append(len(content))
        return self.real(content, *rest, **named)
