"""What a person says of a file: held to what its inputs can hold and its classes are, and drawn before anybody may choose it."""

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto as T

from service.generator.contract import METADATA_KEY
from tests.importing import foreign
from tests.importing.foreign import Node, save, weights
from tests.importing.odd.test_faults import refused
from tests.importing.odd.test_odd_graphs import generator, plain
from tests.importing.test_pictures import run

IMAGE = ("image", T.FLOAT, ["N", 3, 16, 16])


def labelled(
    *nodes: tuple[str, Node], element: int = T.INT64, rows: int = 10, **tensors: Any
) -> onnx.ModelProto:
    """A class is looked up in a table by the tensor `row_of`, which `nodes` make of `label`."""
    before = [
        *((name, "", node) for name, node in nodes),
        ("moved", "", ("Gather", ["table", "row_of"], {})),
        ("row", "", ("Add", ["z", "moved"], {})),
    ]
    return generator(
        ["N", 16], before, [], IMAGE, label=(element, ["N"]), table=weights(rows, 16, scale=2), **tensors
    )


def cast(element: int, rows: int) -> onnx.ModelProto:
    return labelled(("row_of", ("Cast", ["label"], {"to": T.INT64})), element=element, rows=rows)


@pytest.mark.parametrize(
    ("element", "rows", "says"),
    [
        (T.UINT8, 300, "class 256 is 0 there"),
        (T.INT8, 200, "class 128 is -128"),
        (T.FLOAT16, 2100, "class 2049 is 2048"),
    ],
)
def test_more_classes_than_the_labels_type_tells_apart_are_refused(tmp_path, element, rows, says):
    path = save(cast(element, rows), tmp_path / "theirs.onnx")
    assert says in refused(path, "--classes", rows)
    assert run(path, "--check", "--classes", 100).exit_code == 0


def _equals() -> onnx.ModelProto:
    """One-hot by hand: what is beyond is no class."""
    before = [
        ("column", "", ("Unsqueeze", ["label", "one"], {})),
        ("is_it", "", ("Equal", ["column", "all"], {})),
        ("hot", "", ("Cast", ["is_it"], {"to": T.FLOAT})),
        ("moved", "", ("MatMul", ["hot", "table"], {})),
        ("row", "", ("Add", ["z", "moved"], {})),
    ]
    more: dict[str, Any] = {
        "one": np.array([1]),
        "all": np.arange(10)[None],
        "table": weights(10, 16, scale=2),
    }
    return generator(["N", 16], before, [], IMAGE, label=(T.INT64, ["N"]), **more)


def by(op: str, *given: str) -> Callable[[], onnx.ModelProto]:
    held: dict[str, Any] = {"one": np.array(1), "none": np.array(0), "nine": np.array(9), "ten": np.array(10)}
    return lambda: labelled(("row_of", (op, ["label", *given], {})), **{name: held[name] for name in given})


ALIKE = {
    "a remainder": (by("Mod", "ten"), 12, "10 ('10') as 0 ('0'), 11 ('11') as 1 ('1')", 10),
    "cut off": (by("Clip", "none", "nine"), 12, "10 ('10') as 9 ('9')", 10),
    "one-hot by hand": (_equals, 12, "11 ('11') as 10 ('10')", 10),
    "one more": (_equals, 11, "Class 10 ('10') draws what -1 and 19 do, which are no classes", 10),
    "from 1": (by("Sub", "one"), 10, "Class 0 ('0') draws what label 10 does", None),
    "some from 1": (by("Sub", "one"), 6, "Class 0 ('0') draws what label 10 does", None),
    "cut within": (lambda: labelled(("small", ("Cast", ["label"], {"to": T.UINT8})), ("row_of", ("Cast", ["small"], {"to": T.INT64})), rows=260), 260, "256 ('256') as 0 ('0')", 256),
}  # fmt: skip


@pytest.mark.parametrize("case", ALIKE)
def test_classes_that_the_graph_does_not_tell_apart_are_named(tmp_path, case):
    make, classes, says, fits = ALIKE[case]
    path = save(make(), tmp_path / "theirs.onnx")
    said = refused(path, "--classes", classes)
    assert says in said
    assert "\n2. " not in said
    if fits:
        done = run(path, "--check", "--classes", fits)
        assert done.exit_code == 0, done.output


def test_two_rows_of_a_table_that_are_one_are_remarked_on(tmp_path):
    one = labelled(("row_of", ("Identity", ["label"], {})))
    table = weights(10, 16, scale=2)
    table[7] = table[3]
    next(tensor for tensor in one.graph.initializer if tensor.name == "table").raw_data = table.tobytes()
    done = run(save(one, tmp_path / "theirs.onnx"), "--check")
    assert done.exit_code == 0, done.output
    assert "Of 10 classes the graph draws 7 ('7') as 3 ('3')" in done.output


def test_numbers_of_classes_that_none_has_are_refused_before_they_are_counted(tmp_path):
    path = save(
        labelled(("row_of", ("Mod", ["label", "ten"], {})), ten=np.array(10)), tmp_path / "theirs.onnx"
    )
    assert "There are 999,999,999,999 classes; 65,536 are taken" in refused(path, "--classes", 999999999999)
    (tmp_path / "empty.txt").write_text("\n \n")
    for text in ("0", "9" * 30, "9" * 5000, tmp_path / "empty.txt"):
        assert run(path, "--check", "--classes", text).exit_code == 2


