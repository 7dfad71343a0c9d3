"""deploy/compose.yaml as podman-compose brings it up, with a stand-in for nginx' image where no registry gives it."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import yaml

from benchmarks.server.deployment import Deployment, deployed
from tests.deploy.podman import containers
from tests.needs import program
from tests.system.serving import ROOT, free_port

SUBNET, RESOLVER = "10.89.77.0/24", "10.89.77.1"
# What the image does before nginx, by its own name: nginx -s reload's recipe in docs/operations.md runs it, too.
FILL_IN = """#!/bin/sh
set -e
for one in /etc/nginx/templates/*.template; do
    names=$(env | sed -n "s/^\\(GANSERVE_[A-Z_]*\\)=.*/\\${\\1}/p" | tr '\\n' ' ')
    envsubst "$names" < "$one" > "$NGINX_ENVSUBST_OUTPUT_DIR/$(basename "$one" .template)"
done
"""
FILL = "/docker-entrypoint.d/20-envsubst-on-templates.sh"


def nginx_image(engine: containers.Podman, folder: Path) -> str:
    """What compose.yaml names, or a stand-in."""
    image = "localhost/ganserve-nginx-stand-in"
    if engine.run("image", "exists", image).returncode == 0:
        return image
    named = yaml.safe_load((ROOT / "deploy/compose.yaml").read_text())["services"]["nginx"]["image"]
    if engine.run("pull", "--quiet", f"docker.io/{named}", seconds=300).returncode == 0:
        return f"docker.io/{named}"
    _make_nginx(engine, folder, image)
    return image


def _make_nginx(engine: containers.Podman, folder: Path, image: str) -> None:
    """From a Debian whose nginx asks DNS again (1.27.3); Debian 12's does not."""
    root = folder / "nginx"
    command = ["debootstrap", "--no-check-gpg", "--variant=minbase", "--include=nginx-light,gettext-base"]
    mirror = ["http://deb.debian.org/debian", "/usr/share/debootstrap/scripts/sid"]
    subprocess.run([*command, "forky", root, *mirror], check=True, capture_output=True, timeout=900)
    for mounted in ("proc", "sys"):
        subprocess.run(["umount", root / mounted], capture_output=True, timeout=60)
    script = root / FILL.removeprefix("/")
    script.parent.mkdir()
    script.write_text(FILL_IN)
    script.chmod(0o755)
    archive = folder / "nginx.tar"
    subprocess.run(["tar", "-C", root, "-cf", archive, "."], check=True, timeout=300)
    starts = f"""ENTRYPOINT ["sh", "-c", "{FILL} && exec nginx -g 'daemon off;'"]"""
    changes = [f"--change={one}" for one in ("USER 101:101", starts)]
    engine.check("import", *changes, archive, image, seconds=300)


@contextmanager
def composed(engine: containers.Podman, folder: Path) -> Iterator[tuple[Deployment, int]]:
    """Two replicas of the image that was built, ready; and nginx' port."""
    compose = program("podman-compose", "podman-compose")
    port = free_port()
    override = folder / "override.yaml"
    # Podman has no start_interval, and removes no container that another depends on.
    override.write_text(f"""
services:
  ganserve:
    healthcheck: {{ start_interval: !reset null }}
  nginx:
    image: {nginx_image(engine, folder)}
    depends_on: !reset {{}}
networks:
  inside:
    ipam: {{ config: [{{ subnet: {SUBNET} }}] }}
""")
    settings = {"ENGINE": "onnxruntime", "WORKERS": "1", "RESOLVER": RESOLVER, "IMAGE": containers.IMAGE}
    variables = {f"GANSERVE_{name}": value for name, value in settings.items()} | {"PORT": str(port)}
    with pytest.MonkeyPatch.context() as patch:
        for name, value in (engine.environment | variables).items():
            patch.setenv(name, value)
        with deployed("podman", [compose], [override]) as one:
            yield one, port
