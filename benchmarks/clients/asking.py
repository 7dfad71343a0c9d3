"""Clients that ask for one image after another and compare each with the first answer for its seed."""

import http.client
import json
import re
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field

SEEDS = 100
CLIENTS = 8
PAUSE_SECONDS = 0.05
_CODE = re.compile(rb'"code": ?"(\w+)"')


@dataclass
class Seen:
    """What clients saw."""

    sent: int = 0
    answered: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    """By status and `code`."""
    wrong: int = 0
    lost: list[str] = field(default_factory=list)
    gap_seconds: float = 0.0
    """Longest between two answers to anybody."""
    gap_ended: float = 0.0
    """When that was over, in time.monotonic() seconds."""
    longest_seconds: float = 0.0
    last: float = 0.0


class Load:
    """Clients that ask until they are told to stop."""

    def __init__(self, port: int) -> None:
        self._port = port
        with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=60)) as connection:
            self._right = [self._ask(connection, seed)[2] for seed in range(SEEDS)]

    @contextmanager
    def running(self) -> Iterator[Seen]:
        seen, over, lock = Seen(last=time.monotonic()), threading.Event(), threading.Lock()
        clients = [threading.Thread(target=self._one, args=(n, seen, over, lock)) for n in range(CLIENTS)]
        for client in clients:
            client.start()
        try:
            yield seen
        finally:
            over.set()
            for client in clients:
                client.join()

    @staticmethod
    def _ask(connection: http.client.HTTPConnection, seed: int) -> tuple[int, bool, bytes]:
        """Status, whether it says when to come again, and body."""
        body = json.dumps({"seed": seed, "format": "npy"})
        connection.request("POST", "/v1/samples", body, {"content-type": "application/json"})
        reply = connection.getresponse()
        return reply.status, reply.getheader("retry-after") is not None, reply.read()

    def _one(self, seed: int, seen: Seen, over: threading.Event, lock: threading.Lock) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=60)
        while not over.is_set():
            seed = (seed + 1) % SEEDS
            begun = time.monotonic()
            try:
                status, again, image = self._ask(connection, seed)
                problem = (
                    "" if status in (200, 429) or (status == 503 and again) else f"{status} {image[:200]!r}"
                )
            except (OSError, http.client.HTTPException) as error:
                connection.close()
                status, image, problem = 0, b"", repr(error)
            code = b"".join(_CODE.findall(image)[:1]).decode()
            refused = "" if problem or status == 200 else f"{status} {code}".rstrip()
            is_right = status != 200 or image == self._right[seed]
            self._note(seen, lock, begun, problem, refused, is_right)
            over.wait(PAUSE_SECONDS)
        connection.close()

    @staticmethod
    def _note(
        seen: Seen, lock: threading.Lock, begun: float, problem: str, refused: str, is_right: bool
    ) -> None:
        now = time.monotonic()
        with lock:
            seen.sent += 1
            seen.wrong += not is_right
            if problem:
                seen.lost.append(problem)
            elif refused:
                seen.refused[refused] += 1
            else:
                seen.answered += 1
                if now - seen.last > seen.gap_seconds:
                    seen.gap_seconds, seen.gap_ended = now - seen.last, now
                seen.longest_seconds = max(seen.longest_seconds, now - begun)
                seen.last = now
