"""Whether a request may wait: by images, by model, and by time. No threads, no clock.

Images are counted by their pixels: a large one is several (`Line.counts_as`).
"""

from math import ceil

from prometheus_client import Counter

from service import metrics
from service.batching.forward_pass import Line
from service.errors import QueueFull

MOST_RETRY_SECONDS = 60
_OWN_TIMES = 4
_FULL_SECONDS = 0.002  # in which a lane does little of what waits
_STEADY = 0.8  # of the time that a request has


class Admission:
    """How much may be accepted and not yet answered.

    Of several models each keeps a part of the queue for itself, half of it between them, so that a flood of
    requests for one leaves room for the others; a request of `most_request_images` still fits beside that.
    """

    def __init__(
        self, lanes: int, max_queue_images: int, most_request_images: int, max_wait_seconds: float
    ) -> None:
        """lanes: passes that run at once. max_wait_seconds: for what comes before a request's last forward pass, as it is expected; or four times what its own
        images take."""
        self.accepted_images = 0
        self.images_by_model: dict[str, int] = {}
        """Accepted and not yet answered, of all versions of a model together."""
        self.max_queue_images = max_queue_images
        self.most_request_images = most_request_images
        self.lanes = lanes
        self._spare_images = max_queue_images - most_request_images
        self._kept_images = 0
        self._max_wait_seconds = max_wait_seconds
        self._lines: list[Line] = []
        self.is_refusing = False
        """Whether the last who asked was refused."""
        self._full: tuple[QueueFull, Counter] | None = None
        self._full_until = 0.0

    def add(self, line: Line) -> None:
        self._lines.append(line)
        self.images_by_model.setdefault(line.name, 0)
        self._kept_images = self._spare_images // (2 * len(self.images_by_model))

    def remove(self, line: Line) -> None:
        """Of which nothing is accepted. A model that had several versions keeps its part with the others."""
        self._lines.remove(line)
        if not any(other.name == line.name for other in self._lines):
            del self.images_by_model[line.name]
        self._kept_images = self._spare_images // (2 * max(1, len(self.images_by_model)))

    def take(self, line: Line, n: int) -> None:
        n *= line.counts_as
        self.images_by_model[line.name] += n
        self.accepted_images += n

    def give_back(self, line: Line, n: int) -> None:
        n *= line.counts_as
        self.images_by_model[line.name] -= n
        self.accepted_images -= n

    def check(self, line: Line, n: int, seconds_left: float) -> None:
        """Raises QueueFull if n images more are too many, or would come to nothing before `seconds_left` are over."""
        self.is_refusing = True
        free = self._free_images(line)
        if (counted := n * line.counts_as) > free:
            metrics.child(metrics.refused, "queue_full").inc()
            large = f" Each of these counts as {line.counts_as}." if line.counts_as > 1 else ""
            raise QueueFull(
                f"{self.accepted_images} images are waiting; {counted} more would pass the limit of {self.accepted_images + free}.{large}",
                self._retry_seconds(line),
            )
        # Machines are not steady; and at the end of its wait comes its own pass.
        in_time = _STEADY * (seconds_left - line.full_pass_seconds)
        # Who asks for much may wait for much: of two who each ask for a minute's work, the second is not turned away.
        own = (
            _OWN_TIMES * ceil(n / line.queue.max_batch) * line.full_pass_seconds / min(line.lanes, self.lanes)
        )
        most = max(0.0, min(max(self._max_wait_seconds, own), in_time))
        if (wait := self._wait_seconds(line, n)) > most:
            metrics.child(metrics.refused, "wait").inc()
            raise QueueFull(
                f"What is waiting before these images takes some {wait:.1f} s; it may take {most:.1f}.",
                self._retry_seconds(line),
            )
        self.is_refusing = False

    def full(self, now: float) -> QueueFull | None:
        """Why not even one image of any model could be accepted now, or _FULL_SECONDS ago; None if one could.

        now: time.monotonic() seconds. Cheap: in a flood it is most of what is asked.
        """
        if now >= self._full_until:
            self._full, self._full_until = self._find_full(), now + _FULL_SECONDS
        if self._full is None:
            self._full_until = 0.0
            return None
        error, refused = self._full
        refused.inc()
        return error

    def _find_full(self) -> tuple[QueueFull, Counter] | None:
        reason = "queue_full"
        for line in self._lines:
            if self._free_images(line) >= line.counts_as:
                if self._wait_seconds(line, 1) <= self._max_wait_seconds:
                    return None
                reason = "wait"
        if not self._lines:
            return None
        text = f"{self.accepted_images} images are waiting, and no more can."
        error = QueueFull(text, self._retry_seconds(self._lines[0]))
        return error, metrics.child(metrics.refused, reason)

    def _free_images(self, line: Line) -> int:
        """Images that the line may have more, beside what the others keep for themselves."""
        free = self.max_queue_images - self.accepted_images
        for name, accepted in self.images_by_model.items():
            if name != line.name and accepted < self._kept_images:
                free -= self._kept_images - accepted
        return free

    def _wait_seconds(self, line: Line, n: int) -> float:
        """Until a request for n images has its last turn: models have equal time on the lanes, those with few all that theirs have."""
        if not (seconds := line.lane_seconds(n)):
            return 0.0
        part = self.lanes
        if others := [other.lanes for other in self._lines if other is not line and other.queue]:
            part = max(part / (1 + len(others)), part - sum(others))
        return seconds / min(part, line.lanes)

    def _retry_seconds(self, line: Line) -> int:
        """Until all that waits now is done."""
        return min(MOST_RETRY_SECONDS, max(1, ceil(self._wait_seconds(line, self.max_queue_images))))
