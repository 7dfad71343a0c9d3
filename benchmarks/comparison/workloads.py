"""What is asked of the servers, and how fast it could be answered at best."""

import math
from dataclasses import dataclass

from benchmarks.comparison.raw_limit import RawLimit


@dataclass(frozen=True)
class Workload:
    """`connections` clients, each of which asks for `n` images, waits for them, and asks again."""

    n: int
    """Images a request; 0: every n from 1 to 100 equally often."""
    format: str
    """`png`, or `npy`: raw pixels behind a short header."""
    connections: int

    @property
    def name(self) -> str:
        n = f"n={self.n}" if self.n else "n=1..100"
        return f"{n} {self.format}, {self.connections} conn."

    @property
    def images_per_request(self) -> float:
        return self.n or 50.5

    def floor_ms(self, raw: RawLimit) -> float:
        """Latency that no server can beat: of a lone image, a pass; else each client waits for all (Little's law)."""
        images = self.connections * self.images_per_request
        return raw.pass_ms if images == 1 else max(raw.pass_ms, 1000 * images / raw.images_per_second)

    def seconds(self, raw: RawLimit, wanted: int) -> int:
        """`wanted`, or as long as every client needs for some three answers; a minute at most."""
        return max(wanted, min(60, math.ceil(3 * self.floor_ms(raw) / 1000)))


WORKLOADS = [
    *(Workload(1, "png", connections) for connections in (1, 16, 64)),
    *(Workload(16, "npy", connections) for connections in (1, 16, 64)),
    Workload(0, "npy", 16),
]
QUICK = [Workload(1, "png", 1), Workload(1, "png", 64), Workload(16, "npy", 16)]
