"""InfoGAN's codes in the contract: numbers of z that the seed draws by their law, unless a request chooses them by name."""

from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto as T
from onnx import helper as h
from onnx import numpy_helper

from service.errors import ContractError, InvalidField
from service.generator import contract, golden
from service.generator.contract import Contract, ImageShape
from service.generator.file.inputs import Input
from service.generator.file.named import code_rows, written
from service.generator.latents import latents, rows_of
from service.generator.laws import mean_square, quantiles_of
from tests.service.generator.file.loaded import loaded

Z, SIDE = 6, 4
C1, CATEGORY = slice(2, 3), slice(Z + 1, Z + 2)


C = Input("c1", "code", law="uniform", low=-2, high=2)
KIND = Input("category", "code", law="whole", low=0, high=2)


@dataclass(frozen=True)
class Coded:
    """z in two parts with a code between them, a category behind, and a scalar."""

    c1: Input = C
    category: Input = KIND

    @property
    def inputs(self) -> list[Input]:
        psi = Input("psi", "scalar", low=0, high=1, default=0.5)
        return [Input("a", "z", [2]), self.c1, psi, Input("b", "z", [4]), self.category]

    @property
    def weights(self) -> NDArray[np.float32]:
        return (np.random.default_rng(0).normal(size=(Z + 3, SIDE * SIDE)) / 3).astype(np.float32)

    def forward(self, rows: NDArray[np.float32], label: NDArray[np.int64] | None = None) -> NDArray[np.uint8]:
        return (
            np.rint(np.tanh(rows @ self.weights) * 127.5 + 127.5).astype(np.uint8).reshape(-1, 1, SIDE, SIDE)
        )

    def contract(self) -> Contract:
        said = Contract(2, "coded", Z + 2, None, ImageShape(1, SIDE, SIDE), inputs=self.inputs)
        samples = golden.make(self.forward, said.z_dim, range(4), None, said.rows(range(4)))
        return msgspec.structs.replace(said, golden=samples)

    def file(self) -> bytes:
        names = [one.name for one in self.inputs]
        flat = {"c1", "psi", "category"}
        nodes = [h.make_node("Unsqueeze", [name, "axis"], [f"{name}_"]) for name in sorted(flat)]
        # As a row is laid out: the scalar behind all of z.
        order = [f"{name}_" if name in flat else name for name in ("a", "c1", "b", "category", "psi")]
        nodes += [
            h.make_node("Concat", order, ["row"], axis=1),
            h.make_node("MatMul", ["row", "w"], ["x"]),
            h.make_node("Tanh", ["x"], ["unit"]),
            h.make_node("Mul", ["unit", "half"], ["scaled"]),
            h.make_node("Add", ["scaled", "half"], ["pixels"]),
            h.make_node("Round", ["pixels"], ["rounded"]),
            h.make_node("Reshape", ["rounded", "shape"], ["shaped"]),
            h.make_node("Cast", ["shaped"], ["image"], to=T.UINT8),
        ]
        weights = {
            "w": self.weights,
            "axis": np.array([1]),
            "half": np.array(127.5, np.float32),
            "shape": np.array([-1, 1, SIDE, SIDE]),
        }
        sizes = {one.name: one.shape for one in self.inputs}
        graph = h.make_graph(
            nodes,
            "coded",
            [h.make_tensor_value_info(name, T.FLOAT, ["N", *sizes[name]]) for name in names],
            [h.make_tensor_value_info("image", T.UINT8, ["N", 1, SIDE, SIDE])],
            [numpy_helper.from_array(value, name) for name, value in weights.items()],
        )
        model = h.make_model(graph, opset_imports=[h.make_opsetid("", 18)], ir_version=10)
        return contract.write(onnx.shape_inference.infer_shapes(model), self.contract())


@pytest.mark.parametrize("engine", ["onnxruntime", "openvino"])
def test_engines_draw_the_codes_of_a_seed_and_those_that_are_asked_for(tmp_path: Path, engine: str):
    coded = Coded()
    got = loaded(tmp_path, coded.file(), engine)
    assert got.golden is not None
    said = got.contract
    asked = said.seeded(range(5), 1.0, {"c1": -1.5, "category": [0, 1, 2, 1, 0], "psi": 0.25})
    rows = rows_of([asked])
    assert golden.difference(got.engine.wide(rows, None), coded.forward(rows)).max <= 1
    assert rows.shape == (5, Z + 3)
    assert (rows[:, C1] == -1.5).all()
    assert rows[:, CATEGORY].ravel().tolist() == [0, 1, 2, 1, 0]


