"""A file that looks its label up -> the same with weights over classes in the place of the label.

A row of one 1 draws what the label drew: a row of a table is that row times the table.
"""

import msgspec
import onnx
from onnx import TensorProto, helper

from service.errors import ContractError
from service.generator.contract import SCHEMA_OF_ROLES, Contract
from service.generator.file.inputs import WEIGHTS, Input


def mixed(model: onnx.ModelProto, contract: Contract) -> tuple[onnx.ModelProto, Contract]:
    """The graph, and what its file is to say of itself.

    Raises ContractError: a generator without classes, or one that does more with a label than to look it up in tables of
    real numbers, a row for each class.
    """
    label, count = contract.label_name, contract.class_count
    if not count:
        raise ContractError("it has no classes that could be mixed", "serve it as it is")
    after = onnx.ModelProto()
    after.CopyFrom(model)
    graph = after.graph
    tables = {one.name: one for one in graph.initializer if one.data_type == TensorProto.FLOAT}
    for node in graph.node:
        if label not in node.input:
            continue
        table = tables.get(node.input[0])
        axis = next((one.i for one in node.attribute if one.name == "axis"), 0)
        if (
            node.op_type != "Gather"
            or table is None
            or len(table.dims) != 2
            or table.dims[0] != count
            or axis
        ):
            raise ContractError(
                f"its classes can't be mixed: {node.op_type} '{node.name}' does more with the label than to look it up",
                "serve it with one class per image, as it is",
            )
        node.CopyFrom(helper.make_node("MatMul", [WEIGHTS, table.name], list(node.output), node.name))
    (place,) = [i for i, value in enumerate(graph.input) if value.name == label]
    batch = graph.input[place].type.tensor_type.shape.dim[0]
    axes = [batch.dim_value or batch.dim_param or "N", count]
    graph.input[place].CopyFrom(helper.make_tensor_value_info(WEIGHTS, TensorProto.FLOAT, axes))
    try:
        onnx.checker.check_model(after)
    except onnx.checker.ValidationError as error:  # a branch or a loop has the label, too
        raise ContractError(
            f"its classes can't be mixed: {error}", "serve it with one class per image, as it is"
        ) from error
    inputs = [
        Input(WEIGHTS, "class_weights", [count]) if one.role == "label" else one for one in contract.declared
    ]
    return after, msgspec.structs.replace(contract, schema=SCHEMA_OF_ROLES, inputs=inputs)
