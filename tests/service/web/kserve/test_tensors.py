import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.errors import InvalidField, NotJson
from service.generator.latents import MAX_SEED
from service.web.kserve.tensors import Inputs, read_inputs, read_outputs, read_request, write_response
from tests.generators import Tiny

LIMIT = 64
CONTRACT = Tiny(golden_samples=0).contract()
BARE = Tiny(golden_samples=0, classes=None).contract()
ROW = [0.5, -0.5, 0, 1, 2, -3, 4.25, 1e-3]


def tensor(name: str, data: Any = None, shape: Any = None, **fields: Any) -> dict[str, Any]:
    """An input in JSON."""
    if shape is None:
        shape = [len(data), *([8] if name == "z" else [])]
    datatype = "FP32" if name == "z" else "INT64"
    given = {"name": name, "shape": shape, "datatype": datatype, "data": data} | fields
    return {field: value for field, value in given.items() if value is not None}


def binary(name: str, values: np.ndarray, size: int | None = None) -> dict[str, Any]:
    """The same in binary: what the JSON object says of it."""
    size = values.nbytes if size is None else size
    return tensor(name, shape=list(values.shape), parameters={"binary_data_size": size})


def read(*inputs: dict[str, Any], after: bytes = b"", contract: Any = CONTRACT, **fields: Any) -> Inputs:
    head = json.dumps({"inputs": inputs} | fields).encode()
    asked, rest = read_request(head + after, str(len(head)) if after else None)
    return read_inputs(asked, rest, contract, LIMIT)


def refusal(*inputs: dict[str, Any], **options: Any) -> tuple[str, str]:
    with pytest.raises(InvalidField) as refused:
        read(*inputs, **options)
    assert len(str(refused.value)) < 1000
    return refused.value.field, str(refused.value)


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
        assert (one.z.dtype, one.seeds, one.label, one.n) == (np.float32, None, [3, 9], 2)


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