def test_what_is_not_asked_for_is_drawn_from_the_seed_by_its_law():
    said = Coded().contract()
    z = said.drawn(range(3000))
    normal = latents(range(3000), Z + 2)
    np.testing.assert_array_equal(z[:, :2], normal[:, :2])
    np.testing.assert_array_equal(z[:, 3:-1], normal[:, 3:-1])
    assert -1 < z[:, C1].min() < -0.99 < 0.99 < z[:, C1].max() < 1
    values, counts = np.unique(z[:, CATEGORY], return_counts=True)
    assert values.tolist() == [0, 1, 2]
    assert abs(counts - 1000).max() < 4 * (1000 * 2 / 3) ** 0.5
    # Of one seed a code is the same whatever is asked of the others, and beside whichever other images.
    alone = rows_of([said.seeded([7], 1.0, {"category": 2})])
    np.testing.assert_array_equal(alone[0, :-2], z[7, :-1])
    both = said.seeded([7, 8], 1.0, {"category": 2})
    np.testing.assert_array_equal(rows_of([both[1:], both[:1]])[1], alone[0])


def test_truncation_leaves_codes_as_they_are():
    said = Coded().contract()
    whole, half = (rows_of([said.seeded([3], by, {"c1": 2})]) for by in (1.0, 0.5))
    np.testing.assert_array_equal(half[0, [0, 1]], whole[0, [0, 1]] / 2)
    assert half[0, C1] == 2
    np.testing.assert_array_equal(half[0, CATEGORY], whole[0, CATEGORY])


def test_a_code_goes_into_a_z_that_is_given():
    said = Coded().contract()
    z = said.drawn(range(2))
    rows = said.with_scalars(z, {"c1": [0.5, float("nan")]})
    assert rows[0, C1] == 0.5
    np.testing.assert_array_equal(rows[1, :-1], z[1], err_msg="NaN is as it was")
    assert z[0, C1] != 0.5, "the caller's z stays"


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"c2": 0.5}, r"there are c1 \(-2 to 2, by default as the seed draws it\), category \(whole, 0 to 2"),
        ({"c1": 2.5}, "out of range: allowed is c1"),
        ({"category": 1.5}, r"out of range: allowed is category \(whole"),
        ({"category": 3}, "out of range"),
        ({"c1": [0.1, 0.2]}, "2 entries for 3 images"),
    ],
)
def test_a_code_that_can_not_be_is_refused_with_what_may(given, says):
    with pytest.raises(InvalidField, match=says):
        Coded().contract().seeded(range(3), 1.0, given)


def test_a_code_is_in_an_address_where_it_was_asked_for():
    said = Coded().inputs
    assert written(said, None, 0) == []
    assert written(said, {"category": 1, "psi": 0.5, "c1": -1.5}, 0) == ["c1=-1.5", "category=1.0"]
    assert code_rows(said, {"psi": 0.25}, 1) is None


@pytest.mark.parametrize("count", [2, 3, 10, 1000])
def test_whole_numbers_are_each_as_often(count):
    table = quantiles_of(f"whole {count}")
    times = np.bincount(table.astype(int), minlength=count)
    assert (times.min(), times.max()) == (65536 // count, -(-65536 // count))
    assert np.mean(table.astype(float) ** 2) == pytest.approx(mean_square(f"whole {count}"), rel=1e-3)


WRONG = {
    "a code has low < high": {"c1": Input("c1", "code", law="uniform", low=1, high=1)},
    "and no default": {"c1": Input("c1", "code", low=-2, high=2, default=0)},
    "none": {"c1": Input("c1", "code", [1], low=-2, high=2)},
    "low 0 and a whole high": {"category": Input("category", "code", law="whole", low=0, high=1.5)},
    "only a code has the law whole": {"category": Input("category", "noise", [1], law="whole")},
    "called that": {"c1": Input("seed", "code", low=-2, high=2)},
}


@pytest.mark.parametrize("says", WRONG)
def test_a_code_that_is_declared_wrongly_is_refused(says):
    with pytest.raises(ContractError, match=says):
        contract.parse(_with(Coded(**WRONG[says]).inputs))


def _with(inputs: list[Input]) -> bytes:
    model = onnx.load_model_from_string(Coded().file())
    said = msgspec.structs.replace(contract.parse(Coded().file()), inputs=inputs)
    onnx.helper.set_model_props(model, {contract.METADATA_KEY: msgspec.json.encode(said).decode()})
    return model.SerializeToString()


def test_a_code_that_changes_nothing_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    weights = Coded().weights.copy()
    weights[2] = 0
    monkeypatch.setattr(Coded, "weights", weights)
    with pytest.raises(ContractError, match="the code c1 changes nothing, from -2 to 2"):
        loaded(tmp_path, Coded().file())
