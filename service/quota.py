"""How much may be used a minute. No clock of its own."""

from math import ceil


class Quota:
    """A token bucket that holds a minute's worth, and is full at first.

    Who asks for more than that waits for a full bucket and leaves a debt, which those after it wait off: it is
    slow, and not impossible.
    """

    def __init__(self, per_minute: float, now: float) -> None:
        """now: time.monotonic() seconds, here as below."""
        self.per_minute = per_minute
        self._left = per_minute
        self._at = now

    def wait_seconds(self, amount: float, now: float) -> int:
        """0 if `amount` may be taken now; else after how many seconds, if nobody else takes any."""
        per_second = self.per_minute / 60
        self._left = min(self.per_minute, self._left + (now - self._at) * per_second)
        self._at = now
        missing = min(amount, self.per_minute) - self._left
        return ceil(missing / per_second) if missing > 1e-6 else 0

    def take(self, amount: float) -> None:
        self._left -= amount

    def give_back(self, amount: float) -> None:
        self._left += amount
