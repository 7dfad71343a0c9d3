"""Bentos, and what a container engine would get of them."""

import os
import re
import subprocess
import sys
from pathlib import Path

from tests.system.serving import ROOT, environment

BENTOFILES = {"cpu": "bentofile.yaml", "cuda": "bentofile.cuda.yaml"}
PINNED = re.compile(r"[a-z0-9./-]+:[0-9v][\w.-]*@sha256:[0-9a-f]{64}")

# Says that it is a container engine, and keeps the folder that it is asked to build.
ENGINE = """#!/bin/sh
case "$1" in
version) echo '"28.0.0"' ;;
build) for context; do :; done; cp -R "$context" "$KEPT" ;;
*) exit 1 ;;
esac
"""


def build(home: Path, bentofile: str) -> str:
    """`bentoml build`. Returns the tag."""
    home.mkdir(parents=True, exist_ok=True)
    built = subprocess.run(
        [sys.executable, "-m", "bentoml", "build", "-f", bentofile, "-o", "tag"],
        cwd=ROOT,
        env=environment(home, {}),
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert built.returncode == 0, built.stderr
    return built.stdout.rpartition("__tag__:")[2].strip()


def containerize(home: Path, tag: str) -> Path:
    """`bentoml containerize`, to a stand-in for docker. Returns the folder that docker would have built."""
    bin, kept = home / "bin", home / "context"
    bin.mkdir()
    (bin / "docker").write_text(ENGINE)
    (bin / "docker").chmod(0o755)
    # From the folder above the temporary ones: https://github.com/bentoml/BentoML/issues/5566
    temporary = home / "temporary"
    temporary.mkdir()
    done = subprocess.run(
        [sys.executable, "-m", "bentoml", "containerize", tag],
        cwd=temporary,
        env=environment(home, {})
        | {"PATH": f"{bin}:{os.environ['PATH']}", "KEPT": str(kept), "TMPDIR": str(temporary)}
        | {"BENTOML_DO_NOT_TRACK": "true"},  # as `make image` does
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert kept.is_dir(), done.stderr
    return kept


def instructions(context: Path) -> list[tuple[str, str]]:
    """The Dockerfile's instructions, as (name, rest), of all stages."""
    text = re.sub(r"(?m)^\s*#.*\n", "", (context / "env/docker/Dockerfile").read_text())
    lines = re.sub(r"\\\n\s*", "", text).splitlines()
    return [(name.upper(), rest) for name, _, rest in (line.partition(" ") for line in lines if line.strip())]


def of(context: Path, name: str) -> list[str]:
    return [rest for instruction, rest in instructions(context) if instruction == name]
