import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.errors import InvalidField
from service.generator.latents import MAX_SEED
from service.web.kserve.tensors import read_outputs, read_request, require_outputs, write_response
from tests.service.web.kserve.tensors import BARE, LIMIT, ROW, binary, read, tensor


def test_a_tensor_is_the_same_in_json_in_rows_and_in_binary():
    z = np.array([ROW, ROW[::-1]], np.float32)
    label = np.array([3, 9])
    in_json = read(tensor("z", z.ravel().tolist(), [2, 8]), tensor("label", [3, 9]))
    in_rows = read(tensor("z", z.tolist(), [2, 8]), tensor("label", [3, 9]))
    in_binary = read(binary("label", label), binary("z", z), after=label.tobytes() + z.tobytes())
    mixed = read(tensor("label", [3, 9]), binary("z", z), after=z.tobytes())
    for one in (in_json, in_rows, in_binary, mixed):
        assert one.z is not None
        np.testing.assert_array_equal(one.z, z)
        assert (one.z.dtype, one.seeds, one.label) == (np.float32, None, [3, 9])


@given(st.lists(st.tuples(st.integers(0, MAX_SEED), st.integers(0, 9)), min_size=1, max_size=LIMIT))
def test_seeds_come_as_they_were_asked_for_in_any_order(asked):
    seeds, labels = [seed for seed, _ in asked], [label for _, label in asked]
    after = np.array(seeds).tobytes() + np.array(labels).tobytes()
    for one in (
        read(tensor("seed", seeds), tensor("label", labels)),
        read(binary("seed", np.array(seeds)), binary("label", np.array(labels)), after=after),
    ):
        assert (one.z, one.seeds, one.label) == (None, seeds, labels)


def test_what_mlservers_numpy_codec_writes_is_read():
    """A column where one axis is enough, and how MLServer itself would decode it."""
    numpy = {"content_type": "np", "headers": None}
    for data in ([7, 25], [[7], [25]]):
        column = tensor("seed", data, [2, 1], parameters=numpy)
        labels = tensor("label", [1, 2], [2, 1], parameters={"content_type": "np"})
        outputs = [{"name": "image", "parameters": numpy}]
        one = read(column, labels, parameters=numpy, outputs=outputs)
        assert (one.seeds, one.label) == ([7, 25], [1, 2])
    seeds = np.array([[5], [6]])
    assert read(binary("seed", seeds), after=seeds.tobytes()).seeds == [5, 6]


def test_without_a_label_the_seed_says_the_class():
    assert read(tensor("seed", [7, 25, 7, 10])).label == [7, 5, 7, 0]
    assert read(tensor("z", [ROW] * 12, [12, 8])).label == [*range(10), 0, 1]
    assert read(tensor("seed", [7]), contract=BARE).label is None


def test_nulls_are_as_good_as_nothing():
    fields: dict[str, Any] = {
        "id": None,
        "parameters": None,
        "outputs": None,
        "model_name": None,
        "model_version": None,
    }
    assert read(tensor("seed", [1]) | {"parameters": None}, **fields).seeds == [1]
    seeds = np.array([5])
    assert read(binary("seed", seeds) | {"data": None}, after=seeds.tobytes()).seeds == [5]


def outputs(*names: str, binary_data_output: bool = False, **parameters: Any) -> dict[str, bool]:
    wanted = [{"name": name, "parameters": parameters} for name in names]
    body = {"inputs": [], "outputs": wanted, "parameters": {"binary_data_output": binary_data_output}}
    return read_outputs(read_request(json.dumps(body).encode(), None)[0])


def test_an_output_is_binary_where_it_says_so_or_else_the_request():
    assert outputs() == {"image": False}
    assert outputs("image") == {"image": False}
    assert outputs(binary_data_output=True) == {"image": True}
    assert outputs("image", "w", binary_data_output=True) == {"image": True, "w": True}
    assert outputs("image", binary_data=True) == {"image": True}
    assert outputs("image", binary_data=False, binary_data_output=True) == {"image": False}
    assert read_outputs(read_request(b'{"inputs": []}', None)[0]) == {"image": False}
    with pytest.raises(InvalidField, match="'image' is named twice"):
        outputs("image", "image")


def test_only_outputs_of_the_model_may_be_named():
    require_outputs(["image"], BARE)
    for name in ("pictures", "z"):
        with pytest.raises(InvalidField, match=f"no output '{name}'; allowed is image"):
            require_outputs(["image", name], BARE)


def test_pixels_are_written_row_by_row():
    pixels = np.arange(2 * 3 * 8 * 8, dtype=np.uint8).reshape(2, 3, 8, 8)
    document, content = write_response({"image": pixels}, {"image": False}, "tiny", "12", "7")
    assert content == b""
    assert json.loads(document) == {
        "model_name": "tiny",
        "model_version": "12",
        "id": "7",
        "outputs": [
            {"name": "image", "datatype": "UINT8", "shape": [2, 3, 8, 8], "data": pixels.ravel().tolist()}
        ],
    }
    document, content = write_response({"image": pixels}, {"image": True}, "tiny", "12", None)
    assert json.loads(document) == {
        "model_name": "tiny",
        "model_version": "12",
        "outputs": [
            {
                "name": "image",
                "datatype": "UINT8",
                "shape": [2, 3, 8, 8],
                "parameters": {"binary_data_size": 384},
            }
        ],
    }
    assert content == pixels.tobytes()


def test_outputs_are_written_in_their_order_the_bytes_of_those_that_are_binary():
    tensors = {"image": np.ones((2, 1, 1, 2), np.uint8), "w": np.array([[0.5], [-2]], np.float32)}
    document, content = write_response(tensors, {"w": True, "image": False}, "tiny", "12", None)
    assert json.loads(document)["outputs"] == [
        {"name": "w", "datatype": "FP32", "shape": [2, 1], "parameters": {"binary_data_size": 8}},
        {"name": "image", "datatype": "UINT8", "shape": [2, 1, 1, 2], "data": [1, 1, 1, 1]},
    ]
    assert content == tensors["w"].tobytes()
    document, content = write_response(tensors, {"image": True, "w": False}, "tiny", "12", None)
    assert json.loads(document)["outputs"][1]["data"] == [0.5, -2.0]
    assert content == tensors["image"].tobytes()
