"""python -m benchmarks.faults: deploy/compose.yaml is brought up, and broken one part at a time under load: what do clients see?

`make image` comes first. What it weighs and how soon it is ready is told before that. Clients ask for one image after another through nginx and compare it with the first answer for its
seed. Refused: 429, or 503 with Retry-After. Lost: no answer, or another one. Nothing may be lost or wrong at any fault, and
nothing refused but where all replicas are gone at once.
"""

import json
import os
import shlex
import time
from collections.abc import Callable
from dataclasses import dataclass

import click
from rich.console import Console
from rich.table import Table

from benchmarks import image
from benchmarks.clients.asking import Load, Seen
from benchmarks.server.deployment import MODEL, Deployment, deployed

BACK_WITHIN_SECONDS = 5.0
"""From the first replica that is ready to the first answer, where none was left."""
_KILL_WORKER = "import os, psutil; os.kill(next(p.pid for p in psutil.process_iter() if p.name() == 'ganserve-worker'), 9)"
_FILL_TMP = "dd if=/dev/zero of=/tmp/filler bs=1M 2> /dev/null; sleep 5; rm /tmp/filler"
# Each of them smaller than a worker, so that the kernel takes that one; they end by themselves.
_EAT_MEMORY = """
import os, time
for _ in range(60):
    if os.fork() == 0:
        eaten = bytearray(os.urandom(1)) * (50 << 20)
        time.sleep(15)
        os._exit(0)
time.sleep(15)
"""
_ADMIN = 'cd "$BENTO_PATH/src" && exec python -m service.admin '


def _restart_all(one: Deployment) -> None:
    for replica in one.of("ganserve"):
        one.do("stop", "--time", "45", replica)
        one.heal()


def _replace_all(one: Deployment) -> None:
    """Another container, with another address, in the place of each."""
    old = one.of("ganserve")
    for replica in old:
        one.scale(len(old) + 1)
        one.remove(replica)


def _scale(one: Deployment) -> None:
    for replicas in (1, 3, 2):
        one.scale(replicas)
        time.sleep(3)  # of load on so many


def _pause(one: Deployment) -> None:
    replica = one.of("ganserve")[0]
    one.do("pause", replica)
    time.sleep(5)
    one.do("unpause", replica)


def _cut_network(one: Deployment) -> None:
    replica = one.of("ganserve")[0]
    (network,) = one.networks(replica)
    one.do("network", "disconnect", network, replica)
    time.sleep(8)
    one.do("network", "connect", "--alias", "ganserve", network, replica)


def _eat_memory(one: Deployment) -> None:
    """Until the kernel ends the worker, and with it the container."""
    one.do("exec", one.of("ganserve")[0], "python", "-c", _EAT_MEMORY, fails=True)


def _roll_out(one: Deployment) -> None:
    """A version of the same weights is loaded by every replica, gets all requests, and gives them back."""
    replicas = one.of("ganserve")

    def models(replica: str) -> list[str]:
        said = json.loads(one.inside(replica, f"{_ADMIN} models"))
        return list(said["wanted"]["models"][MODEL]["versions"])

    (old,) = models(replicas[0])
    file = one.models / MODEL / "generator.onnx"
    # Fields of a protobuf may come again, and the last counts: 6 is the model's doc_string.
    added = file.with_name("again.onnx")
    added.write_bytes(file.read_bytes() + b"\x32\x05again")
    added.chmod(0o644)
    for replica in replicas:
        one.inside(replica, f"{_ADMIN} reload")
    (new,) = (version for version in models(replicas[0]) if version != old)
    for order in (
        f"direct {MODEL} {new} --share 0.5",
        f"direct {MODEL} {new}",
        f"direct {MODEL} {old}",
        f"retire {MODEL} {new}",
    ):
        for replica in replicas:
            one.inside(replica, _ADMIN + order)
    added.unlink()


def _reload(one: Deployment) -> None:
    fill = "/docker-entrypoint.d/20-envsubst-on-templates.sh"
    one.do("exec", one.of("nginx")[0], "sh", "-c", f"{fill} && nginx -t && nginx -s reload")


