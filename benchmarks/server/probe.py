"""Does the event loop answer while the server is loaded? GET /livez, 50 times a second."""

import http.client
import statistics
import threading
import time
from typing import Self

PERIOD_SECONDS = 0.02
BOUND_MS = 50
LOST_MS = 10_000.0
"""What a probe without an answer counts as; the connection waits that long."""


class LivezProbe:
    """Asks from entry to exit, on a thread of its own and one connection. What comes before the first answer is no server yet."""

    def __init__(self, port: int) -> None:
        self.times_ms: list[float] = []
        self._port = port
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    @property
    def p99_ms(self) -> float:
        if len(self.times_ms) < 2:
            return LOST_MS
        return statistics.quantiles(self.times_ms, n=100, method="inclusive")[98]

    @property
    def longest_ms(self) -> float:
        return max(self.times_ms, default=LOST_MS)

    def _run(self) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=LOST_MS / 1000)
        while not self._stop.is_set():
            begun = time.perf_counter()
            try:
                connection.request("GET", "/livez")
                answered = connection.getresponse()
                answered.read()
                alive = answered.status == 200
            except (OSError, http.client.HTTPException):
                connection.close()
                alive = False
            if alive or self.times_ms:
                self.times_ms.append(1000 * (time.perf_counter() - begun) if alive else LOST_MS)
            self._stop.wait(PERIOD_SECONDS)
        connection.close()
