"""python -m benchmarks.many_models: what one model and all of models/ take: memory, and time until ready."""

import http.client
import itertools
import shutil
import time
from pathlib import Path

import click

from benchmarks import models
from benchmarks.server import machine, running
from benchmarks.server.servers import AS_IT_COMES, ONE_WORKER, ROOT, Server, environment

ENGINES = ("onnxruntime", "openvino")


def measure(what: str, folder: Path, server: Server, engine: str, cache: Path) -> str:
    """A row: of a server of its own, with the models in the folder, in fp32 where the server is given settings."""
    files = sorted(folder.glob("*/generator.onnx"))
    size = sum(file.stat().st_size for file in files) / 1e6
    with running.scratch() as home:
        port = running.free_port()
        environ = environment(server, files[0], (engine, "fp32"), 0, 0, port, home)
        environ["XDG_CACHE_HOME"] = str(cache)
        begun = time.monotonic()
        with running.running(server.start(port), environ, port, home) as started:
            while not _is_ready(port):
                time.sleep(0.05)
            seconds = time.monotonic() - begun
            return f"{what:27s} {len(files):2d} models, files {size:.1f} MB: ready after {seconds:.1f} s, {started.memory_mb():.0f} MB"


def _is_ready(port: int) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    try:
        connection.request("GET", "/readyz")
        return connection.getresponse().status == 200
    finally:
        connection.close()


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """Memory, and time until ready, of one model and of all of models/: by each engine, and with no settings.

    Starts eight servers in turn, which takes about a minute.
    """
    print(f"{machine.cpu_name()}, load average {machine.facts()['load_average']}")
    with running.scratch() as alone, running.scratch() as caches:
        shutil.copytree(ROOT / "models" / models.SHIPPED, alone / models.SHIPPED)
        for engine, folder in itertools.product(ENGINES, (alone, ROOT / "models")):
            print(measure(f"{engine}, 1 worker", folder, ONE_WORKER, engine, caches))
        for folder in (alone, ROOT / "models"):
            # Which engine is the faster is measured at the first start on a machine, and known at the next.
            for what in ("no settings, first start", "no settings, started again"):
                print(measure(what, folder, AS_IT_COMES, "", caches / folder.name))


if __name__ == "__main__":
    main()
