import json

import onnx
import pytest
from onnx import TensorProto as T
from onnx import helper as h

from service.errors import ContractError
from service.generator import contract
from tests import generators
from tests.generators import CLASSES, Tiny


@pytest.mark.parametrize("classes", [CLASSES, None])
@pytest.mark.parametrize("image", [(1, 8, 8), (3, 16, 12)])
def test_what_was_written_is_read_back(classes, image):
    tiny = Tiny(classes=classes, image=image)
    assert contract.parse(tiny.file()) == tiny.contract()


def test_the_version_follows_the_bytes_of_the_file():
    file = Tiny().file()
    assert contract.version(file) == contract.version(bytes(file))
    assert contract.version(file) != contract.version(Tiny(weights_seed=1).file())
    assert len(contract.version(file)) == 12


@pytest.mark.parametrize("file", [b"", b"no model", b"\x89PNG\r\n\x1a\n", b"\xff" * 1000])
def test_what_is_not_onnx_is_refused(file):
    with pytest.raises(ContractError, match="not an ONNX file"):
        contract.parse(file)


def test_every_truncation_of_a_file_is_refused():
    file = Tiny(golden_samples=0).file()
    for size in range(0, len(file) - 1, 97):
        with pytest.raises(ContractError):
            contract.parse(file[:size])


def test_a_file_without_metadata_is_refused():
    with pytest.raises(ContractError, match="no metadata under the key 'ganserve'"):
        contract.parse(generators.with_metadata(None))


@pytest.mark.parametrize(
    "document",
    ["", "null", "[]", "{}", '{"schema": 1}', "{", '"text"', '{"schema": "1"}', "[" * 5000, '{"a":' * 5000],
)
def test_metadata_that_is_not_the_schema_is_refused(document):
    with pytest.raises(ContractError, match="metadata"):
        contract.parse(generators.with_metadata(document))


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"schema": 3}, "schema 3"),
        ({"z_dim": 0}, "z_dim"),
        ({"z_dim": 9}, "inputs are"),
        ({"classes": None, "golden": []}, "inputs are"),
        ({"classes": []}, "classes is empty"),
        ({"classes": ["Bag", "bag"]}, "classes 0 and 1 have one name"),
        ({"classes": ["T-shirt", "T shirt"]}, "are both 't-shirt'"),
        ({"classes": ["Bag", "!"]}, "neither a letter"),
        ({"classes": "Bag"}, "classes"),
        ({"classes": ["Bag", "Coat"]}, "not a class"),
        ({"image": {"channels": 2, "height": 8, "width": 8}}, "channels is 2"),
        ({"image": {"channels": 3, "height": 8, "width": 8}}, "outputs are"),
        ({"image": {"channels": 1, "height": 0, "width": 8}}, "height"),
        ({"image": {"channels": 1, "height": 8, "width": 5000}}, "width"),
        ({"golden": [{"seed": 1, "label": 10, "png": ""}]}, "not a class"),
        ({"golden": [{"seed": 1, "label": None, "png": ""}]}, "not a class"),
        ({"golden": [{"seed": -1, "label": 1, "png": ""}]}, "golden"),
        ({"golden": [{"seed": 2**53, "label": 1, "png": ""}]}, "golden"),
        ({"golden": [{"seed": 1, "label": 1, "png": "?"}]}, "golden"),
        ({"training": []}, "training"),
    ],
)
def test_a_contract_that_can_not_be_kept_is_refused(changes, says):
    with pytest.raises(ContractError, match=says):
        contract.parse(generators.with_contract(**changes))


def test_fields_of_later_writers_are_passed_over():
    assert contract.parse(generators.with_contract(colour="blue")).name == "tiny"


def _other_output_type(model):
    model.graph.output[0].type.tensor_type.elem_type = T.FLOAT


def _fixed_batch(model):
    for value in (*model.graph.input, *model.graph.output):
        value.type.tensor_type.shape.dim[0].dim_value = 1


def _renamed_input(model):
    model.graph.input[0].name = "noise"


def _another_input(model):
    model.graph.input.append(h.make_tensor_value_info("temperature", T.FLOAT, [1]))


def _another_output(model):
    model.graph.output.append(h.make_tensor_value_info("unit", T.FLOAT, ["N", 1, 8, 8]))


def _sequence_input(model):
    model.graph.input[0].CopyFrom(h.make_tensor_sequence_value_info("z", T.FLOAT, ["N", 8]))


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (_other_output_type, "outputs are"),
        (_fixed_batch, "inputs are"),
        (_renamed_input, "inputs are"),
        (_another_input, "inputs are"),
        (_another_output, "outputs are"),
        (_sequence_input, "inputs are"),
    ],
)
def test_a_graph_with_other_inputs_or_outputs_is_refused(change, says):
    with pytest.raises(ContractError, match=says):
        contract.parse(generators.with_graph(change))


