"""What all protocols share that draw: one deadline, a model that is in memory, quotas, the headers of the reply.

A protocol translates its request into a Draw, and the images into its reply. connection/wire.py has no task to wait in:
requests for models that are not in memory it leaves to the routes.
"""

import time
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from service import metrics
from service.batching.request_queue import Timing
from service.drawing.draw import Draw
from service.drawing.formats import MEDIA_TYPES, preferred
from service.drawing.sampler import SampleRequest, resolve
from service.errors import DeadlinePassed
from service.registry.model import Idle, Model
from service.web.http.asgi import Call, Reply, Scope, header, unless_client_goes

T = TypeVar("T")


@dataclass(slots=True)
class DrawingCall:
    """A request that draws: its model, which is in memory, and when its answer is due, in time.monotonic() seconds."""

    call: Call
    model: Model
    deadline: float

    @classmethod
    async def begin(cls, call: Call, timeout: float | None, find: Callable[[], Model]) -> "DrawingCall":
        """Wait until the model that `find` finds is in memory, at most until the answer is due.

        timeout: the client's seconds, if it has some. Raises what `awake` raises.
        """
        deadline = deadline_of(call.begun, timeout, call.models.settings.timeout_seconds)
        return cls(call, await awake(call, deadline, find), deadline)

    @property
    def most_images(self) -> int:
        """Of this request; of large images fewer."""
        limit = self.call.models.settings.max_images_per_request
        return self.model.contract.image.most_images(limit)

    def resolve(self, asked: SampleRequest) -> Draw:
        """Raises InvalidField."""
        return resolve(asked, self.model, self.most_images)

    async def finish(self, draw: Draw, work: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """What `work` makes of the images, which count against the key's quotas before it begins.

        Raises QuotaExceeded; ClientGone, with the work cancelled; what the work raises.
        """
        self.call.draw = draw
        self.call.take(len(draw.z))
        return await unless_client_goes(self.call.receive, work())

    async def reply(
        self, draw: Draw, media_type: str, work: Callable[[], Coroutine[Any, Any, bytes]]
    ) -> Reply:
        """The body that `work` makes, with the headers of what was drawn. Raises what `finish` raises."""
        body = await self.finish(draw, work)
        return Reply(200, media_type, body, drawn_headers(draw))


def deadline_of(begun: float, timeout: float | None, longest: float) -> float:
    """When the answer is due, in time.monotonic() seconds.

    begun: when the head of the request came, by the same clock. timeout: the client's, if it has one. longest: the
    service's.
    """
    return begun + (longest if timeout is None else min(timeout, longest))


async def awake(call: Call, deadline: float, find: Callable[[], Model]) -> Model:
    """The model that `find` finds, loaded if it was idle: in memory until the caller waits for something.

    Raises what `find` raises; NotReady; DeadlinePassed and ClientGone, while the model goes on being loaded.
    """
    while True:
        model = find()
        try:
            model.require_ready()
            return model
        except Idle as idle:
            if (left := deadline - time.monotonic()) <= 0:
                metrics.refused.labels("deadline").inc()
                raise DeadlinePassed(f"The deadline passed. {idle}") from None
        await unless_client_goes(call.receive, call.rollout.wake(model, left))


def accepted(scope: Scope, among: Sequence[str] = tuple(MEDIA_TYPES)) -> str | None:
    """The format of `among` that the client's Accept header likes best; None where it says nothing of use."""
    return preferred(header(scope, b"accept"), among)


def drawn_headers(draw: Draw) -> dict[str, str]:
    """Of a reply with images that were drawn: their address, and how long it took."""
    return address_headers(draw) | {"server-timing": timing_of(draw.timing)}


def address_headers(draw: Draw) -> dict[str, str]:
    """Where the images can be asked for again: model, version, labels and seeds."""
    headers = model_headers(draw.model)
    if draw.seeds is not None:
        headers["ganserve-seeds"] = _span(draw.seeds)
    if draw.label is not None:
        # One index if all are the same: headers must stay within what proxies accept.
        same = len(set(draw.label)) == 1
        headers["ganserve-labels"] = str(draw.label[0]) if same else ",".join(map(str, draw.label))
    return headers


def model_headers(model: Model) -> dict[str, str]:
    return {
        "ganserve-model": model.name,
        "ganserve-version": model.version,
        "ganserve-engine": model.engine.name,
    }


def timing_of(timing: Timing) -> str:
    """A Server-Timing header's value, in milliseconds."""
    return (
        f"queue;dur={1000 * timing.queue_seconds:.2f}, forward;dur={1000 * timing.forward_seconds:.2f}, "
        f"encode;dur={1000 * timing.encode_seconds:.2f}"
    )


def _span(seeds: range) -> str:
    return str(seeds[0]) if len(seeds) == 1 else f"{seeds[0]}-{seeds[-1]}"