FAULTS: dict[str, Callable[[Deployment], object]] = {
    "kill -9 of a replica": lambda one: one.do("kill", "--signal", "KILL", one.of("ganserve")[0]),
    "kill -9 of a worker of it": lambda one: one.do(
        "exec", one.of("ganserve")[0], "python", "-c", _KILL_WORKER
    ),
    "stop of a replica": lambda one: one.do("stop", "--time", "45", one.of("ganserve")[1]),
    "pause of 5 s": _pause,
    "network cut for 8 s": _cut_network,
    "/tmp full for 5 s": lambda one: one.inside(one.of("ganserve")[0], _FILL_TMP),
    "memory limit met": _eat_memory,
    "restart of all, each waited for": _restart_all,
    "replacement of all by others": _replace_all,
    "scale to 1, to 3, to 2": _scale,
    "a version rolled out and back": _roll_out,
    "nginx -s reload": _reload,
    "kill -9 of all replicas": lambda one: one.do("kill", "--signal", "KILL", *one.of("ganserve")),
}
NONE_LEFT = "kill -9 of all replicas"


@dataclass
class Outcome:
    fault: str
    seen: Seen
    healed_seconds: float
    back_seconds: float
    """From the first replica that was ready after the longest gap to the first answer; 0 where there was none."""

    def complaints(self) -> list[str]:
        """What is not as it should be."""
        seen, found = self.seen, []
        if seen.wrong or seen.lost:
            found.append(f"{self.fault}: {len(seen.lost)} lost, {seen.wrong} wrong {seen.lost[:3]}")
        if seen.refused and self.fault != NONE_LEFT:
            found.append(f"{self.fault}: refused {dict(seen.refused)}")
        if self.back_seconds > BACK_WITHIN_SECONDS:
            found.append(f"{self.fault}: back {self.back_seconds:.1f} s after a replica was ready")
        return found


def broken(one: Deployment, load: Load, fault: str, around_seconds: float = 3.0) -> Outcome:
    """What clients see of it. around_seconds: of load before it, and once it has healed."""
    with load.running() as seen:
        time.sleep(around_seconds)
        begun = time.monotonic()
        FAULTS[fault](one)
        first = one.heal()
        healed = time.monotonic() - begun
        time.sleep(around_seconds)
    back = seen.gap_ended - first if fault == NONE_LEFT else 0.0
    return Outcome(fault, seen, healed, max(0.0, back))


@click.command(help=(__doc__ or "").partition("\n\n")[2])
@click.option("--engine", default="docker", show_default=True, help="docker or podman")
@click.option("--compose", default="docker compose", show_default=True, help="or podman-compose")
@click.option("--file", "files", multiple=True, help="another Compose file, on top of deploy/compose.yaml")
@click.option("--port", default=8080, show_default=True, help="as PORT says")
@click.option("--fault", "only", multiple=True, help="those whose name has this in it")
def main(engine: str, compose: str, files: tuple[str, ...], port: int, only: tuple[str, ...]) -> None:
    table = Table(
        "fault", *("sent", "200", "refused", "lost", "wrong", "longest gap", "longest 200", "healed after")
    )
    failed: list[str] = []
    if not only:
        image.report(engine, os.environ.get("GANSERVE_IMAGE", "ganserve:latest"))
    with deployed(engine, shlex.split(compose), files) as one:
        load = Load(port)
        for name in FAULTS:
            if only and not any(part in name for part in only):
                continue
            outcome = broken(one, load, name)
            seen = outcome.seen
            counts = (seen.sent, seen.answered, seen.refused.total(), len(seen.lost), seen.wrong)
            seconds = (seen.gap_seconds, seen.longest_seconds, outcome.healed_seconds)
            table.add_row(name, *(f"{n:,}" for n in counts), *(f"{s:.2f} s" for s in seconds))
            click.echo(f"{name}: {counts}, {seconds}, back {outcome.back_seconds:.1f}", err=True)
            failed += outcome.complaints()
    Console(width=140).print(table)
    if failed:
        raise click.ClickException("\n".join(failed))


if __name__ == "__main__":
    main()
