"""A gRPC call as the front answers requests: who may come in, what errors are called, and that each is counted."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

import grpc
from msgspec import Struct

from service.errors import QueueFull
from service.keys import Scope
from service.web.front import Front
from service.web.http import trace
from service.web.http.asgi import CLIENT_GONE, Call, Message
from service.web.http.problems import known, problem_of

# By the HTTP status of an error.
_STATUS = {
    400: grpc.StatusCode.INVALID_ARGUMENT,
    401: grpc.StatusCode.UNAUTHENTICATED,
    403: grpc.StatusCode.PERMISSION_DENIED,
    404: grpc.StatusCode.NOT_FOUND,
    422: grpc.StatusCode.INVALID_ARGUMENT,
    429: grpc.StatusCode.RESOURCE_EXHAUSTED,
    500: grpc.StatusCode.INTERNAL,
    503: grpc.StatusCode.UNAVAILABLE,
    504: grpc.StatusCode.DEADLINE_EXCEEDED,
}


class Refused(Struct):
    """Why there is no answer. metadata: the error's stable code, and when to try again."""

    status: grpc.StatusCode
    text: str
    metadata: tuple[tuple[str, str], ...]


class Desk:
    """Takes calls for the front of a worker."""

    def __init__(self, front: Front) -> None:
        self.front = front

    async def outcome(
        self,
        method: str,
        scope: Scope | None,
        context: grpc.aio.ServicerContext[Any, Any],
        work: Callable[[Call], Awaitable[Any]],
    ) -> Any:
        """What `work` answers, or Refused. method: /service/method; scope: what a key must be for."""
        begun, code, charge, call = time.monotonic(), 500, None, None
        metadata = {f"{name}": f"{value}" for name, value in context.invocation_metadata() or ()}
        id, traceparent = trace.request_id(metadata.get("x-request-id")), metadata.get("traceparent")
        try:
            charge = self.front.enter(scope, _credential(metadata))
            call = self.front.call({"headers": []}, _nothing_more, begun, charge)
            answer = await work(call)
            code = 200
            return answer
        except asyncio.CancelledError:
            code = CLIENT_GONE
            raise
        except Exception as error:
            if isinstance(error, QueueFull):
                async with self.front.refusals.turn():
                    pass  # what sending it takes grpc's own threads do
            traceparent = self.front.spans.traceparent(traceparent)
            problem, headers = problem_of(known(error, trace.who(id, traceparent)))
            code = problem.status
            told = [("ganserve-error", problem.code), ("x-request-id", id)]
            told += [(name, value) for name, value in headers.items() if name == "retry-after"]
            return Refused(_STATUS.get(code, grpc.StatusCode.INVALID_ARGUMENT), problem.detail, tuple(told))
        finally:
            draw = None if call is None else call.draw
            self.front.count(method, "POST", code, begun, charge, traceparent, draw, "application/grpc")


async def answered(context: grpc.aio.ServicerContext[Any, Any], outcome: Awaitable[Any]) -> Any:
    """The outcome of Desk; a refusal ends the call with its status."""
    answer = await outcome
    if isinstance(answer, Refused):
        await context.abort(answer.status, answer.text, answer.metadata)
    return answer


def _credential(metadata: dict[str, str]) -> str | None:
    """As Authorization has it."""
    if "authorization" in metadata:
        return metadata["authorization"]
    return f"Bearer {metadata['x-api-key']}" if "x-api-key" in metadata else None


async def _nothing_more() -> Message:
    """A call that its client gives up is cancelled: there is nothing to listen for."""
    return await asyncio.get_running_loop().create_future()
