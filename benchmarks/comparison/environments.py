"""One virtual environment a peer, so that their dependencies do not fight; names and versions in peers/*.txt."""

import hashlib
import subprocess
import sys

from benchmarks.server.servers import ROOT, VENVS

PEERS = ROOT / "benchmarks" / "peers"
CONSTRAINTS = ROOT / "constraints.txt"


class NotInstalled(Exception):
    """pip could not install a peer; the message is pip's."""


def install(peer: str) -> bool:
    """Bring .venvs/PEER to what peers/PEER.txt and constraints.txt say. Returns whether anything was done."""
    requirements, venv = PEERS / f"{peer}.txt", VENVS / peer
    stamp = venv / "installed"
    wanted = hashlib.sha256(requirements.read_bytes() + CONSTRAINTS.read_bytes()).hexdigest()
    if stamp.is_file() and stamp.read_text() == wanted:
        return False
    _run(sys.executable, "-m", "venv", "--clear", str(venv))
    pip = (str(venv / "bin/python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check")
    _run(*pip, "--constraint", str(CONSTRAINTS), "--requirement", str(requirements))
    stamp.write_text(wanted)
    return True


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise NotInstalled(f"{' '.join(command)}\n{done.stderr.strip()}")
