"""How the command ends: exit codes, Ctrl-C, full disks."""

import resource
import signal
import socket
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
import numpy as np
import pytest
from click.testing import CliRunner

from ganserve.__main__ import main
from tests.client.answering import drawn
from tests.client.command.processes import process
from tests.client.conftest import MAX_IMAGES
from tests.system.serving import free_port
from tests.waiting import wait_until


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["sample", "-o", "x.png", "--label", "shoe"], "'shoe' is no class of this model"),
        (
            ["sample", "-o", "x.png", "--model", "none"],
            "There is no model 'none'; there are: bare, colour, tiny. `ganserve models` says how each stands.",
        ),
        (["sample", "-o", "x/", "--label", "1", "--label", "2", "-n", "3"], "they must agree"),
        (["interpolate", "1", "2", "-o", "x.gif", "--steps", "60"], "allowed are 16"),
        (["bench", "--seconds", "0.1", "-n", str(MAX_IMAGES + 1)], "allowed are 1 to 16"),
    ],
)
def test_a_refusal_is_one_line_and_exit_code_1(run, tmp_path, words, says):
    result = run(*words, code=1)
    assert result.stdout == ""
    assert result.stderr.startswith("Error: ")
    assert says in result.stderr
    assert result.stderr.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["sample", "-n", "0"], "-n"),
        (["sample", "--seed", "-1"], "--seed"),
        (["sample", "--truncation", "nan"], "--truncation"),
        (["sample", "-o", "grid.gif"], ".png, .webp, .jpg, .avif, .npy"),
        (["sample", "-o", "grid"], ".png, .webp, .jpg, .avif, .npy"),
        (["sample", "-o", "grid.png", "--format", "npy"], "two things"),
        (["sample", "-o", "grid.png", "--quality", "50"], "not of .png"),
        (["interpolate", "1", "2", "-o", "way.gif", "--quality", "50"], "not of .gif"),
        (["sample", "-o", "no/grid.png"], "there is no folder no"),
        (["sample", "-o", "out/", "--format", "npy"], "one file"),
        (["sample", "-o", "-", "--json"], "both want stdout"),
        (["sample"], "Missing option '-o'"),
        (["sample", "--z", "none.npy"], "none.npy"),
        (["models", "--url", "ftp://x"], "is no address"),
        (["models", "--timeout", "nan"], "seconds above 0"),
        (["models", "--api-key", "two\nlines"], "no header can carry"),
        (["interpolate", "1", "-o", "way.png"], "two or more"),
        (["interpolate", "1", "2", "-o", "."], "name a file"),
        (["bench", "--rate", "nan"], "--rate"),
        (["draw"], "No such command"),
    ],
)  # fmt: skip
def test_wrong_usage_is_exit_code_2_before_anything_is_asked(run, tmp_path, words, says):
    result = run(*words, code=2, url="http://127.0.0.1:1")
    assert says in result.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "content", [b"no npy", np.array(["a"]), np.full((2, 8), np.nan), np.zeros((1, 2, 3))]
)
def test_a_file_that_holds_no_z_is_wrong_usage(run, tmp_path, content):
    if isinstance(content, bytes):
        (tmp_path / "z.npy").write_bytes(content)
    else:
        np.save(tmp_path / "z.npy", content)
    result = run("sample", "--z", "z.npy", "-o", "grid.png", code=2)
    assert "Invalid value for '--z': z.npy: " in result.stderr


def test_z_and_seed_exclude_each_other(run, tmp_path):
    np.save(tmp_path / "z.npy", np.zeros((2, 8)))
    assert "exclude" in run("sample", "--z", "z.npy", "--seed", 1, "-o", "grid.png", code=2).stderr


@pytest.mark.parametrize(
    "words", [["sample", "-o", "x.png"], ["models"], ["interpolate", "1", "2", "-o", "x.gif"], ["bench"]]
)
def test_a_server_that_is_not_there_is_exit_code_3(run, tmp_path, words):
    url = f"http://127.0.0.1:{free_port()}"
    result = run(*words, code=3, url=url)
    what, _, step = result.stderr.partition(" `ganserve serve` starts a server")
    assert what == f"Error: {url} can't be reached: Connection refused."
    assert "--url" in step
    assert step.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_cannot_be_written_is_one_line_and_exit_code_1(run, tmp_path):
    (tmp_path / "out").write_bytes(b"")
    assert "it is a file, not a folder" in run("sample", "-o", "out/", code=2).stderr
    result = run("sample", "-o", "out/deeper/", code=1)
    assert result.stderr == "Error: out/deeper: Not a directory.\n"


