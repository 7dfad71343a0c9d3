"""What is open is said at once, each thing with what would mend it; and nothing is written."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto as T
from onnx import helper as h

from service.generator import contract
from service.generator.contract import parse
from tests.generators import Tiny, with_graph
from tests.importing import foreign
from tests.importing.foreign import save
from tests.importing.test_pictures import run


def refused(path: Path, *words: object) -> str:
    before = set(path.parent.iterdir())
    for way in (["--check"], ["--out", path.parent / "mine"]):
        result = run(path, *way, *words)
        assert result.exit_code == 1, result.output
    assert set(path.parent.iterdir()) == before
    return result.output


def test_every_fault_is_said_at_once_each_with_its_option(tmp_path):
    one = foreign.biggan()
    one.graph.node[-1].op_type = "Identity"  # no range to be seen by
    one.graph.initializer[1].ClearField("raw_data")
    one.graph.initializer[1].raw_data = np.full((24, 128), np.nan, np.float32).tobytes()
    one.graph.node.insert(1, h.make_node("RandomNormalLike", ["embedded"], ["drawn"], name="noise_7"))
    one.graph.node[2].input[1] = "drawn"
    said = refused(save(one, tmp_path / "theirs.onnx"))
    assert "hold NaN" in said
    assert "RandomNormalLike 'noise_7'" in said
    assert "--noise z" in said
    assert "--constant truncation=0.7" in said
    assert "--range -1..1" in said
    assert "\n4. " in said


def test_what_can_be_seen_is_not_asked_for_while_an_input_is_open(tmp_path):
    one = foreign.biggan()
    one.graph.node.extend(
        [h.make_node("Mul", ["image", "half"], ["dark"]), h.make_node("Add", ["dark", "half"], ["pixels"])]
    )
    one.graph.initializer.append(onnx.numpy_helper.from_array(np.array(0.5, np.float32), "half"))
    one.graph.output[0].CopyFrom(h.make_tensor_value_info("pixels", T.FLOAT, None))
    said = refused(save(one, tmp_path / "theirs.onnx"))
    assert "--constant truncation=0.7" in said
    assert "\n2. " not in said
    checked = run(tmp_path / "theirs.onnx", "--check", "--constant", "truncation=1")
    assert "RGB 16x16, NCHW, in 0 to 1" in checked.output


def test_an_option_mends_each_thing_that_was_asked_for(tmp_path):
    one = foreign.biggan()
    one.graph.input.append(h.make_tensor_value_info("w_avg", T.FLOAT, [24]))
    one.graph.node[3].input[0] = "moved"
    one.graph.node.insert(3, h.make_node("Add", ["scaled", "w_avg"], ["moved"]))
    path = save(one, tmp_path / "theirs.onnx")
    said = refused(path)
    assert "--constant w_avg=@w_avg.npy" in said
    np.save(tmp_path / "w_avg.npy", np.arange(24, dtype=np.float32) / 24)
    words = ["--constant", f"w_avg=@{tmp_path / 'w_avg.npy'}", "--constant", "truncation=0.7"]
    assert run(path, "--check", *words).exit_code == 0
    said = refused(path, *words, "--z", "z=12")
    assert "--z says 12 per image" in said
    assert "--z z=16" in said
    said = refused(path, *words[:2], "--constant", f"truncation=@{tmp_path / 'w_avg.npy'}")
    assert "--constant truncation has the shape [24], and the input is 'truncation', float32 [1]" in said


def test_a_check_of_a_good_file_says_what_it_was_taken_for_and_writes_nothing(tmp_path):
    result = run(save(foreign.keras(), tmp_path / "theirs.onnx"), "--check")
    assert result.exit_code == 0, result.output
    assert "input 'input_1', float32 [?, 16] is z" in result.output
    assert "input 'input_2', int32 [?, 1] takes the class, as an index: 4 classes" in result.output
    assert "grey 16x16, NHWC, in 0 to 1" in result.output
    assert [path.name for path in tmp_path.iterdir()] == ["theirs.onnx"]


def _two_inputs() -> onnx.ModelProto:
    one = foreign.conditional_dcgan()
    for node in one.graph.node:
        for i, name in enumerate(node.input):
            node.input[i] = {"noise": "a", "labels": "b"}.get(name, name)
    one.graph.input[0].name, one.graph.input[1].name = "a", "b"
    return one


def _ambiguous_axes() -> onnx.ModelProto:
    one = foreign.dcgan()
    one.graph.node.append(h.make_node("Slice", ["image", "from", "to", "axis"], ["narrow"]))
    for name, value in (("from", 0), ("to", 3), ("axis", 3)):
        one.graph.initializer.append(onnx.numpy_helper.from_array(np.array([value]), name))
    one.graph.output[0].CopyFrom(h.make_tensor_value_info("narrow", T.FLOAT, ["N", 3, 16, 3]))
    return one


def _flat() -> onnx.ModelProto:
    one = foreign.dcgan()
    one.graph.node.append(h.make_node("Flatten", ["image"], ["flat"]))
    one.graph.output[0].CopyFrom(h.make_tensor_value_info("flat", T.FLOAT, ["N", 768]))
    return one


def _custom() -> onnx.ModelProto:
    one = foreign.dcgan()
    one.graph.node[1].domain = "com.theirs"
    one.opset_import.append(h.make_opsetid("com.theirs", 1))
    return one


def _dropout() -> onnx.ModelProto:
    one = foreign.dcgan(opset=17)
    one.graph.initializer.append(onnx.numpy_helper.from_array(np.array(True), "on"))
    one.graph.node[1].CopyFrom(h.make_node("Dropout", ["first", "", "on"], ["first_"], name="drop_3"))
    return one


def _bernoulli() -> onnx.ModelProto:
    one = foreign.noisy()
    one.graph.node[2].CopyFrom(h.make_node("Bernoulli", ["maps"], ["drawn"], name="coin"))
    return one


def _batch_statistics() -> onnx.ModelProto:
    one = foreign.reshaping(1)
    one.graph.input[0].type.tensor_type.shape.dim[0].dim_param = "N"
    one.graph.node.insert(1, h.make_node("ReduceMean", ["flat"], ["mean"], axes=[0]))
    one.graph.node.insert(2, h.make_node("Sub", ["flat", "mean"], ["centred"]))
    one.graph.node[3].input[0] = "centred"
    one.graph.initializer[1].CopyFrom(onnx.numpy_helper.from_array(np.array([-1, 8, 4, 4]), "shape"))
    return one


def _no_rows() -> onnx.ModelProto:
    """A label that is added to z as it is: how many there are can't be seen."""
    one = foreign.reshaping(1)
    one.graph.input[0].type.tensor_type.shape.dim[0].dim_param = "N"
    one.graph.input.append(h.make_tensor_value_info("y", T.FLOAT, ["N", 1]))
    one.graph.node.insert(0, h.make_node("Add", ["z", "y"], ["moved"]))
    one.graph.node[1].input[0] = "moved"
    one.graph.initializer[1].CopyFrom(onnx.numpy_helper.from_array(np.array([-1, 8, 4, 4]), "shape"))
    return one


