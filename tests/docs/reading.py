"""A reader who follows the pages: a copy of the repository, in which every block is done in the order of its page."""

import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import yaml
from PIL import Image

from tests.docs.blocks import PROGRAMS, ROOT, Block
from tests.needs import needs
from tests.system.balancers.balancer import Balancer
from tests.system.serving import Server

# `knows COMMAND... --options`: the command's own --help has every one of these options.
PRELUDE = """
set -euo pipefail
knows() {
    local command=() option said
    while [ $# -gt 0 ] && [[ $1 != --* ]]; do command+=("$1"); shift; done
    said=$("${command[@]}" --help)
    for option in "$@"; do
        [[ $option != --* ]] || grep -qe "$option\\b" <<<"$said" || { echo "${command[*]} has no $option"; return 1; }
    done
}
"""
_ARRAY = re.compile(r"^ *(\w+) = .*# (\w+) (\[.*\])$", re.MULTILINE)


def copy(folder: Path) -> Path:
    """The repository as a clone has it, with environments that `make` finds installed."""
    clone = folder / "ganserve"
    left = shutil.ignore_patterns(".*", "__pycache__", "data", "runs", "dist", "build", "*.egg-info")
    shutil.copytree(ROOT, clone, ignore=left)
    for name in (".venv", ".venv-dev"):
        (clone / name).mkdir()
        for part in Path(sys.prefix).iterdir():
            (clone / name / part.name).symlink_to(part)
        (clone / name / ".installed").unlink(missing_ok=True)
        (clone / name / ".installed").touch()
    return clone


@dataclass
class Reader:
    clone: Path
    service: Server
    """What `make serve` started in it."""

    def do(self, block: Block) -> str:
        """Run or check it. Returns what it prints. Raises AssertionError."""
        if block.language == "sh":
            self._parses(block.text)
        if block.language in PROGRAMS:
            return self._run(block) if block.script.strip() else ""
        if not block.is_printed:
            self._read(block)
        return ""

    def _run(self, block: Block) -> str:
        script, pictures = block.script, self._pictures()
        for host in ("localhost", "127.0.0.1"):
            script = script.replace(f"{host}:3000", f"127.0.0.1:{self.service.port}")
        if block.language == "sh":
            command = ["bash", "-c", PRELUDE + script]
        else:
            command = [sys.executable, "-c", script + self._shapes(block)]
        done = subprocess.run(
            command,
            cwd=self.clone,
            env=os.environ | self._variables(),
            capture_output=True,
            text=True,
            timeout=300,
        )
        assert done.returncode == 0, f"{block.where}\n{done.stdout[-3000:]}{done.stderr[-3000:]}"
        if block.prints:
            assert self._is(done.stdout, block.prints), f"{block.prints.where} is not {done.stdout}"
        else:
            assert '"code":"' not in done.stdout, f"{block.where}\n{done.stdout}"
        for picture in self._pictures() - pictures:
            with Image.open(self.clone / picture) as image:
                image.load()
        return done.stdout

    def _variables(self) -> dict[str, str]:
        return {
            # `. .venv/bin/activate`, as the pages say.
            "PATH": f"{self.clone}/.venv/bin:{os.environ['PATH']}",
            "PYTHONPATH": str(self.clone),
            "GANSERVE_URL": self.service.url,
            "URL": self.service.url,
            "XDG_CACHE_HOME": str(self.clone / ".cache"),
            # Where the image has its code.
            "BENTO_PATH": str(self.clone.parent / "bento"),
        }

    def _pictures(self) -> set[str]:
        return {path.name for path in self.clone.iterdir() if path.suffix in (".png", ".gif")}

    def _shapes(self, block: Block) -> str:
        """Lines that hold an array to what its comment says (`# uint8 [4, 28, 28, 1]`), and keep it."""
        lines = [
            f"\nassert (str({name}.dtype), list({name}.shape)) == ('{dtype}', {shape}), {name}.shape"
            f"\nimport numpy; numpy.save({str(self.array(block))!r}, {name})"
            for name, dtype, shape in _ARRAY.findall(block.script)
        ]
        return "".join(lines)

    def array(self, block: Block) -> Path:
        return self.clone.parent / f"{Path(block.page).stem}-{block.line}.npy"

    def arrays(self, blocks: list[Block]) -> list[np.ndarray]:
        return [np.load(self.array(block)) for block in blocks if self.array(block).exists()]

    def _is(self, printed: str, block: Block) -> bool:
        """Whether that was printed, but for what the page leaves out (`...`)."""
        if block.language == "json":
            printed, said = (json.dumps(json.loads(text)) for text in (printed, block.text))
        else:
            said = block.text
        wanted = re.escape(said.strip()).replace(re.escape("..."), ".*")
        return re.fullmatch(wanted, printed.strip(), re.DOTALL) is not None

    def _parses(self, script: str) -> None:
        done = subprocess.run(["bash", "-n"], input=script, capture_output=True, text=True, timeout=20)
        assert (done.returncode, done.stderr) == (0, "")

    def _read(self, block: Block) -> None:
        match block.language:
            case "json":
                json.loads(block.text)
            case "toml":
                tomllib.loads(block.text)
            case "yaml":
                yaml.safe_load(block.text)
            case "nginx":
                self._nginx_reads(block.text)

    def _nginx_reads(self, text: str) -> None:
        """As the first lines of the shipped server."""
        needs(shutil.which("nginx", path=f"{os.environ['PATH']}:/usr/sbin"), "nginx-light")
        nginx = Balancer(self.clone.parent / "nginx", [self.service.port])
        conf = self.clone.parent / "nginx/ganserve.conf"
        shipped, found = re.subn(
            r"(?m)^server \{$", lambda line: f"{line[0]}\n{text}", conf.read_text(), count=1
        )
        assert found, "the shipped configuration has no server"
        conf.write_text(shipped)
        assert "test is successful" in (said := nginx.check()), said
