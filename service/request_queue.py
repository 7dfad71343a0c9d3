"""Which pieces of which requests travel in the next forward pass. No threads, no clock of its own."""

from asyncio import AbstractEventLoop
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from service.latents import Seeded

Settle = Callable[[Any, BaseException | None], None]
"""Called once, on the event loop, with the answer or with why there is none."""


class Timing(Struct):
    """Where a request's time went, filled in on its way."""

    queue_seconds: float = 0.0
    """From acceptance to its first forward pass."""
    forward_seconds: float = 0.0
    """From there to the end of its last."""
    encode_seconds: float = 0.0


@dataclass(eq=False, slots=True)
class Request:
    """A request's images, from admission to answer.

    z: float32 [n, z_dim], or the seeds of it; label: n classes or None; deadline and accepted_at: time.monotonic() seconds.
    """

    z: NDArray[np.float32] | Seeded
    label: Sequence[int] | None
    deadline: float
    accepted_at: float
    finish: Callable[[NDArray[np.uint8]], Any]
    """Turns uint8 [n, C, H, W] into the answer, off the engine's thread."""
    loop: AbstractEventLoop
    """Where whoever asked waits."""
    settle: Settle
    timing: Timing
    n: int = field(init=False)
    begun: int = 0
    """Images handed to a forward pass."""
    computed: int = 0
    """Images that came back."""
    images: NDArray[np.uint8] | None = None
    begun_at: float = 0.0

    def __post_init__(self) -> None:
        self.n = len(self.z)


@dataclass(eq=False, slots=True)
class Piece:
    """Images start to stop of a request, in one batch."""

    request: Request
    start: int
    stop: int

    @property
    def z(self) -> NDArray[np.float32] | Seeded:
        whole = self.request.z
        return whole if self.stop - self.start == self.request.n else whole[self.start : self.stop]


class RequestQueue:
    """Requests of one model, in turn: a request larger than a piece goes back to the end after each piece.

    So a pass is large where many ask, and small where one asks for much: who comes then waits for little.
    """

    def __init__(self, max_batch: int, max_piece: int) -> None:
        """max_piece: most images of one request in a batch."""
        self.max_batch = max_batch
        self.max_piece = max_piece
        self.waiting_images = 0
        self._requests: OrderedDict[int, Request] = OrderedDict()

    def __len__(self) -> int:
        return len(self._requests)

    def append(self, request: Request) -> None:
        self._requests[id(request)] = request
        self.waiting_images += request.n

    def discard(self, request: Request) -> bool:
        """Takes out what of the request has not begun; False if nothing was waiting."""
        if self._requests.pop(id(request), None) is None:
            return False
        self.waiting_images -= request.n - request.begun
        return True

    def next_batch(self, now: float) -> tuple[list[Piece], list[Request]]:
        """Pieces for one forward pass, at most `max_batch` images; and the requests whose deadline has passed.

        The expired are taken out and never computed. Both lists may be empty.
        """
        pieces: list[Piece] = []
        expired: list[Request] = []
        room = self.max_batch
        unfinished: Request | None = None
        while room and self._requests:
            request = next(iter(self._requests.values()))
            if request is unfinished:  # all others have had their turn
                break
            if request.deadline <= now:
                self.discard(request)
                expired.append(request)
                continue
            stop = min(request.n, request.begun + min(room, self.max_piece))
            pieces.append(Piece(request, request.begun, stop))
            taken = stop - request.begun
            room -= taken
            self.waiting_images -= taken
            request.begun = stop
            if stop == request.n:
                del self._requests[id(request)]
            else:
                self._requests.move_to_end(id(request))
                unfinished = unfinished or request
        return pieces, expired
