"""The messages are those of Triton's own client: same names, numbers and types."""

from google.protobuf.descriptor_pb2 import FileDescriptorProto
from tritonclient.grpc import model_config_pb2, service_pb2

from service.web.grpc.documents import TELLS
from service.web.grpc.messages import INFERENCE, POOL, InferRequest
from service.web.grpc.tensors import read


def test_every_message_and_method_is_that_of_the_client():
    for theirs in (service_pb2.DESCRIPTOR, model_config_pb2.DESCRIPTOR):
        files = [FileDescriptorProto(), FileDescriptorProto()]
        theirs.CopyToProto(files[0])
        POOL.FindFileByName(theirs.name).CopyToProto(files[1])
        assert files[0] == files[1]
    assert set(TELLS) < set(POOL.FindServiceByName(INFERENCE).methods_by_name)


def test_tensors_may_be_in_fields_of_their_own():
    request = InferRequest(
        model_name="tiny",
        inputs=[
            {"name": "seed", "datatype": "INT64", "shape": [2], "contents": {"int64_contents": [5, 6]}},
            {"name": "z", "datatype": "FP32", "shape": [1, 2], "contents": {"fp32_contents": [0.5, -1]}},
            {"name": "text", "datatype": "BYTES", "shape": [1], "contents": {"bytes_contents": [b"bag"]}},
        ],
    )
    asked, binary = read(request)
    assert [one.parameters.binary_data_size for one in asked.inputs if one.parameters] == [16, 8, 7]
    assert (
        binary.tobytes().hex()
        == "05" + "00" * 7 + "06" + "00" * 7 + "0000003f" + "000080bf" + "03000000626167"
    )