def test_a_disk_that_is_full_leaves_what_was_there(run, tmp_path):
    (tmp_path / "grid.npy").write_bytes(b"mine")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
    try:
        result = run("sample", "-n", 16, "-o", "grid.npy", "--force", code=1)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert result.stderr == "Error: grid.npy: File too large.\n"
    assert [path.name for path in tmp_path.iterdir()] == ["grid.npy"]
    assert (tmp_path / "grid.npy").read_bytes() == b"mine"


def test_stdout_that_takes_no_more_is_one_line_and_exit_code_1(server):
    with Path("/dev/full").open("wb") as full:
        words = ("sample", "-o", "-", "--url", server.url)
        with process(*words, stdout=full, stderr=subprocess.PIPE) as one:
            _, err = one.communicate(timeout=20)
    assert (one.returncode, err) == (1, b"Error: stdout: No space left on device.\n")


def test_help_tells_exit_codes_and_variables():
    text = " ".join(CliRunner().invoke(main, ["--help"]).output.split())
    for part in (
        "0 done",
        "1 the server",
        "2 wrong usage",
        "3 the server was not reached",
        "130 interrupted",
    ):
        assert part in text
    of_command = " ".join(CliRunner().invoke(main, ["models", "--help"]).output.split())
    for part in ("GANSERVE_URL", "GANSERVE_API_KEY", "http://localhost:3000"):
        assert part in of_command


@pytest.mark.parametrize("words", [["models"], ["bench"]])
def test_ctrl_c_ends_it_at_once_with_130(words):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        with process(*words, "--url", url, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as one:
            connection, _ = silent.accept()
            assert connection.recv(1)  # it has asked, and waits
            one.send_signal(signal.SIGINT)
            out, err = one.communicate(timeout=20)
            connection.close()
    assert (one.returncode, out, err) == (130, b"", b"Interrupted.\n")


TOO_EARLY = """
import _thread, socket, threading, time
from ganserve.ctrl_c import heeded

ours, theirs = socket.socketpair()
ours.settimeout(20)
begun = time.monotonic()
try:
    with heeded():
        # Like a signal that came a moment too early, this is noted and interrupts no call.
        threading.Timer(0.2, _thread.interrupt_main).start()
        ours.recv(1)
except KeyboardInterrupt:
    print("interrupted", "in time" if time.monotonic() - begun < 15 else "once the 20 seconds were over")
"""


def test_ctrl_c_that_comes_just_before_a_call_blocks_is_not_left_until_that_call_returns():
    # In a process of its own: one that came too early for this block would end that of the tests.
    ended = subprocess.run([sys.executable, "-c", TOO_EARLY], capture_output=True, text=True, timeout=60)
    assert (ended.stdout, ended.stderr) == ("interrupted in time\n", "")


def test_ctrl_c_while_many_requests_wait_leaves_them_behind():
    answered, waiting, gate = [], [], threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_error(404)

        def do_POST(self) -> None:
            asked = httpx.Request("POST", "/", content=self.rfile.read(int(self.headers["content-length"])))
            if answered:
                waiting.append(asked)
                gate.wait(20)
                return
            answered.append(asked)
            answer = drawn(asked)
            self.send_response(200)
            for name, value in answer.headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(answer.content)

        def log_message(self, format: str, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        words = ("sample", "-n", "1024", "-o", "-", "--url", f"http://127.0.0.1:{server.server_port}")
        with process(*words, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as one:
            wait_until(lambda: len(waiting) == 3)
            one.send_signal(signal.SIGINT)
            out, err = one.communicate(timeout=10)
        gate.set()
        server.shutdown()
    assert (one.returncode, out, err) == (130, b"", b"Interrupted.\n")