@pytest.mark.parametrize(
    ("make", "what", "mends", "options"),
    [
        (_two_inputs, "Which input is z", "--z a", ["--z", "a", "--label", "b"]),
        (_ambiguous_axes, "which axis holds the colours", "--layout nchw", ["--layout", "nchw"]),
        (_flat, "768 numbers: of what height and width", "--image 3x16x16", ["--image", "3x16x16"]),
        (_no_rows, "How many classes input 'y' takes", "--classes", ["--classes", "3"]),
        (foreign.noisy, "RandomNormalLike 'to_noise'", "--noise z", ["--noise", "none"]),
        (_custom, "Custom operators: com.theirs.Relu", "plain ONNX operators", None),
        (_dropout, "Dropout is left on, in Dropout 'drop_3'", "model.eval()", None),
        (_bernoulli, "Bernoulli 'coin'", "Export again without it", None),
        (_batch_statistics, "depends on the others of its batch", "model.eval()", None),
    ],
    ids=lambda value: value.__name__ if callable(value) else "",
)
def test_a_fault_is_named_with_what_mends_it(tmp_path, make, what, mends, options):
    path = save(make(), tmp_path / "theirs.onnx")
    said = refused(path)
    assert what in said
    assert mends in said
    if options is not None:
        result = run(path, "--check", *options)
        assert result.exit_code == 0, result.output


