"""Real containers of the image, where podman can start them: with what compose.yaml allows them, and no more."""

import hashlib
import json
import os
import re
import resource
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import httpx
import yaml

from tests.deploy import images
from tests.needs import allowed, needs, program
from tests.system.serving import ROOT, free_port
from tests.waiting import wait_until

IMAGE = "localhost/ganserve-tested:latest"
STAND_IN = "localhost/ganserve-stand-in"
# Of what a machine's own way to packages consists, where it has one of its own.
PACKAGES = ("/etc/ssl/certs/ca-certificates.crt", "/etc/pip.conf", "/etc/xdg/pip")


class Podman:
    """The command, with a configuration of its own that suits machines without systemd, too."""

    def __init__(self, folder: Path) -> None:
        self._program = program("podman", "podman")
        files = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        (folder / "containers.conf").write_text(
            # 32768 is what podman leaves itself. More of either only a machine's real root may ask for.
            f'[containers]\ndefault_ulimits = ["nofile={files}:{files}", "nproc=32768:32768"]\n'
            '[network]\nnetwork_backend = "netavark"\n'
            '[engine]\nruntime = "runc"\ncgroup_manager = "cgroupfs"\nevents_logger = "file"\n'
        )
        self.environment = os.environ | {"CONTAINERS_CONF": str(folder / "containers.conf")}

    def run(
        self, *arguments: object, seconds: float = 60, **options: Any
    ) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [self._program, *map(str, arguments)],
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=seconds,
            **options,
        )

    def check(self, *arguments: object, seconds: float = 60) -> str:
        done = self.run(*arguments, seconds=seconds)
        assert done.returncode == 0, (arguments, done.stderr[-3000:])
        return done.stdout.strip()

    def state(self, name: str) -> dict[str, Any]:
        return json.loads(self.check("inspect", name))[0]["State"]

    def said(self, name: str) -> str:
        done = self.run("logs", name)
        return done.stdout + done.stderr


def podman(folder: Path) -> Podman:
    """Skips on a laptop where nobody may start a container, with the reason."""
    allowed(os.getuid() == 0, "containers are started by root here, as .ci/run is in CI")
    program("runc", "runc")
    needs(Path("/usr/lib/podman/netavark").exists(), "netavark")
    engine = Podman(folder)
    tried = engine.run("run", "--rm", "--network", "none", _base(engine, folder), "true", seconds=300)
    allowed(tried.returncode == 0, f"no container can be started here: {tried.stderr.strip()[-300:]}")
    return engine


def _base(engine: Podman, folder: Path) -> str:
    """What bentofile.yaml names, or a stand-in where no registry gives it."""
    named = yaml.safe_load((ROOT / images.BENTOFILES["cpu"]).read_text())["docker"]["base_image"]
    if engine.run("pull", "--quiet", named, seconds=300).returncode == 0:
        return named
    if engine.run("image", "exists", STAND_IN).returncode != 0:
        _make_stand_in(engine, folder)
    return STAND_IN


def _make_stand_in(engine: Podman, folder: Path) -> None:
    """Debian 12 with its Python, for the base of the image: the same release, without a registry of images."""
    root = folder / "root"
    command = [
        "debootstrap",
        "--variant=minbase",
        "--include=python3,python3-venv,python3-pip,ca-certificates",
    ]
    subprocess.run([*command, "bookworm", root], check=True, capture_output=True, timeout=900)
    for mounted in ("proc", "sys"):  # which it leaves where it could not end them
        subprocess.run(["umount", root / mounted], capture_output=True, timeout=60)
    (root / "usr/lib/python3.11/EXTERNALLY-MANAGED").unlink(missing_ok=True)
    (root / "usr/bin/python").symlink_to("python3")
    for path in filter(os.path.exists, PACKAGES):
        subprocess.run(["cp", "-RL", "--parents", path, root], check=True, timeout=60)
    archive = folder / "root.tar"
    subprocess.run(["tar", "-C", root, "-cf", archive, "."], check=True, timeout=300)
    engine.check("import", "--change", f"ENV SSL_CERT_FILE={PACKAGES[0]}", archive, STAND_IN, seconds=300)


