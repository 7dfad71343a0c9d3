"""python -m benchmarks.faults: deploy/compose.yaml is brought up, and broken one part at a time under load: what do clients see?

`make image` comes first. What it weighs and how soon it is ready is told before that. Clients ask for one image after another through nginx and compare it with the first answer for its
seed. Refused: 429, or 503 with Retry-After. Lost: no answer, or another one. Nothing may be lost or wrong at any fault, and
nothing refused but where all replicas are gone at once.
"""

import json
import os
import shlex
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

from benchmarks import image
from benchmarks.asking import Load, Seen

ROOT = Path(__file__).parents[1]
PROJECT = "ganserve-broken"
"""Not compose.yaml's own: what is broken and removed is never what somebody has running."""
HEALED_WITHIN_SECONDS = 240
BACK_WITHIN_SECONDS = 5.0
"""From the first replica that is ready to the first answer, where none was left."""
_READY = "import http.client as h; c = h.HTTPConnection('127.0.0.1', 3000, timeout=4); c.request('GET', '/readyz'); exit(c.getresponse().status != 200)"
_KILL_WORKER = "import os, psutil; os.kill(next(p.pid for p in psutil.process_iter() if '_bentoml_impl.worker.service' in p.cmdline()), 9)"
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
_MODEL = "fashion-mnist"


class Deployment:
    """What Compose has started."""

    def __init__(
        self, engine: str, compose: Sequence[str], files: Sequence[str | Path], models: Path
    ) -> None:
        """compose: the command. files: Compose files on top of the shipped ones. models: the folder that is served."""
        shipped = (ROOT / "deploy/compose.yaml", ROOT / "deploy/compose.models.yaml")
        arguments = [word for file in (*shipped, *files) for word in ("-f", str(file))]
        self._engine, self.models = engine, models
        self._compose = [*compose, "--project-name", PROJECT, *arguments]

    def do(self, *arguments: str, fails: bool = False) -> str:
        done = subprocess.run([self._engine, *arguments], capture_output=True, text=True, timeout=120)
        if done.returncode and not fails:
            raise click.ClickException(f"{self._engine} {shlex.join(arguments)}: {done.stderr.strip()}")
        return done.stdout.strip()

    @contextmanager
    def up(self) -> Iterator[None]:
        try:
            self._up(2, "ganserve", "nginx")
            self.heal()
            yield
        finally:
            self.do("rm", "--force", *self.of("ganserve"), *self.of("nginx"), fails=True)
            self._composed("down")

    def of(self, service: str) -> list[str]:
        """Its containers, the oldest first."""
        labels = (f"com.docker.compose.project={PROJECT}", f"com.docker.compose.service={service}")
        filters = [word for label in labels for word in ("--filter", f"label={label}")]
        return self.do("ps", "--all", "--quiet", *filters).split()[::-1]

    def scale(self, replicas: int) -> None:
        """As many replicas as that, ready; the newest go first."""
        self._shrink(replicas)
        if len(self.of("ganserve")) < replicas:
            self._up(replicas, "ganserve")
            self.heal()
            # podman-compose starts every number up to that which nobody has, though others have a higher one.
            self._shrink(replicas)
        self.heal()
        if (there := len(self.of("ganserve"))) != replicas:
            raise click.ClickException(f"{there} replicas, and {replicas} were asked for")

    def _shrink(self, replicas: int) -> None:
        for one in self.of("ganserve")[replicas:]:
            self.remove(one)

    def remove(self, replica: str) -> None:
        self.do("stop", "--time", "45", replica)
        self.do("rm", replica)

    def heal(self) -> float:
        """Start whatever does not run, and return once all replicas are ready, and found by name: when the first was ready, in
        time.monotonic() seconds."""
        end, first, asked = time.monotonic() + HEALED_WITHIN_SECONDS, 0.0, 0
        while time.monotonic() < end:
            for one in [*self.of("ganserve"), *self.of("nginx")]:
                if self.do("inspect", "--format", "{{.State.Running}}", one) == "false":
                    self.do("start", one, fails=True)
            are_ready = [self._is_ready(one) for one in self.of("ganserve")]
            first = first or (time.monotonic() if any(are_ready) else 0.0)
            if are_ready and all(are_ready):
                if self._are_found():
                    return first
                asked += 1
                if asked % 10 == 0:
                    self._wake_dns()
            time.sleep(0.5)
        said = "\n".join(self.do("logs", "--tail", "3", one, fails=True) for one in self.of("ganserve"))
        raise click.ClickException(f"not ready again within {HEALED_WITHIN_SECONDS} s: {said}")

    def inside(self, replica: str, command: str, fails: bool = False) -> str:
        return self.do("exec", replica, "bash", "-c", command, fails=fails)

    def networks(self, container: str) -> dict[str, dict[str, str]]:
        return json.loads(self.do("inspect", container))[0]["NetworkSettings"]["Networks"]

    def _are_found(self) -> bool:
        """Whether the network's DNS tells nginx the replicas' addresses, and no others."""
        replicas = {
            network["IPAddress"] for one in self.of("ganserve") for network in self.networks(one).values()
        }
        told = self.do("exec", self.of("nginx")[0], "getent", "ahostsv4", "ganserve", fails=True)
        return {line.split()[0] for line in told.splitlines()} == replicas

    def _wake_dns(self) -> None:
        """Podman's aardvark-dns 1.4, of Debian 12, may answer nobody from one change of its network to the next: make one."""
        nginx = self.of("nginx")[0]
        image = json.loads(self.do("inspect", nginx))[0]["Image"]
        for network in self.networks(nginx):
            self.do("run", "--rm", "--network", network, "--entrypoint", "true", image)

    def _up(self, replicas: int, *services: str) -> None:
        scale = ("--detach", "--no-recreate", "--scale", f"ganserve={replicas}")
        self._composed("up", *scale, *services)

    def _composed(self, *arguments: str) -> None:
        environ = os.environ | {"MODELS": str(self.models)}
        done = subprocess.run([*self._compose, *arguments], env=environ, capture_output=True, text=True)
        if done.returncode:
            raise click.ClickException(f"{shlex.join(self._compose)} {arguments[0]}: {done.stderr[-2000:]}")

    def _is_ready(self, replica: str) -> bool:
        asked = [self._engine, "exec", replica, "python", "-c", _READY]
        return subprocess.run(asked, capture_output=True, timeout=60).returncode == 0


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
        return list(said["wanted"]["models"][_MODEL]["versions"])

    (old,) = models(replicas[0])
    file = one.models / _MODEL / "generator.onnx"
    # Fields of a protobuf may come again, and the last counts: 6 is the model's doc_string.
    added = file.with_name("again.onnx")
    added.write_bytes(file.read_bytes() + b"\x32\x05again")
    added.chmod(0o644)
    for replica in replicas:
        one.inside(replica, f"{_ADMIN} reload")
    (new,) = (version for version in models(replicas[0]) if version != old)
    for order in (
        f"direct {_MODEL} {new} --share 0.5",
        f"direct {_MODEL} {new}",
        f"direct {_MODEL} {old}",
        f"retire {_MODEL} {new}",
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


@contextmanager
def deployed(engine: str, compose: Sequence[str], files: Sequence[str | Path]) -> Iterator[Deployment]:
    """Two replicas of the shipped model, ready behind nginx."""
    with tempfile.TemporaryDirectory() as folder:
        models = Path(folder)
        models.chmod(0o755)
        shutil.copytree(ROOT / "models" / _MODEL, models / _MODEL)
        one = Deployment(engine, compose, files, models)
        with one.up():
            yield one


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
