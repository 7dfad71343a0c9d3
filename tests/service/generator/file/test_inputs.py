"""Schema 2: inputs by role, scalars, one batch; on the engines that serve."""

import msgspec
import numpy as np
import pytest

from service.errors import ContractError, InvalidField
from service.generator import contract, golden
from service.generator.contract import Contract, ImageShape
from service.generator.file.folded import Weights
from service.generator.file.inputs import Input
from service.generator.file.named import scalar_rows
from tests.generators.styled import SIDE, Styled, Z
from tests.service.generator.file.loaded import loaded


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
