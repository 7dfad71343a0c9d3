"""Which pieces of which requests travel in the next forward pass. No threads, no clock of its own."""

from asyncio import AbstractEventLoop
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from msgspec import Struct
from numpy.typing import NDArray

from service.generator.latents import Seeded

Settle = Callable[[Any, BaseException | None], None]
"""Called once, on the event loop, with the answer or with why there is none."""


class Ride(NamedTuple):
    """A forward pass that is over; times of time.monotonic()."""

    began_at: float
    ended_at: float
    images: int


class Timing(Struct):
    """Where a request's time went, filled in on its way."""

    queue_seconds: float = 0.0
    """From acceptance to its first forward pass."""
    forward_seconds: float = 0.0
    """From there to the end of its last."""
    encode_seconds: float = 0.0
    ride: Ride | None = None
    """The last of its passes."""


@dataclass(eq=False, slots=True)
class Request:
    """A request's images, from admission to answer.

    z: float32 [n, z_dim], or the seeds of it, or whatever else the line's engine takes, a row an image; label: n classes or None; deadline and accepted_at: time.monotonic() seconds.
    """

    z: NDArray[Any] | Seeded
    label: Sequence[int] | None
    deadline: float
    accepted_at: float
    finish: Callable[[NDArray[Any]], Any]
    """Turns uint8 [n, C, H, W], or what else the line gives, into the answer, off the engine's thread."""
    loop: AbstractEventLoop
    """Where whoever asked waits."""
    settle: Settle
    timing: Timing
    effort: int = 1
    """What a byte of pixels takes `finish`, in bytes of a PNG. 0: it only copies them, which is done sooner than another
    thread is woken for it."""
    n: int = field(init=False)
    begun: int = 0
    """Images handed to a forward pass."""
    computed: int = 0
    """Images that came back."""
    images: NDArray[Any] | None = None
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
    def z(self) -> NDArray[Any] | Seeded:
        whole = self.request.z
        return whole if self.stop - self.start == self.request.n else whole[self.start : self.stop]


LATELY_SECONDS = 1.0


class RequestQueue:
    """Requests of one model, in turn: a request larger than a piece goes back to the end after each piece.

    So a pass is large where many ask, and small where one asks for much: who comes then waits for little. Where a
    pass takes the longer the more images it has, requests of one piece have passes of their own, in turn with
    those of larger ones, whose pieces are the shorter as long as there are any.
    """

    def __init__(self, max_batch: int, max_piece: int, shared_piece: int | None = None) -> None:
        """max_piece: most images of one request in a batch; shared_piece: of a larger one while others ask for
        less; None where a pass takes as long for few images as for many."""
        self.max_batch = max_batch
        self.max_piece = max_piece
        self.waiting_images = 0
        self._shared_piece = shared_piece
        self._small: OrderedDict[int, Request] = OrderedDict()
        self._large: OrderedDict[int, Request] = OrderedDict()
        self._large_is_next = False
        self._small_at = -LATELY_SECONDS
        """When a small request was last accepted."""

    def __len__(self) -> int:
        return len(self._small) + len(self._large)

    def append(self, request: Request) -> None:
        requests = self._of(request)
        requests[id(request)] = request
        if requests is self._small:
            self._small_at = request.accepted_at
        self.waiting_images += request.n

    def discard(self, request: Request) -> bool:
        """Takes out what of the request has not begun; False if nothing was waiting."""
        if self._of(request).pop(id(request), None) is None:
            return False
        self.waiting_images -= request.n - request.begun
        return True

    def next_batch(
        self, now: float, pass_seconds: float = 0.0, most: int | None = None
    ) -> tuple[list[Piece], list[Request]]:
        """Pieces for one forward pass, at most `max_batch` images; and the requests whose deadline has passed.

        most: images, if that is less. pass_seconds: what a pass of max_batch images takes. Who will have no time left at its end is late already:
        under overload the first in the queue always is nearly so, and all that is computed would be in vain.
        The late are taken out and never computed. Both lists may be empty.
        """
        now += pass_seconds * min(1.0, self.waiting_images / self.max_batch)
        room = self.max_batch if most is None else min(most, self.max_batch)
        if self._small and not (self._large and self._large_is_next):
            self._large_is_next = True
            return self._fill(self._small, room, self.max_piece, now)
        self._large_is_next = False
        if self._shared_piece is None or now > self._small_at + LATELY_SECONDS:
            return self._fill(self._large, room, self.max_piece, now)
        return self._fill(self._large, min(room, self.max_piece), self._shared_piece, now)

    def _of(self, request: Request) -> OrderedDict[int, Request]:
        small = self._shared_piece is not None and request.n <= self.max_piece
        return self._small if small else self._large

    def _fill(
        self, requests: OrderedDict[int, Request], room: int, most: int, now: float
    ) -> tuple[list[Piece], list[Request]]:
        pieces: list[Piece] = []
        expired: list[Request] = []
        unfinished: Request | None = None
        while room and requests:
            request = next(iter(requests.values()))
            if request is unfinished:  # all others have had their turn
                break
            if request.deadline <= now:
                self.discard(request)
                expired.append(request)
                continue
            stop = min(request.n, request.begun + min(room, most))
            pieces.append(Piece(request, request.begun, stop))
            taken = stop - request.begun
            room -= taken
            self.waiting_images -= taken
            request.begun = stop
            if stop == request.n:
                del requests[id(request)]
            else:
                requests.move_to_end(id(request))
                unfinished = unfinished or request
        return pieces, expired