def build(engine: Podman, folder: Path, tag: str = IMAGE) -> None:
    """The image, by the repository's own bentofile and Dockerfile. Podman keeps its layers for the next time."""
    context = images.containerize(folder, images.build(folder, images.BENTOFILES["cpu"]))
    dockerfile = context / "env/docker/Dockerfile"
    text, found = re.subn(images.PINNED, _base(engine, folder), dockerfile.read_text())
    assert found
    dockerfile.write_text(text)
    options = ("--format", "docker", "--network", "host", "--tag", tag, "--file", dockerfile)
    engine.check("build", *options, context, seconds=900)


def contents(engine: Podman, image: str, folder: str) -> dict[str, tuple[int, int, int, str]]:
    """Mode, owner, group, and what it holds (its SHA-256) or where it leads, of all that the image has in that folder."""
    root = Path(engine.check("image", "mount", image)) / folder
    try:
        return {
            str(path.relative_to(root)): (status.st_mode, status.st_uid, status.st_gid, _held(path))
            for path in root.rglob("*")
            for status in [path.lstat()]
        }
    finally:
        engine.check("image", "unmount", image)


def _held(path: Path) -> str:
    if path.is_symlink():
        return str(path.readlink())
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""


def as_composed(tmp: Sequence[str] | None = None, **limits: object) -> list[str]:
    """Options of `podman run`: what compose.yaml gives a replica. tmp, limits: others in the place of its tmpfs and limits."""
    service = yaml.safe_load((ROOT / "deploy/compose.yaml").read_text())["services"]["ganserve"]
    given = {"memory": service["deploy"]["resources"]["limits"]["memory"], "cpus": 2} | limits
    tmpfs = service["tmpfs"] if tmp is None else tmp
    assert service["read_only"]
    return [
        "--read-only",
        # Podman's own over /tmp, /run and /var/tmp, which Docker has not.
        "--read-only-tmpfs=false",
        *(f"--cap-drop={one}" for one in service["cap_drop"]),
        *(f"--security-opt={one.removesuffix(':true')}" for one in service["security_opt"]),
        *(f"--tmpfs={one}" for one in tmpfs),
        *(f"--{name}={value}" for name, value in given.items()),
    ]


class Container:
    """One that was started. Its port is one of 127.0.0.1."""

    def __init__(self, engine: Podman, options: Sequence[str]) -> None:
        self.engine, self.port = engine, free_port()
        # Its health check would need systemd.
        published = ("--detach", "--no-healthcheck", f"--publish=127.0.0.1:{self.port}:3000")
        self.name = engine.check("run", *published, *options, IMAGE)

    def get(self, path: str, seconds: float = 30) -> httpx.Response:
        return httpx.get(f"http://127.0.0.1:{self.port}{path}", trust_env=False, timeout=seconds)

    def post(self, path: str, **fields: Any) -> httpx.Response:
        return httpx.post(f"http://127.0.0.1:{self.port}{path}", json=fields, trust_env=False, timeout=60)

    def is_ready(self) -> bool:
        try:
            return self.get("/readyz").status_code == 200
        except httpx.TransportError:
            assert self.engine.state(self.name)["Running"], self.engine.said(self.name)
            return False

    def stop(self) -> float:
        """As Compose does. Returns the seconds that it took."""
        service = yaml.safe_load((ROOT / "deploy/compose.yaml").read_text())["services"]["ganserve"]
        begun = time.monotonic()
        self.engine.check("stop", "--time", service["stop_grace_period"].removesuffix("s"), self.name)
        return time.monotonic() - begun


def running(
    engine: Podman, *options: str, tmp: Sequence[str] | None = None, **limits: object
) -> AbstractContextManager[Container]:
    """As Compose starts it, with more options, and others in the place of its tmpfs and limits."""
    return started(engine, [*as_composed(tmp, **limits), *options])


@contextmanager
def started(engine: Podman, options: Sequence[str]) -> Iterator[Container]:
    one = Container(engine, options)
    try:
        yield one
    finally:
        engine.run("rm", "--force", "--time", "0", one.name)


@contextmanager
def ready(
    engine: Podman, *options: str, tmp: Sequence[str] | None = None, **limits: object
) -> Iterator[Container]:
    with running(engine, *options, tmp=tmp, **limits) as one:
        wait_until(one.is_ready, seconds=300)
        yield one
