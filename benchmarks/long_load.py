"""python -m benchmarks.long_load: how long a worker answers nobody while it loads a large file."""

from pathlib import Path

import click

from benchmarks import models
from benchmarks.server import machine, running
from benchmarks.server.probe import LivezProbe
from benchmarks.server.servers import ONE_WORKER, environment

# 133 MB: of a residual generator of 64x64x3.
_CHANNELS = (1024, 1024, 512, 256, 128)
_SMALL = (64, 64, 32)


def measure(file: bytes, engine: str) -> str:
    """A row: of a server of its own, from its first answer until it is ready."""
    with running.scratch() as home:
        path = home / "models" / "large" / "generator.onnx"
        path.parent.mkdir(parents=True)
        path.write_bytes(file)
        port = running.free_port()
        environ = environment(ONE_WORKER, path, (engine, "fp32"), 0, 0, port, home)
        with (
            LivezProbe(port) as probe,
            running.running(ONE_WORKER.start(port), environ, port, home) as server,
        ):
            longest, asked = probe.longest_ms, len(probe.times_ms)
            return (
                f"{engine}, {len(file) / 1e6:.0f} MB: ready after {server.ready_seconds:.1f} s; of {asked} times /livez "
                f"was answered after {longest:.0f} ms at most, 99 % within {probe.p99_ms:.1f} ms"
            )


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Another generator than ours.",
)
@click.option("--repeats", default=3, show_default=True, help="Starts of each.")
def main(file: Path | None, repeats: int) -> None:
    """Starts a worker with a file of 133 MB, by each engine, and asks /livez 50 times a second until it is ready.

    A small file's start is beside it: what is longer than there, the file's size takes. Two minutes.
    """
    print(f"{machine.cpu_name()}, load average {machine.facts()['load_average']}")
    small = models.large(_SMALL)
    content = file.read_bytes() if file else models.large(_CHANNELS)
    for engine in ("onnxruntime", "openvino"):
        for one in (small, *[content] * repeats):
            print(measure(one, engine), flush=True)


if __name__ == "__main__":
    main()
