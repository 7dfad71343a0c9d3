"""python -m benchmarks.many_models: what one model and all of models/ take by each engine: memory, and time until ready."""

import http.client
import itertools
import shutil
import time
from pathlib import Path

from benchmarks import machine, models, running
from benchmarks.servers import ONE_WORKER, ROOT, environment

ENGINES = ("onnxruntime", "openvino")


def measure(folder: Path, engine: str) -> str:
    """A row: of a server of its own, with the models in the folder, in fp32."""
    files = sorted(folder.glob("*/generator.onnx"))
    size = sum(file.stat().st_size for file in files) / 1e6
    with running.scratch() as home:
        port = running.free_port()
        environ = environment(ONE_WORKER, files[0], (engine, "fp32"), 0, 0, port, home)
        begun = time.monotonic()
        with running.running(ONE_WORKER.start(port), environ, port, home) as server:
            while not _is_ready(port):
                time.sleep(0.05)
            seconds = time.monotonic() - begun
            return f"{engine:11s} {len(files):2d} models, files {size:.1f} MB: ready after {seconds:.1f} s, {server.memory_mb():.0f} MB"


def _is_ready(port: int) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    try:
        connection.request("GET", "/readyz")
        return connection.getresponse().status == 200
    finally:
        connection.close()


def main() -> None:
    print(f"{machine.cpu_name()}, load average {machine.facts()['load_average']}")
    with running.scratch() as alone:
        shutil.copytree(ROOT / "models" / models.SHIPPED, alone / models.SHIPPED)
        for engine, folder in itertools.product(ENGINES, (alone, ROOT / "models")):
            print(measure(folder, engine))


if __name__ == "__main__":
    main()
