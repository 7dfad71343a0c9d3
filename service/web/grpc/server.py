"""KServe V2 over gRPC, as Triton's clients speak it, and gRPC's health protocol: what /v2 does, on a port of its own.

What Triton has beside (shared memory, settings of traces and logs) is UNIMPLEMENTED.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from functools import partial
from typing import Any

import grpc

from service.keys import Scope
from service.web.front import Front
from service.web.grpc import tensors
from service.web.grpc.calls import Desk, Refused, answered
from service.web.grpc.documents import TELLS, told
from service.web.grpc.messages import HEALTH, INFERENCE, HealthResponse, StreamResponse, kinds
from service.web.grpc.streams import in_order
from service.web.http.asgi import Call
from service.web.kserve import inference
from service.web.kserve.messages import InferParameters
from service.web.kserve.tensors import read_outputs
from service.web.operations import probes

Work = Callable[[Call, Any], Awaitable[Any]]
Context = Any

_SCOPES: Mapping[str, Scope | None] = {
    "ServerLive": None,
    "ServerReady": None,
    "RepositoryModelLoad": "admin",
    "RepositoryModelUnload": "admin",
}
_LOOK_SECONDS = 0.25
"""How old a watcher's news of the health may be."""


class GrpcServer:
    """Of one worker; all of them listen on the same port, and the kernel deals connections out."""

    def __init__(self, front: Front, port: int, hosts: list[str]) -> None:
        """hosts: IP addresses to listen on."""
        self._front = front
        self._desk = Desk(front)
        self._server = grpc.aio.server(
            options=[
                ("grpc.max_receive_message_length", front.models.settings.max_body_bytes),
                ("grpc.max_send_message_length", -1),
                ("grpc.so_reuseport", 1),
            ]
        )
        documents = {name: self._document(name) for name in TELLS}
        streamed = self._handler(grpc.stream_stream_rpc_method_handler, "ModelStreamInfer", self._stream)
        inferred = self._handler(grpc.unary_unary_rpc_method_handler, "ModelInfer", self._infer)
        methods = documents | {"ModelInfer": inferred, "ModelStreamInfer": streamed}
        health = {
            "Check": self._handler(grpc.unary_unary_rpc_method_handler, "Check", self._check, HEALTH),
            "Watch": self._handler(grpc.unary_stream_rpc_method_handler, "Watch", self._watch, HEALTH),
        }
        self._server.add_generic_rpc_handlers(
            [
                grpc.method_handlers_generic_handler(INFERENCE, methods),
                grpc.method_handlers_generic_handler(HEALTH, health),
            ]
        )
        for host in hosts:
            self._server.add_insecure_port(f"[{host}]:{port}" if ":" in host else f"{host}:{port}")

    async def start(self) -> None:
        await self._server.start()

    async def stop(self, grace_seconds: float) -> None:
        """Take no call any more; those that run have so long to end."""
        await self._server.stop(grace_seconds)

    def _handler(self, kind: Callable[..., Any], method: str, answer: Any, service: str = INFERENCE) -> Any:
        request, reply = kinds(service, method)
        return kind(
            answer, request_deserializer=request.FromString, response_serializer=reply.SerializeToString
        )

    def _document(self, method: str) -> Any:
        async def answer(request: Any, context: Context) -> Any:
            work = partial(told, method, request=request)
            scope = _SCOPES.get(method, "sample")
            return await answered(context, self._desk.outcome(f"/{INFERENCE}/{method}", scope, context, work))

        return self._handler(grpc.unary_unary_rpc_method_handler, method, answer)

    async def _infer(self, request: Any, context: Context) -> Any:
        work = partial(infer, request=request, context=context)
        route = f"/{INFERENCE}/ModelInfer"
        return await answered(context, self._desk.outcome(route, "sample", context, work))

    async def _stream(self, requests: AsyncIterator[Any], context: Context) -> AsyncIterator[Any]:
        route = f"/{INFERENCE}/ModelStreamInfer"

        async def answer(request: Any) -> Any:
            work = partial(infer, request=request, context=context)
            found = await self._desk.outcome(route, "sample", context, work)
            if isinstance(found, Refused):
                return StreamResponse(error_message=found.text, infer_response={"id": request.id})
            # As Triton marks it where it was asked to: each answer is the last of its request.
            if request.parameters["triton_enable_empty_final_response"].bool_param:
                found.parameters["triton_final_response"].bool_param = True
            return StreamResponse(infer_response=found)

        async for one in in_order(requests, answer):
            yield one

    async def _check(self, request: Any, context: Context) -> Any:
        """The service's own name, the protocol's, or that of a model."""
        if request.service not in ("", INFERENCE, *self._front.models):
            await context.abort(grpc.StatusCode.NOT_FOUND, f"There is no '{request.service[:64]}' here.")
        return self._health(request.service)

    async def _watch(self, request: Any, context: Context) -> AsyncIterator[Any]:
        last = None
        while not context.done():
            if (now := self._health(request.service)) != last:
                yield now
            last = now
            await asyncio.sleep(_LOOK_SECONDS)

    def _health(self, service: str) -> Any:
        front, models = self._front, self._front.models
        if service in ("", INFERENCE):
            is_ready = probes.is_ready(models, front.draining)
        elif service in models:
            is_ready = not front.draining and models[service].state in ("ready", "idle")
        else:
            return HealthResponse(status="SERVICE_UNKNOWN")
        return HealthResponse(status="SERVING" if is_ready else "NOT_SERVING")


async def infer(call: Call, request: Any, context: Context) -> Any:
    """ModelInferResponse of a ModelInferRequest. Raises the errors of the taxonomy."""
    asked, binary = tensors.read(request)
    parameters = asked.parameters or InferParameters()
    if (seconds := context.time_remaining()) is not None:
        parameters.timeout = min(parameters.timeout or 2**62, max(1, int(seconds * 1e6)))
    asked.parameters = parameters
    write = partial(tensors.write, asked.id, read_outputs(asked))
    _, answer = await inference.drawn(call, request.model_name, asked.model_version, asked, binary, write)
    return answer