@pytest.mark.parametrize(
    ("inputs", "field", "says"),
    [
        ([], "seed", "missing, and so is z"),
        ([tensor("label", [1])], "seed", "missing"),
        ([tensor("z", ROW, [1, 8]), tensor("seed", [1])], "seed", "exclude each other"),
        ([tensor("seed", [1]), tensor("seed", [2])], "seed", "twice"),
        ([tensor("noise", [1])], "inputs", "allowed are z or seed, and label"),
        ([tensor("x" * 5000, [1])], "inputs", "x" * 64),
        ([tensor("seed", [])], "seed", "1 to 64"),
        ([tensor("seed", [0] * 65)], "seed", "1 to 64"),
        ([tensor("seed", [1], [2**62])], "seed", "1 to 64"),
        ([tensor("seed", [1], [10**40])], "seed", "images"),
        ([tensor("seed", [1], [])], "seed", "allowed is [n]"),
        ([tensor("seed", [1], [1, 2])], "seed", "[1, 2]; allowed is [n]"),
        ([tensor("seed", [1], [1, 1, 1])], "seed", "[1, 1, 1]; allowed is [n]"),
        ([tensor("seed", [[1, 2]], [1, 1])], "seed", "not its shape"),
        ([tensor("seed", [[1], [2]], [1, 1])], "seed", "2 rows"),
        ([tensor("z", ROW, [1, 8, 1])], "z", "allowed is [n, 8]"),
        ([tensor("seed", [1], [1] * 5000)], "seed", "allowed is [n]"),
        ([tensor("seed", [1], [-1])], "inputs[0].shape[0]", ">= 0"),
        ([tensor("seed", [1], [1.5])], "inputs[0].shape[0]", "int"),
        ([tensor("seed", [1], 1)], "inputs[0].shape", "array"),
        ([tensor("z", ROW, [8])], "z", "allowed is [n, 8]"),
        ([tensor("z", ROW[:7], [1, 7])], "z", "allowed is [n, 8]"),
        ([tensor("z", ROW[:7], [1, 8])], "z", "7 numbers; its shape [1, 8] has 8"),
        ([tensor("z", [ROW, ROW], [1, 8])], "z", "2 rows"),
        ([tensor("z", [ROW[:7], [*ROW, 1]], [2, 8])], "z", "not its shape"),
        ([tensor("z", [[*ROW, *ROW]], [2, 8])], "z", "not its shape"),
        ([tensor("z", [[ROW]], [1, 8])], "z", "array"),
        ([tensor("z", [*ROW[:7], "1"], [1, 8])], "z", "data[7]"),
        ([tensor("z", [*ROW[:7], True], [1, 8])], "z", "bool"),
        ([tensor("z", [*ROW[:7], 1e39], [1, 8])], "z", "not finite"),
        ([tensor("z", {"a": 1}, [1, 8])], "z", "array"),
        ([tensor("z", ROW, [1, 8], datatype="FP64")], "z", "allowed is FP32"),
        ([tensor("seed", [1], datatype="INT32")], "seed", "allowed is INT64"),
        ([tensor("seed", [1], datatype="x" * 5000)], "seed", "allowed is INT64"),
        ([tensor("seed", [1.5])], "seed", "int"),
        ([tensor("seed", [[1]])], "seed", "array"),
        ([tensor("seed", [-1])], "seed", "-1; allowed are 0 to"),
        ([tensor("seed", [0, MAX_SEED + 1])], "seed", str(MAX_SEED)),
        ([tensor("seed", [2**63])], "seed", str(2**63 - 1)),
        ([tensor("seed", [10**40])], "seed", "data"),
        ([tensor("seed", [1]), tensor("label", [10])], "label", "0 to 9"),
        ([tensor("seed", [1]), tensor("label", [-1])], "label", "0 to 9"),
        ([tensor("seed", [1]), tensor("label", [2**62])], "label", "T-shirt/top"),
        ([tensor("seed", [1, 2]), tensor("label", [1])], "label", "1 entries"),
        ([tensor("seed", shape=[1])], "seed", "no data"),
        ([tensor("seed", [1], parameters={"binary_data_size": 8})], "seed", "exclude each other"),
        ([tensor("seed", [1], parameters={"shared_memory_region": "r"})], "shared_memory_region", "binary_data_size"),
        ([tensor("seed", [1], parameters={"binary_data_size": "8"})], "inputs[0].parameters.binary_data_size", "int"),
        ([tensor("seed", [1], extra=1)], "extra", "allowed are name, shape, datatype"),
        ([{"name": "seed"}], "inputs[0]", "missing required field `shape`"),
        ([7], "inputs[0]", "object"),
    ],
)  # fmt: skip
def test_a_tensor_that_is_not_allowed_is_named_with_what_is(inputs, field, says):
    named, text = refusal(*inputs)
    assert named == field, text
    assert says in text


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_binary_numbers_that_are_not_finite_are_refused(value):
    z = np.array([ROW], np.float32)
    z[0, 3] = value
    assert refusal(binary("z", z), after=z.tobytes()) == (
        "z",
        "z holds a number that is not finite in float32.",
    )


@pytest.mark.parametrize(
    ("size", "bytes_after", "says"),
    [
        (15, 16, "takes 16 bytes"),
        (24, 24, "takes 16 bytes"),
        (10**30, 16, "takes 16 bytes"),
        (16, 15, "15 are there"),
        (16, 0, "Inference-Header-Content-Length"),
        (16, 17, "17 bytes follow"),
    ],
)
def test_bytes_that_are_too_few_or_too_many_are_refused(size, bytes_after, says):
    one = binary("seed", np.array([1, 2]), size)
    assert says in refusal(one, after=bytes(bytes_after))[1]


def test_bytes_that_belong_to_no_tensor_are_refused():
    assert "8 bytes follow" in refusal(tensor("seed", [1]), after=bytes(8))[1]


def test_an_unconditional_model_takes_no_label():
    field, text = refusal(tensor("seed", [1]), tensor("label", [1]), contract=BARE)
    assert (field, text) == ("inputs", "There is no input 'label'; allowed are z or seed.")


@pytest.mark.parametrize("length", ["", "-1", "0", "1.5", "0x10", "²", "1 ", "99999", "9" * 5000])
def test_a_json_length_that_can_not_be_is_refused(length):
    with pytest.raises(InvalidField, match="allowed is the length of the JSON"):
        read_request(b'{"inputs": []}', length)