def test_names_in_the_files_own_metadata_need_a_label_and_all_its_rows(tmp_path):
    said = {
        "schema": 1,
        "name": "x",
        "z_dim": 16,
        "image": {"channels": 3, "height": 16, "width": 16},
        "golden": [],
    }
    for make, names, says in (
        (plain, ["a", "b"], "no input takes a class, so the 2 names in the file's own metadata are left out"),
        (lambda: cast(T.INT32, 10), ["a"], "the graph has rows for 10 classes, and 1 of them will be served"),
        (lambda: cast(T.INT32, 10), [], "as an index: 10 classes"),
    ):
        one = make()
        one.metadata_props.add(key=METADATA_KEY, value=json.dumps(said | {"classes": names}))
        done = run(save(one, tmp_path / "theirs.onnx"), "--check")
        assert done.exit_code == 0, done.output
        assert says in done.output


def with_k(element: int, *nodes: tuple[str, Node], axes: tuple = ()) -> onnx.ModelProto:
    """z is multiplied by the tensor `by`, which `nodes` make of the input `k`."""
    before = [*((name, "", node) for name, node in nodes), ("row", "", ("Mul", ["z", "by"], {}))]
    return generator(
        ["N", 16],
        before,
        [],
        IMAGE,
        k=(element, [*axes]),
        half=np.array(0.5, np.float32),
        one=np.array(1, np.float32),
    )


CONSTANTS = [
    (T.INT64, "1.9", "in which 1.9 is 1"),
    (T.INT64, "1e30", "in which 1e+30 is"),
    (T.UINT8, "-1", "in which -1 is 255"),
    (T.UINT8, "300", "in which 300 is 44"),
    (T.FLOAT16, "1e6", "in which 1000000.0 is inf"),
    (T.FLOAT, "1e39", "in which 1e+39 is inf"),
    (T.FLOAT, "1e-60", "in which 1e-60 is 0.0"),
    (T.BOOL, "0.5", "in which 0.5 is True"),
]


@pytest.mark.parametrize(("element", "value", "says"), CONSTANTS)
def test_a_constant_that_its_input_can_not_hold_is_refused(tmp_path, element, value, says):
    path = save(with_k(element, ("by", ("Cast", ["k"], {"to": T.FLOAT}))), tmp_path / "theirs.onnx")
    assert says in refused(path, "--constant", f"k={value}")
    assert run(path, "--check", "--constant", "k=1").exit_code == 0


@pytest.mark.parametrize(
    "value", ["nan", "inf", "", "1x", "@words.npy", "@z.npz", "@days.npy", "@none.npy", "@no.npy"]
)
def test_a_constant_that_is_no_number_is_usage(tmp_path, monkeypatch, value):
    monkeypatch.chdir(tmp_path)
    np.save("words.npy", np.array(["a"]))
    np.save("days.npy", np.array(["2020-01-01"], "M8[D]"))
    np.savez("z.npz", a=np.ones(1))
    (tmp_path / "none.npy").write_bytes(b"PK\3\4")
    path = save(with_k(T.FLOAT, ("by", ("Identity", ["k"], {}))), tmp_path / "theirs.onnx")
    done = run(path, "--check", "--constant", f"k={value}")
    assert done.exit_code == 2
    assert "k=" in done.output


def test_an_input_is_one_thing(tmp_path):
    path = save(with_k(T.FLOAT, ("by", ("Identity", ["k"], {})), axes=("N", 1)), tmp_path / "theirs.onnx")
    said = refused(path, "--constant", "k=1", "--scalar", "k=0..1:0.5")
    assert "Input 'k' is given by --constant and by --scalar" in said
    assert run(path, "--check", "--constant", "k=1", "--constant", "k=2").exit_code == 2
    for range_ in ("0..1e999:1", "0..1e39:1"):
        assert run(path, "--check", "--scalar", f"k={range_}").exit_code == 2


CHOSEN: dict[str, tuple[tuple[tuple[str, Node], ...], str, str]] = {
    "a root": ((("by", ("Sqrt", ["k"], {})),), "-1..1:0.5", "at -1, -0.75 the graph gives NaN"),
    "a logarithm": ((("log", ("Log", ["k"], {})), ("by", ("Sub", ["log", "log"], {}))), "0..1:0.5", "at 0 the graph"),
    "infinity within": ((("by", ("Log", ["k"], {})),), "0..1:0.5", "at 0 the graph gives NaN or infinity, or nothing but"),
    "a pole between": ((("from", ("Sub", ["k", "half"], {})), ("in", ("Div", ["one", "from"], {})), ("by", ("Mul", ["in", "from"], {}))), "0..1:0.4", "at 0.5 the graph"),
}  # fmt: skip


@pytest.mark.parametrize("case", CHOSEN)
@pytest.mark.filterwarnings("error")
def test_what_requests_may_choose_is_drawn_first(tmp_path, case):
    nodes, range_, says = CHOSEN[case]
    path = save(with_k(T.FLOAT, *nodes, axes=("N", 1)), tmp_path / "theirs.onnx")
    assert says in refused(path, "--scalar", f"k={range_}")


@pytest.mark.filterwarnings("error")
def test_several_classes_at_once_are_drawn_first(tmp_path):
    one = foreign.conditional_dcgan()
    more = [
        ("Sub", ["largest", "half"], "rest"),
        ("Sqrt", ["rest"], "root"),
        ("Mul", ["labels", "root"], "scaled"),
    ]
    one.graph.node[0].input[1] = "scaled"
    for op, given, name in reversed(more):
        one.graph.node.insert(0, onnx.helper.make_node(op, given, [name]))
    one.graph.node.insert(
        0, onnx.helper.make_node("ReduceMax", ["labels"], ["largest"], axes=[1], keepdims=1)
    )
    one.graph.initializer.append(onnx.numpy_helper.from_array(np.array(0.6, np.float32), "half"))
    path = save(one, tmp_path / "theirs.onnx")
    assert "Of several classes at once" in refused(path)
    assert run(path, "--check", "--classes", "4").exit_code == 0