@pytest.mark.parametrize(
    ("name", "content", "mend"),
    [
        ("generator.pt", b"PK", "--torch package.module:factory --weights"),
        ("generator.h5", b"\x89HDF", "tf2onnx"),
        ("generator.onnx", b"no model", "Give a .onnx file"),
        ("generator.onnx", b"", "Give a .onnx file"),
    ],
)
def test_what_is_no_onnx_file_is_told_its_way(tmp_path, name, content, mend):
    (tmp_path / name).write_bytes(content)
    assert mend in refused(tmp_path / name)


def test_weights_that_are_not_beside_the_file_are_named(tmp_path):
    path = tmp_path / "theirs.onnx"
    onnx.save(foreign.dcgan(), path, save_as_external_data=True, location="theirs.data", size_threshold=0)
    (tmp_path / "theirs.data").unlink()
    said = refused(path)
    assert f"{tmp_path / 'theirs.data'} is not there" in said
    assert "NaN" not in said


def test_names_of_classes_come_from_a_file_and_are_counted(tmp_path):
    path = save(foreign.conditional_dcgan(), tmp_path / "theirs.onnx")
    names = tmp_path / "names.txt"
    names.write_text("кошка\nсобака белая\nC\nC++\nC#\n", "cp1251")
    assert "save it as UTF-8" in run(path, "--out", tmp_path / "mine", "--classes", names).output
    names.write_text("кошка\nсобака белая\nC\nC++\nC#\n", "utf-16")
    assert run(path, "--out", tmp_path / "mine", "--classes", names).exit_code == 0
    found = parse((tmp_path / "mine" / "generator.onnx").read_bytes())
    assert found.slugs == ["кошка", "собака-белая", "c", "c-plus-plus", "c-sharp"]
    assert "кошка, собака белая, C, C++, C#" in (tmp_path / "mine" / "README.md").read_text("utf-8")
    names.write_text("cat\nCat\n!!\nC\nC-\nsix\n", "utf-8")
    result = run(path, "--out", tmp_path / "other", "--classes", names)
    assert result.exit_code == 1
    assert "classes 0 and 1 have one name, 'Cat': rename one" in result.output
    assert "class 2, '!!', has neither a letter nor a digit" in result.output
    assert "classes 3 and 4, 'C' and 'C-', are both 'c' in addresses" in result.output
    assert "There are 6 names of classes, and the graph has rows for 5" in result.output


def test_more_names_than_the_graph_has_rows_are_refused_with_both_numbers(tmp_path):
    path = save(foreign.keras(), tmp_path / "theirs.onnx")
    assert "There are 5 names of classes, and the graph has rows for 4" in refused(path, "--classes", "5")
    assert run(path, "--check", "--classes", "3").exit_code == 0


def test_the_service_sends_a_foreign_file_to_import():
    draws = with_graph(
        lambda model: model.graph.node.append(h.make_node("RandomNormal", [], ["x"], shape=[1]))
    )
    for file in (*(one.SerializeToString() for one in (foreign.dcgan(), _custom(), foreign.keras())), draws):
        with pytest.raises(contract.ContractError) as refusal:
            contract.parse(file)
        assert "training export" not in str(refusal.value)
        assert "`ganserve import FILE --out models/NAME`" in str(refusal.value)


def test_a_file_of_the_contract_is_imported_as_it_is_with_its_names(tmp_path):
    tiny = Tiny(golden_samples=0)
    (tmp_path / "generator.onnx").write_bytes(tiny.file())
    result = run(tmp_path / "generator.onnx", "--out", tmp_path / "mine")
    assert result.exit_code == 0, result.output
    found = parse((tmp_path / "mine" / "generator.onnx").read_bytes())
    assert found.classes == list(tiny.classes or ())
    assert len(found.golden) == 10


def test_a_model_of_that_name_stays_as_it_was_when_the_file_is_refused(tmp_path):
    path = save(foreign.dcgan(), tmp_path / "theirs.onnx")
    assert run(path, "--out", tmp_path / "mine").exit_code == 0
    before = {file: file.read_bytes() for file in (tmp_path / "mine").iterdir()}
    assert run(save(_dropout(), path), "--out", tmp_path / "mine").exit_code == 1
    assert {file: file.read_bytes() for file in (tmp_path / "mine").iterdir()} == before
