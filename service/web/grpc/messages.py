"""The messages of Triton's gRPC protocol, which has all of KServe V2's, and of gRPC's health protocol.

In a pool of their own: a client's package in the same process may bring the same names from files of its own.
"""

from pathlib import Path
from typing import Any

from google.protobuf.descriptor_pb2 import FileDescriptorSet
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass

POOL = DescriptorPool()
INFERENCE, HEALTH = "inference.GRPCInferenceService", "grpc.health.v1.Health"

_read = FileDescriptorSet.FromString((Path(__file__).parent / "protocols.binpb").read_bytes())
for _file in _read.file:
    POOL.Add(_file)  # pyright: ignore[reportAttributeAccessIssue]


def message(name: str) -> Any:
    """The class of a message, by its full name."""
    return GetMessageClass(POOL.FindMessageTypeByName(name))


def kinds(service: str, method: str) -> tuple[Any, Any]:
    """The classes of a method's request and reply."""
    found = POOL.FindServiceByName(service).methods_by_name[method]
    return message(found.input_type.full_name), message(found.output_type.full_name)


InferRequest, InferResponse = kinds(INFERENCE, "ModelInfer")
StreamResponse = message("inference.ModelStreamInferResponse")
HealthResponse = message("grpc.health.v1.HealthCheckResponse")
