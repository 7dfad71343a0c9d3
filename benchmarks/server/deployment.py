"""What Compose brings up of deploy/compose.yaml: a project of its own, to be broken."""

import json
import os
import re
import shlex
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import click

ROOT = Path(__file__).parents[2]
PROJECT = "ganserve-broken"
"""Not compose.yaml's own: what is broken and removed is never what somebody has running."""
HEALED_WITHIN_SECONDS = 240
MODEL = "fashion-mnist"
_READY = "import http.client as h; c = h.HTTPConnection('127.0.0.1', 3000, timeout=4); c.request('GET', '/readyz'); exit(c.getresponse().status != 200)"
_ASK = "import http.client as h, sys; c = h.HTTPConnection(sys.argv[1], 8080, timeout=9); [(c.request('GET', '/livez'), c.getresponse().read()) for _ in range(int(sys.argv[2]))]"


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
        """Start whatever does not run, and return once all replicas are ready, and asked by nginx: when the first was ready, in
        time.monotonic() seconds."""
        end, first, asked = time.monotonic() + HEALED_WITHIN_SECONDS, 0.0, 0
        while time.monotonic() < end:
            for one in [*self.of("ganserve"), *self.of("nginx")]:
                if self.do("inspect", "--format", "{{.State.Running}}", one) == "false":
                    self.do("start", one, fails=True)
            are_ready = [self._is_ready(one) for one in self.of("ganserve")]
            first = first or (time.monotonic() if any(are_ready) else 0.0)
            if are_ready and all(are_ready):
                if self._are_known():
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

    def _are_known(self) -> bool:
        """Whether nginx asks all replicas where they are now, and nobody else: it may know later than the network's DNS."""
        replicas, nginx = self.of("ganserve"), self.of("nginx")[0]
        here = {network["IPAddress"] for one in replicas for network in self.networks(one).values()}
        (shared,) = self.networks(replicas[0]).keys() & self.networks(nginx).keys()
        requests = str(4 * len(replicas))
        address = self.networks(nginx)[shared]["IPAddress"]
        self.do("exec", replicas[0], "python", "-c", _ASK, address, requests, fails=True)
        lines = self.do("logs", "--tail", requests, nginx, fails=True).splitlines()
        asked = [json.loads(line)["replica"] for line in lines if line.startswith("{")]
        return set(re.findall(r"[\d.]+(?=:3000)", " ".join(asked))) == here

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
        environ = os.environ | {"MODELS": str(self.models), "GANSERVE_LOGGED": "100%"}
        done = subprocess.run([*self._compose, *arguments], env=environ, capture_output=True, text=True)
        if done.returncode:
            raise click.ClickException(f"{shlex.join(self._compose)} {arguments[0]}: {done.stderr[-2000:]}")

    def _is_ready(self, replica: str) -> bool:
        asked = [self._engine, "exec", replica, "python", "-c", _READY]
        return subprocess.run(asked, capture_output=True, timeout=60).returncode == 0


@contextmanager
def deployed(engine: str, compose: Sequence[str], files: Sequence[str | Path]) -> Iterator[Deployment]:
    """Two replicas of the shipped model, ready behind nginx."""
    with tempfile.TemporaryDirectory() as folder:
        models = Path(folder)
        models.chmod(0o755)
        shutil.copytree(ROOT / "models" / MODEL, models / MODEL)
        one = Deployment(engine, compose, files, models)
        with one.up():
            yield one