@pytest.mark.parametrize(
    ("fields", "field", "says"),
    [
        ({"parameters": {"trunction": 0.5}}, "trunction", "allowed are truncation, timeout"),
        ({"parameters": {"truncation": 0}}, "parameters.truncation", "> 0"),
        ({"parameters": {"truncation": 1.5}}, "parameters.truncation", "<= 1"),
        ({"parameters": {"truncation": "1"}}, "parameters.truncation", "float"),
        ({"parameters": {"timeout": -1}}, "parameters.timeout", ">= 0"),
        ({"parameters": {"timeout": 0.5}}, "parameters.timeout", "int"),
        ({"parameters": {"binary_data_output": 1}}, "parameters.binary_data_output", "bool"),
        ({"parameters": []}, "parameters", "object"),
        ({"id": 7}, "id", "str"),
        ({"inputs": {}}, "inputs", "array"),
        ({"outputs": ["image"]}, "outputs[0]", "object"),
        ({"outputs": [{"name": "image", "parameters": {"classification": 3}}]}, "classification", "binary_data"),
        ({"images": 1}, "images", "allowed are inputs, id"),
    ],
)  # fmt: skip
def test_a_field_that_is_not_allowed_is_named_with_what_is(fields, field, says):
    named, text = refusal(tensor("seed", [1]), **fields)
    assert named == field, text
    assert says in text


@pytest.mark.parametrize(
    "body", [b"", b"{", b"\xff", b"null1", b'{"inputs": [' + b"[" * 60_000, b'{"inputs": NaN}']
)
def test_a_body_that_is_no_json_is_refused(body):
    with pytest.raises((NotJson, InvalidField)):
        read_request(body, None)


def outputs(*names: str, binary_data_output: bool = False, **parameters: Any) -> bool:
    wanted = [{"name": name, "parameters": parameters} for name in names]
    body = {"inputs": [], "outputs": wanted, "parameters": {"binary_data_output": binary_data_output}}
    return read_outputs(read_request(json.dumps(body).encode(), None)[0])


def test_an_output_is_binary_where_it_says_so_or_else_the_request():
    assert not outputs()
    assert not outputs("image")
    assert outputs(binary_data_output=True)
    assert outputs("image", binary_data_output=True)
    assert outputs("image", binary_data=True)
    assert not outputs("image", binary_data=False, binary_data_output=True)
    assert not read_outputs(read_request(b'{"inputs": []}', None)[0])
    for names in (["pictures"], ["image", "z"], ["image", "image"]):
        with pytest.raises(InvalidField, match="output"):
            outputs(*names)


def test_pixels_are_written_row_by_row():
    pixels = np.arange(2 * 3 * 8 * 8, dtype=np.uint8).reshape(2, 3, 8, 8)
    document, content = write_response(pixels, False, "tiny", "12", "7")
    assert content == b""
    assert json.loads(document) == {
        "model_name": "tiny",
        "model_version": "12",
        "id": "7",
        "outputs": [
            {"name": "image", "datatype": "UINT8", "shape": [2, 3, 8, 8], "data": pixels.ravel().tolist()}
        ],
    }
    document, content = write_response(pixels, True, "tiny", "12", None)
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


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=8,
)
plausible_input = st.fixed_dictionaries(
    {
        "name": st.sampled_from(["z", "seed", "label", "none"]),
        "shape": st.lists(st.sampled_from([0, 1, 2, 8, 65]), max_size=3) | json_values,
        "datatype": st.sampled_from(["FP32", "INT64", "BYTES"]),
    },
    optional={
        "data": st.lists(st.integers(-1, 11) | st.floats(allow_nan=False), max_size=16) | json_values,
        "parameters": st.fixed_dictionaries({"binary_data_size": st.sampled_from([0, 8, 16, 32])})
        | json_values,
    },
)


@settings(max_examples=300, deadline=None)
@given(
    st.fixed_dictionaries({"inputs": st.lists(plausible_input, max_size=3)}) | json_values,
    st.binary(max_size=64),
)
def test_whatever_comes_is_read_or_refused(body, after):
    head = json.dumps(body).encode()
    for length in (None, str(len(head))):
        try:
            asked, rest = read_request(head + after, length)
            inputs = read_inputs(asked, rest, CONTRACT, LIMIT)
        except (InvalidField, NotJson):
            continue
        assert 1 <= inputs.n <= LIMIT
        assert len(inputs.label or ()) == inputs.n