def test_weights_outside_the_file_are_refused_wherever_they_hide():
    def external(tensor):
        tensor.ClearField("raw_data")
        tensor.data_location = T.EXTERNAL
        tensor.external_data.add(key="location", value="secret.bin")
        return tensor

    def initializer(model):
        external(model.graph.initializer[0])

    def constant(model):
        value = external(h.make_tensor("value", T.FLOAT, [1], [0.0]))
        model.graph.node.append(h.make_node("Constant", [], ["stray"], value=value))

    def in_a_branch(model):
        value = external(h.make_tensor("inner", T.FLOAT, [1], [0.0]))
        inner = h.make_tensor_value_info("inner", T.FLOAT, [1])
        branch = h.make_graph([], "branch", [], [inner], [value])
        model.graph.node.append(h.make_node("If", ["yes"], ["stray"], then_branch=branch, else_branch=branch))

    def sparse(model):
        values = external(h.make_tensor("value", T.FLOAT, [1], [0.0]))
        indices = h.make_tensor("indices", T.INT64, [1], [0])
        tensor = h.make_sparse_tensor(values, indices, [3])
        model.graph.node.append(h.make_node("Constant", [], ["stray"], sparse_value=tensor))

    def in_a_function(model):
        value = external(h.make_tensor("value", T.FLOAT, [1], [0.0]))
        nodes = [h.make_node("Constant", [], ["stray"], value=value)]
        model.functions.append(h.make_function("", "Stray", [], ["stray"], nodes, []))

    def in_training(model):
        value = external(h.make_tensor("inner", T.FLOAT, [1], [0.0]))
        model.training_info.add().initialization.initializer.append(value)

    def unmarked(model):
        external(model.graph.initializer[0]).ClearField("data_location")

    for change in (initializer, constant, in_a_branch, sparse, in_a_function, in_training, unmarked):
        with pytest.raises(ContractError, match="external data"):
            contract.parse(generators.with_graph(change))


def test_operators_that_would_load_other_code_are_refused_wherever_they_hide():
    node = h.make_node("Gelu", ["z"], ["stray"], domain="com.microsoft")
    branch = h.make_graph([node], "branch", [], [h.make_tensor_value_info("stray", T.FLOAT, None)])

    def imported(model):
        model.opset_import.append(h.make_opsetid("com.microsoft", 1))

    def not_imported(model):
        model.graph.node.append(node)

    def in_a_branch(model):
        model.graph.node.append(h.make_node("If", ["yes"], ["stray"], then_branch=branch, else_branch=branch))

    def in_a_function(model):
        model.functions.append(h.make_function("", "Stray", ["z"], ["stray"], [node], []))

    def a_function(model):
        nodes = [h.make_node("Relu", ["z"], ["stray"])]
        model.functions.append(h.make_function("com.microsoft", "Gelu", ["z"], ["stray"], nodes, []))

    for change in (imported, not_imported, in_a_branch, in_a_function, a_function):
        with pytest.raises(ContractError, match=r"custom operators are refused: com\.microsoft"):
            contract.parse(generators.with_graph(change))


def test_a_file_is_held_to_the_card_that_names_it():
    file = Tiny().file()
    card = f"# tiny\n\n| | |\n| --- | --- |\n{contract.card_row(file)}\n\n## More\n"
    assert contract.is_of_card(file, card)
    assert contract.is_of_card(
        file, card.upper().replace("| SHA-256 OF GENERATOR.ONNX", "| SHA-256 of generator.onnx")
    )
    assert not contract.is_of_card(file, "# tiny\n\nSHA-256 of generator.onnx: unknown\n")
    for other in (
        card.replace(contract.card_row(file), contract.card_row(file[:-1])),
        card + card.replace("`", "1"),
    ):
        with pytest.raises(ContractError, match="not that of its card"):
            contract.is_of_card(file, other)


def test_write_refuses_a_contract_that_its_graph_does_not_keep():
    with pytest.raises(ContractError, match="outputs are"):
        contract.write(Tiny().model(), Tiny(image=(3, 8, 8), golden_samples=0).contract())


def test_metadata_is_plain_json_that_other_readers_understand():
    model = onnx.load_model_from_string(Tiny().file())
    document = json.loads(next(prop.value for prop in model.metadata_props if prop.key == "ganserve"))
    assert document["schema"] == 1
    assert document["classes"] == list(CLASSES)
    assert document["image"] == {"channels": 1, "height": 8, "width": 8}
    assert [(sample["seed"], sample["label"]) for sample in document["golden"]] == [
        (0, 0),
        (1, 1),
        (2, 2),
        (3, 3),
    ]
