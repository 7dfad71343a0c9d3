import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from service.machine import instance

ROOT = Path(__file__).parents[3]
# A service as far as its folder goes: it listens where it is told to.
SERVICE = """
import socket, sys, time
from pathlib import Path
from service.machine import instance
root, host = Path(sys.argv[1]), sys.argv[2]
instance._bases = lambda: [root / "base"]
listening = socket.create_server((host, int(sys.argv[3])), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
path = instance.make(root)
token = instance.join()
assert instance.token(path) == token
print(path, listening.getsockname()[1], flush=True)
sys.stdin.read()
instance.remove(path)
"""


@pytest.fixture
def start(tmp_path, monkeypatch):
    monkeypatch.setattr(instance, "_bases", lambda: [tmp_path / "base"])
    running = []

    def start(host: str, port: int = 0) -> tuple[subprocess.Popen[str], Path, int]:
        command = [sys.executable, "-c", SERVICE, str(tmp_path), host, str(port)]
        process = subprocess.Popen(command, cwd=ROOT, stdin=-1, stdout=-1, text=True)
        running.append(process)
        assert process.stdout is not None
        path, port = process.stdout.readline().split()
        return process, Path(path), int(port)

    yield start
    for process in running:
        process.kill()
        process.communicate()


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "0.0.0.0", "::"])
def test_a_service_is_found_by_its_address(start, host):
    process, path, port = start(host)
    asked = "::1" if ":" in host else "127.0.0.1"
    assert instance.find(asked, port) == (asked, path)
    assert host == "::1" or instance.find("localhost", port) is not None
    assert instance.find(asked, port + 1 if port < 65535 else 1) is None
    process.communicate("")
    assert process.returncode == 0
    assert instance.find(asked, port) is None
    assert [one.name for one in path.parent.iterdir()] == ["lock"], "it leaves nothing"
    assert [one.name for one in path.parents[1].iterdir()] == ["base"]


def test_two_on_one_port_of_two_addresses_are_told_apart(start):
    _, first, port = start("127.0.0.1")
    _, second, _ = start("127.0.0.2", port)
    assert instance.find("127.0.0.1", port) == ("127.0.0.1", first)
    assert instance.find("127.0.0.2", port) == ("127.0.0.2", second)
    assert instance.token(first) != instance.token(second)


def test_no_token_is_for_another_machine(start):
    _, _, port = start("0.0.0.0")
    assert instance.find("192.0.2.1", port) is None
    here = [
        one.address for ones in psutil.net_if_addrs().values() for one in ones if one.family == socket.AF_INET
    ]
    assert all(instance.find(address, port) for address in here)


def test_what_a_killed_one_left_is_taken_away_and_what_runs_is_not(start):
    killed, left, port = start("127.0.0.1")
    _, other, other_port = start("127.0.0.1")
    large = (left / "desired/files").resolve()
    (large / "model.onnx").write_bytes(b"")
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    _, again, _ = start("127.0.0.1", port)
    assert not left.exists()
    assert not large.exists()
    assert again.is_dir()
    assert instance.find("127.0.0.1", port) == ("127.0.0.1", again)
    assert instance.find("127.0.0.1", other_port) == ("127.0.0.1", other)


def test_a_folder_that_somebody_else_could_write_to_is_not_believed(start, tmp_path):
    _, path, port = start("127.0.0.1")
    path.parent.chmod(0o770)
    assert instance.find("127.0.0.1", port) is None
    _, elsewhere, _ = start("127.0.0.1")
    assert elsewhere.parent != path.parent
    assert elsewhere.parent.stat().st_mode & 0o777 == 0o700
    path.parent.chmod(0o700)
    path.parent.rename(tmp_path / "moved")
    path.parent.symlink_to(tmp_path / "moved")
    assert instance.find("127.0.0.1", port) is None


def test_systemd_leaves_the_folder_alone_however_old_it_is(start):
    """tmpfiles passes over what it can't lock (systemd, src/tmpfiles/tmpfiles.c)."""
    _, path, _ = start("127.0.0.1")
    for one in (path, path.parent):
        locked = subprocess.run(["flock", "--nonblock", "--exclusive", str(one), "true"])
        assert locked.returncode == 1


def test_outside_bentoml_there_is_none(monkeypatch):
    monkeypatch.delenv(instance.VARIABLE, raising=False)
    assert instance.folder() is None
    assert instance.join() is None
    assert instance.VARIABLE not in os.environ
