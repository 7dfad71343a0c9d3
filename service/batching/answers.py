"""What has come of a pass -> the event loop: answers, encoded here or in other threads, and why there is none."""

import logging
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

from service import metrics
from service.batching.forward_pass import Line, Outcome, finish
from service.batching.request_queue import Piece, Request
from service.errors import EngineFailed, ModelBroke, failure_id

log = logging.getLogger("bentoml.ganserve.batcher")

MOST_HERE_BYTES = 2**17
"""Of pixels as PNG: 2 ms, which is 200x200 in RGB. What takes longer neither the event loop nor a lane does."""

SettleAll = Callable[[Sequence[Outcome]], None]


class Answers:
    """Of all lanes."""

    def __init__(self, encode_threads: int, settle: SettleAll, lanes: int = 1) -> None:
        """encode_threads: 0 where lanes encode, all but what is large. settle: called on the event loop with what has come of requests."""
        self.lanes_encode = not encode_threads
        self.settle = settle
        self._encoders = ThreadPoolExecutor(encode_threads or max(1, lanes // 2), "encode")

    def finish(self, line: Line, done: list[Request], settle: SettleAll) -> None:
        """Encode and settle: here, but for answers so large that whoever waits for the lane would notice."""
        if self.lanes_encode:
            large = [request for request in done if _is_large(request, line.queue.max_piece)]
            if small := [request for request in done if not large or request not in large]:
                settle(finish(line, small))
        else:
            large = done
        if large:
            self._encoders.submit(lambda: self.settle_there(finish(line, large)))

    def note_failure(self, line: Line, error: Exception) -> str:
        """What the log knows it by."""
        failure = failure_id()
        extra = {"event": "pass_failed", "failure": failure, "model": line.name}
        log.error("a forward pass of %s failed, failure %s", line.name, failure, exc_info=error, extra=extra)
        return failure

    def failed(self, pieces: list[Piece], error: Exception, failure: str) -> list[Outcome]:
        """The outcomes of the requests whose pass it was."""
        metrics.dropped.labels("engine_failed").inc(len(pieces))
        text = f"The forward pass failed; the server's log has the cause as failure {failure}."
        if isinstance(error, ModelBroke):
            return [(piece.request, None, ModelBroke(f"{error}", failure)) for piece in pieces]
        return [(piece.request, None, EngineFailed(text, failure)) for piece in pieces]

    def settle_there(self, outcomes: Sequence[Outcome]) -> None:
        """Tell the event loop: once for all, because each time wakes it."""
        try:
            outcomes[0][0].loop.call_soon_threadsafe(self.settle, outcomes)
        except RuntimeError:
            log.debug("answers came after the event loop had closed")

    def close(self) -> None:
        """Wait for what is being encoded."""
        self._encoders.shutdown()


def _is_large(request: Request, most_images: int) -> bool:
    """Whether whoever waits for the lane would notice how long its answer takes."""
    if not request.effort:
        return False
    assert request.images is not None
    return request.n > most_images or request.images.nbytes * request.effort > MOST_HERE_BYTES
