"""python -m benchmarks.image: what the image weighs, layer by layer, and how soon a container of it is ready."""

import http.client
import os
import re
import shutil
import statistics
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from benchmarks import models
from benchmarks.server import machine
from benchmarks.server.running import free_port
from benchmarks.server.servers import ROOT

STARTS = 3
ONE_READY_SECONDS, ALL_READY_SECONDS = 3.0, 5.0
"""Goals on two cores that nobody else uses, of one model and of all that are shipped."""
_AS_COMPOSED = (
    "--read-only --cap-drop=ALL --security-opt=no-new-privileges --tmpfs=/tmp:size=256m --memory=2g --cpus=2"
)
_GIVE_UP_SECONDS = 120


def layers(engine: str, image: str) -> list[tuple[float, str]]:
    """Of each layer that is not empty, the lowest first: MB, and the instruction that made it."""
    form = ("--no-trunc", "--format", "{{.Size}}\t{{.CreatedBy}}")
    lines = [line.split("\t", 1) for line in _said(engine, "history", *form, image).splitlines()]
    return [(size, made) for told, made in reversed(lines) if (size := _megabytes(told))]


def _megabytes(told: str) -> float:
    """Of what both write for people; podman 4.3 writes nothing else in a form of one's own: `25.9MB`, podman `25.9 MB`."""
    found = re.fullmatch(r"([\d.]+) ?([kMG]?)B", told)
    if found is None:
        raise click.ClickException(f"no size: {told}")
    return float(found[1]) * {"": 1e-6, "k": 1e-3, "M": 1.0, "G": 1e3}[found[2]]


def ready_seconds(engine: str, image: str, folder: Path) -> float:
    """From `run` to the first 200 of /readyz, with the models of that folder."""
    port = free_port()
    begun = time.monotonic()
    options = [*_AS_COMPOSED.split(), f"--publish=127.0.0.1:{port}:3000", f"--volume={folder}:/models:ro"]
    name = _said(engine, "run", "--detach", "--env=GANSERVE_MODELS=/models", *options, image)
    try:
        while not _is_ready(port):
            if time.monotonic() > begun + _GIVE_UP_SECONDS:
                raise click.ClickException(f"not ready: {_said(engine, 'logs', '--tail', '5', name)}")
            time.sleep(0.02)
        return time.monotonic() - begun
    finally:
        subprocess.run([engine, "rm", "--force", name], capture_output=True)


def report(engine: str, image: str) -> None:
    """Print both."""
    click.echo(
        f"{machine.cpu_name()}, load average {machine.facts()['load_average']}, {engine}: {image}, ready at two CPUs"
    )
    everything = ROOT / "models"
    for folder, goal in ((everything / models.SHIPPED, ONE_READY_SECONDS), (everything, ALL_READY_SECONDS)):
        number = 1 if folder != everything else len(list(everything.glob("*/generator.onnx")))
        with _readable(folder, number == 1) as given:
            seconds = [ready_seconds(engine, image, given) for _ in range(STARTS)]
        said = ", ".join(f"{one:.1f}" for one in seconds)
        click.echo(
            f"{number:2d} models: {statistics.median(seconds):.1f} s at the median ({said}); goal {goal:.0f} s"
        )
    for megabytes, made in layers(engine, image):
        click.echo(f"{megabytes:8.2f} MB  {made[:100]}")


@contextmanager
def _readable(folder: Path, is_one: bool) -> Iterator[Path]:
    """A copy of the model, or of all models, that the image's user may read."""
    with tempfile.TemporaryDirectory() as name:
        copy = Path(name)
        copy.chmod(0o755)
        shutil.copytree(folder, copy / folder.name if is_one else copy, dirs_exist_ok=True)
        yield copy


def _is_ready(port: int) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    try:
        connection.request("GET", "/readyz")
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def _said(engine: str, *arguments: str) -> str:
    done = subprocess.run([engine, *arguments], capture_output=True, text=True, timeout=120)
    if done.returncode:
        raise click.ClickException(f"{engine} {arguments[0]}: {done.stderr.strip()}")
    return done.stdout.strip()


@click.command(help="What the image weighs, by layer, and how soon a container of it is ready: six starts.")
@click.option("--engine", default="docker", show_default=True, help="docker or podman")
@click.option("--image", default=os.environ.get("GANSERVE_IMAGE", "ganserve:latest"), show_default=True)
def main(engine: str, image: str) -> None:
    report(engine, image)


if __name__ == "__main__":
    main()
