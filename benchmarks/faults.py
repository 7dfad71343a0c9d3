"""python -m benchmarks.faults: deploy/compose.yaml is brought up, and broken one part at a time under load: what do clients see?

`make image` comes first. Clients ask for one image after another through nginx and compare it with the first answer for its
seed. Refused: 429, or 503 with Retry-After. Lost: no answer, or another one. Nothing may be lost or wrong, whatever befalls replicas.
"""

import http.client
import json
import shlex
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).parents[1]
SEEDS = 100
CLIENTS = 8
PAUSE_SECONDS = 0.05
AROUND_SECONDS = 3.0  # of load before a fault, and once it has healed
HEALED_WITHIN_SECONDS = 300
_READY = "import http.client as h; c = h.HTTPConnection('127.0.0.1', 3000, timeout=4); c.request('GET', '/readyz'); exit(c.getresponse().status != 200)"
_KILL_WORKER = "import os, psutil; os.kill(next(p.pid for p in psutil.process_iter() if '_bentoml_impl.worker.service' in p.cmdline()), 9)"


@dataclass
class Seen:
    """What clients saw."""

    sent: int = 0
    answered: int = 0
    refused: int = 0
    wrong: int = 0
    lost: list[str] = field(default_factory=list)
    gap_seconds: float = 0.0
    """Longest between two answers to anybody."""
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
            now = time.monotonic()
            with lock:
                seen.sent += 1
                if problem:
                    seen.lost.append(problem)
                elif status == 200:
                    seen.answered += 1
                    seen.wrong += image != self._right[seed]
                    seen.gap_seconds = max(seen.gap_seconds, now - seen.last)
                    seen.longest_seconds = max(seen.longest_seconds, now - begun)
                    seen.last = now
                else:
                    seen.refused += 1
            over.wait(PAUSE_SECONDS)
        connection.close()


class Deployment:
    """What Compose has started."""

    def __init__(self, engine: str, compose: list[str]) -> None:
        self._engine, self._compose = engine, compose

    def do(self, *arguments: str, fails: bool = False) -> str:
        done = subprocess.run([self._engine, *arguments], capture_output=True, text=True, timeout=120)
        if done.returncode and not fails:
            raise click.ClickException(f"{self._engine} {shlex.join(arguments)}: {done.stderr.strip()}")
        return done.stdout.strip()

    @contextmanager
    def up(self) -> Iterator[None]:
        subprocess.run(
            [*self._compose, "up", "--detach", "--scale", "ganserve=2", "ganserve", "nginx"], check=True
        )
        try:
            self.heal()
            yield
        finally:
            subprocess.run([*self._compose, "down"], check=True)

    def of(self, service: str) -> list[str]:
        label = f"label=com.docker.compose.service={service}"
        return self.do("ps", "--all", "--quiet", "--filter", label).split()

    def heal(self) -> None:
        """Start whatever does not run, and return once all replicas are ready and nginx passes requests on."""
        end = time.monotonic() + HEALED_WITHIN_SECONDS
        while time.monotonic() < end:
            for one in [*self.of("ganserve"), *self.of("nginx")]:
                if self.do("inspect", "--format", "{{.State.Running}}", one) == "false":
                    self.do("start", one, fails=True)
            if self._is_ready():
                return
            time.sleep(0.5)
        raise click.ClickException(f"not ready again within {HEALED_WITHIN_SECONDS} s")

    def _is_ready(self) -> bool:
        replicas = self.of("ganserve")
        asked = [
            subprocess.run(
                [self._engine, "exec", one, "python", "-c", _READY], capture_output=True, timeout=60
            )
            for one in replicas
        ]
        return bool(replicas) and all(one.returncode == 0 for one in asked)


def _restart_all(one: Deployment) -> None:
    for replica in one.of("ganserve"):
        one.do("stop", "--time", "45", replica)
        one.heal()


def _pause(one: Deployment) -> None:
    replica = one.of("ganserve")[0]
    one.do("pause", replica)
    time.sleep(5)
    one.do("unpause", replica)


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
    "restart of all, each waited for": _restart_all,
    "nginx -s reload": _reload,
    "kill -9 of all replicas": lambda one: one.do("kill", "--signal", "KILL", *one.of("ganserve")),
}
"""Where all are gone at once, requests are refused. An nginx that reloads closes kept connections, where one may be on its way."""


@click.command(help=(__doc__ or "").partition("\n\n")[2])
@click.option("--engine", default="docker", show_default=True, help="docker or podman")
@click.option("--compose", default="docker compose", show_default=True, help="or podman-compose")
@click.option("--file", "files", multiple=True, help="another Compose file, on top of deploy/compose.yaml")
@click.option("--port", default=8080, show_default=True, help="as PORT says")
@click.option("--fault", "only", help="those whose name has this in it")
def main(engine: str, compose: str, files: tuple[str, ...], port: int, only: str | None) -> None:
    arguments = [word for file in (ROOT / "deploy/compose.yaml", *files) for word in ("-f", str(file))]
    one = Deployment(engine, [*shlex.split(compose), *arguments])
    table = Table(
        "fault", *("sent", "200", "refused", "lost", "wrong", "longest gap", "longest 200", "healed after")
    )
    failed: list[str] = []
    with one.up():
        load = Load(port)
        for name, fault in FAULTS.items():
            if only and only not in name:
                continue
            with load.running() as seen:
                time.sleep(AROUND_SECONDS)
                begun = time.monotonic()
                fault(one)
                one.heal()
                healed = time.monotonic() - begun
                time.sleep(AROUND_SECONDS)
            counts = (seen.sent, seen.answered, seen.refused, len(seen.lost), seen.wrong)
            seconds = (seen.gap_seconds, seen.longest_seconds, healed)
            table.add_row(name, *(f"{n:,}" for n in counts), *(f"{s:.2f} s" for s in seconds))
            click.echo(f"{name}: {seen.sent} sent, {seen.refused} refused, {len(seen.lost)} lost", err=True)
            if seen.wrong or (seen.lost and "nginx" not in name):
                failed += [f"{name}: {len(seen.lost)} lost, {seen.wrong} wrong", *seen.lost[:3]]
    Console(width=140).print(table)
    if failed:
        raise click.ClickException("\n".join(failed))


if __name__ == "__main__":
    main()
