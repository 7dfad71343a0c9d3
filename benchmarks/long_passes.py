"""python -m benchmarks.long_passes: whoever asks for little, or whether the worker lives, beside passes of 300 ms at 512x512x3."""

import http.client
import json
import statistics
import time
from concurrent.futures import ThreadPoolExecutor

import click

from benchmarks import models
from benchmarks.server import machine, running
from benchmarks.server.probe import LivezProbe
from benchmarks.server.servers import ONE_WORKER, ONNXRUNTIME, environment

FORMATS = ("png", "webp", "jpeg", "avif", "npy", "json")
DEADLINE_SECONDS = 1.0
_TRIED_LAYERS = 10


class Service:
    """A worker with one lane, that serves nothing but the model."""

    def __init__(self, port: int) -> None:
        self._port = port

    def ask(self, **body: object) -> tuple[int, float]:
        """The status of a request for samples, and the seconds until all of its answer had come."""
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=300)
        begun = time.monotonic()
        try:
            text = json.dumps({"seed": 1, "timeout": 250} | body)
            connection.request("POST", "/v1/samples", text, {"content-type": "application/json"})
            response = connection.getresponse()
            response.read()
            return response.status, time.monotonic() - begun
        finally:
            connection.close()

    def metric(self, name: str) -> float:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=10)
        connection.request("GET", "/metrics")
        lines = connection.getresponse().read().decode().splitlines()
        connection.close()
        return sum(float(line.split()[-1]) for line in lines if line.startswith(f"{name}{{"))


def pass_ms(service: Service) -> float:
    """Of one image, alone: the median of five."""
    took = []
    for _ in range(5):
        before = service.metric("ganserve_forward_seconds_sum")
        service.ask(format="npy")
        took.append(1000 * (service.metric("ganserve_forward_seconds_sum") - before))
    return statistics.median(took)


def formats(service: Service, port: int, each: int) -> str:
    """Every format at once, each of so many requests for two images; /livez meanwhile."""
    with LivezProbe(port) as probe, ThreadPoolExecutor(len(FORMATS)) as threads:
        asked = [threads.submit(service.ask, n=2, format=one) for one in FORMATS * each]
        statuses = {one.result()[0] for one in asked}
    return (
        f"{len(asked)} requests for two images, in {len(FORMATS)} formats at once: answered {statuses}; of {len(probe.times_ms)} times "
        f"/livez was answered after {probe.longest_ms:.0f} ms at most, 99 % within {probe.p99_ms:.1f} ms"
    )


def alone_beside_many(service: Service, many: int) -> str:
    with ThreadPoolExecutor(1) as thread:
        large = thread.submit(service.ask, n=many, format="npy")
        while not service.metric("ganserve_queue_images"):
            time.sleep(0.01)
        status, seconds = service.ask(format="npy")
        all_of_them = large.result()
    return (
        f"one image beside a request for {many}: {status} after {seconds:.2f} s; the other {all_of_them[0]} after "
        f"{all_of_them[1]:.1f} s"
    )


def deadline(service: Service, many: int) -> str:
    status, seconds = service.ask(n=many, format="npy", timeout=DEADLINE_SECONDS)
    return f"{many} images within {DEADLINE_SECONDS:g} s: {status} after {seconds:.2f} s"


def measure(layers: int, each: int) -> tuple[float, list[str]]:
    """A pass in ms, and what else was seen, a line each."""
    with running.scratch() as home:
        path = home / "models" / "slow" / "generator.onnx"
        path.parent.mkdir(parents=True)
        path.write_bytes(models.slow(layers))
        port = running.free_port()
        environ = environment(ONE_WORKER, path, ONNXRUNTIME, 0, 0, port, home)
        environ |= {"GANSERVE_THREADS": "1", "GANSERVE_MAX_BATCH": "1", "GANSERVE_MAX_WAIT_SECONDS": "60"}
        environ |= {"GANSERVE_TIMEOUT_SECONDS": "300"}
        with running.running(ONE_WORKER.start(port), environ, port, home):
            service = Service(port)
            took = pass_ms(service)
            if not each:
                return took, []
            return took, [formats(service, port, each), alone_beside_many(service, 16), deadline(service, 16)]


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--ms", default=300, show_default=True, help="What a pass is to take.")
@click.option("--each", default=5, show_default=True, help="Requests of each format.")
def main(ms: int, each: int) -> None:
    """Serves a generator of 512x512x3 with random weights, on one lane, with as many layers as take so long on this machine.

    Two minutes.
    """
    print(f"{machine.cpu_name()}, load average {machine.facts()['load_average']}")
    tried, _ = measure(_TRIED_LAYERS, 0)
    layers = max(1, round(_TRIED_LAYERS * ms / tried))
    took, lines = measure(layers, each)
    print(f"{layers} layers, a pass of one image {took:.0f} ms (wanted: {ms})")
    for line in lines:
        print(line)


if __name__ == "__main__":
    main()
