"""python -m benchmarks.stream URL: how long single requests take beside a stream of /v1/datasets, and without one."""

import json
import statistics
import threading
from typing import Any

import click
import httpx

from ganserve.bench import Load
from ganserve.client import Client


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("url", default="http://localhost:3000")
@click.option("--connections", type=click.IntRange(1), default=4, show_default=True)
@click.option(
    "--rate", type=float, help="Requests per second; without it each connection asks again at once."
)
@click.option("--seconds", type=click.FloatRange(0.1), default=4.0, show_default=True)
@click.option("--rounds", type=click.IntRange(1), default=5, show_default=True)
def main(url: str, connections: int, rate: float | None, seconds: float, rounds: int) -> None:
    """In turn, so that a busy machine disturbs both alike. Prints the median of the ratios of the p50."""
    fields: dict[str, Any] = {"n": 1, "format": "png"}
    with Client(url) as client:

        def p50() -> float:
            load = Load(client.server, fields, connections, seconds, rate)
            load.run(lambda passed: None)
            return load.quantiles()["p50"]

        def streamed(during: bool) -> tuple[float, float]:
            """p50 in milliseconds, and images per second of the stream."""
            if not during:
                return p50(), 0.0
            images, ends = 0, threading.Event()

            def read() -> None:
                nonlocal images
                while not ends.is_set():
                    with httpx.stream("POST", f"{url}/v1/datasets", json={"n": 100_000}) as answer:
                        for _ in answer.iter_lines():
                            images += 1
                            if ends.is_set():
                                return

            reader = threading.Thread(target=read)
            reader.start()
            try:
                return p50(), images / seconds
            finally:
                ends.set()
                reader.join()

        rows = [(streamed(False), streamed(True)) for _ in range(rounds)]
    facts = {
        "without_ms": [round(without[0], 2) for without, _ in rows],
        "beside_ms": [round(beside[0], 2) for _, beside in rows],
        "stream_images_per_second": [round(beside[1]) for _, beside in rows],
        "ratio": round(statistics.median(beside[0] / without[0] for without, beside in rows), 2),
    }
    print(json.dumps(facts))


if __name__ == "__main__":
    main()
