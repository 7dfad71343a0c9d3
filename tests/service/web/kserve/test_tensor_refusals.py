"""Tensors, fields and bytes that are not allowed: each is named with what is."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.errors import InvalidField, NotJson
from service.generator.latents import MAX_SEED
from service.web.kserve.tensors import read_inputs, read_request
from tests.service.web.kserve.tensors import BARE, CONTRACT, LIMIT, ROW, binary, refusal, tensor


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
        n = len(next(one for one in (inputs.seeds, inputs.z) if one is not None))
        assert 1 <= n <= LIMIT
        assert len(inputs.label or ()) == n
