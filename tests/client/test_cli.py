import _thread
import io
import json
import os
import pty
import re
import resource
import signal
import socket
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image

from ganserve.__main__ import main
from ganserve.ctrl_c import heeded
from tests.client.conftest import MAX_IMAGES
from tests.client.test_client import drawn
from tests.system.serving import ROOT, free_port
from tests.waiting import wait_until


@pytest.fixture
def run(server, tmp_path, monkeypatch):
    """The command line in an empty folder, of the server unless told otherwise."""
    monkeypatch.chdir(tmp_path)

    def run(*words: object, code: int = 0, url: str = server.url) -> Result:
        result = CliRunner().invoke(main, [str(word) for word in words], env={"GANSERVE_URL": url})
        assert result.exit_code == code, result.output
        assert "Traceback" not in result.output
        return result

    return run


def pixels(file: object) -> np.ndarray:
    with Image.open(file) as image:  # pyright: ignore[reportArgumentType]
        return np.asarray(image)


def process(*words: str, **options) -> subprocess.Popen:
    environ = {name: value for name, value in os.environ.items() if not name.startswith("GANSERVE_")}
    return subprocess.Popen(
        [sys.executable, "-m", "ganserve", *words],
        cwd=ROOT,
        env=environ | {"TERM": "xterm"},
        **options,
    )


@pytest.mark.parametrize("suffix", ["png", "webp"])
def test_a_grid_is_that_of_the_server(run, server, suffix):
    result = run(
        "sample", "--label", "Sneaker", "-n", 15, "--seed", 1, "-o", f"grid.{suffix}", "--model", "colour"
    )
    assert result.stdout.startswith(f"grid.{suffix}: 15 images, seeds 1 to 15, of colour@")
    assert result.stderr == ""
    want = server.samples(label="Sneaker", n=15, seed=1, model="colour")
    np.testing.assert_array_equal(pixels(f"grid.{suffix}"), pixels(io.BytesIO(want.content)))


def test_npy_has_all_images_whatever_the_server_gives_at_once(run, server):
    run("sample", "-n", 3 * MAX_IMAGES + 1, "--seed", 5, "--truncation", 0.5, "-o", "images.npy")
    images = np.load("images.npy")
    assert images.shape == (3 * MAX_IMAGES + 1, 8, 8, 1)
    last = server.samples(seed=5 + 3 * MAX_IMAGES, truncation=0.5, format="npy").content
    np.testing.assert_array_equal(images[-1], np.load(io.BytesIO(last))[0])


def test_a_folder_gets_each_image_under_its_class_and_seed(run, server, tmp_path):
    result = run("sample", "-n", 3, "--seed", 7, "-o", "out/")
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "ankle-boot-9.png",
        "bag-8.png",
        "sneaker-7.png",
    ]
    assert result.stdout.startswith("out: 3 images, seeds 7 to 9, of tiny@")
    alone = server.samples(seed=8, label="Bag").content
    np.testing.assert_array_equal(pixels("out/bag-8.png"), pixels(io.BytesIO(alone)))
    run("sample", "-n", 2, "--seed", 3, "--model", "bare", "-o", "out", "--format", "webp")
    assert (tmp_path / "out/4.webp").is_file()
    taken = run("sample", "-n", 3, "--seed", 8, "-o", "out/", code=2)
    assert "out/bag-8.png and 1 more exist: --force overwrites." in taken.stderr
    assert not (tmp_path / "out/t-shirt-top-10.png").exists(), "all of them or none"


def test_stdout_has_the_picture_and_nothing_else(run, server):
    result = run("sample", "--seed", 4, "-o", "-")
    np.testing.assert_array_equal(
        pixels(io.BytesIO(result.stdout_bytes)), pixels(io.BytesIO(server.samples(seed=4).content))
    )
    result = run("sample", "--seed", 4, "-o", "-", "--format", "npy")
    assert np.load(io.BytesIO(result.stdout_bytes)).shape == (1, 8, 8, 1)


def test_nothing_is_overwritten_unasked(run, tmp_path):
    file = tmp_path / "grid.png"
    file.write_bytes(b"mine")
    result = run("sample", "-o", "grid.png", code=2)
    assert "grid.png exists: --force overwrites." in result.stderr
    assert file.read_bytes() == b"mine"
    run("sample", "-o", "grid.png", "--force")
    assert pixels(file).shape == (8, 8)
    assert list(tmp_path.iterdir()) == [file]


def test_json_says_where_everything_is(run):
    facts = json.loads(run("sample", "-n", 2, "--seed", 9, "-o", "out/", "--json").stdout)
    assert facts["files"] == ["out/ankle-boot-9.png", "out/t-shirt-top-10.png"]
    assert (facts["model"], facts["labels"], facts["seeds"]) == ("tiny", [9, 0], [9, 10])


def test_z_of_a_file_gives_its_images(run, server):
    reply = server.samples(seed=6, n=4, format="json", include_z=True).json()["images"]
    np.save("z.npy", np.array([one["z"] for one in reply], np.float32))
    run("sample", "--z", "z.npy", "-o", "z-images.npy")
    labels = [i % 10 for i in range(len(reply))]
    want = server.samples(seed=6, n=len(reply), label=labels, format="npy").content
    np.testing.assert_array_equal(np.load("z-images.npy"), np.load(io.BytesIO(want)))


def test_a_table_shows_each_model_and_json_its_whole_card(run, server):
    table = [line.split() for line in run("models").stdout.splitlines()]
    assert [line[0] for line in table] == ["model", "bare", "colour", "tiny"]
    assert table[2][2:] == ["ready", "10", "16x16x3", "8", "onnxruntime", "fp32"]
    cards = json.loads(run("models", "--json").stdout)
    assert cards == server.get("/v1/models").json()["data"]


def test_the_way_between_seeds_is_a_row_or_an_animation(run, server):
    run("interpolate", 1, 2, 3, "--steps", 4, "--label", "Bag", "-o", "way.png")
    row = pixels("way.png")
    assert row.shape == (8, 7 * 8)
    for place, seed in ((0, 1), (3, 2), (6, 3)):
        alone = pixels(io.BytesIO(server.samples(seed=seed, label="Bag").content))
        np.testing.assert_array_equal(row[:, 8 * place : 8 * place + 8], alone)
    facts = json.loads(run("interpolate", 1, 2, "--steps", 5, "-o", "way.gif", "--json").stdout)
    assert (facts["seeds"], facts["files"]) == ([1, 2], ["way.gif"])
    with Image.open("way.gif") as animation:
        assert getattr(animation, "n_frames", 1) > 1
    run("interpolate", 5, 6, "--path", "linear", "--steps", 3, "--loop", "-o", "loop.npy")
    assert np.load("loop.npy").shape == (4, 8, 8, 1)


def test_bench_shows_percentiles_and_speed(run):
    closed = run("bench", "--seconds", 0.2, "--connections", 2, "-n", 2)
    assert "closed loop, 2 connections, n 2, png" in closed.stdout
    rows = [line.split() for line in closed.stdout.splitlines()[1:7]]
    assert [name for name, _ in rows] == ["latency", "p50", "p90", "p99", "p99.9", "max"]
    assert all(float(ms) > 0 for _, ms in rows[1:])
    assert re.search(r" images/s(, [\d,]+ images per core-second)?\n$", closed.stdout)
    assert closed.stderr == ""
    opened = json.loads(run("bench", "--seconds", 0.2, "--rate", 50, "--format", "npy", "--json").stdout)
    assert (opened["loop"], opened["requests"], opened["answered"], opened["errors"]) == ("open", 10, 10, {})
    assert opened["latency_ms"]["p50"] <= opened["latency_ms"]["max"]
    assert opened["model"].startswith("tiny@")


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


def test_an_option_wins_over_its_variable(run, server):
    run("models", "--url", server.url, "--api-key", "any", "--timeout", 5, url="http://127.0.0.1:1")


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


def test_ctrl_c_that_comes_just_before_a_call_blocks_is_not_left_until_that_call_returns():
    ours, theirs = socket.socketpair()
    ours.settimeout(20)
    with ours, theirs:
        # Like a signal that came a moment too early, this is noted and interrupts no call.
        threading.Timer(0.2, _thread.interrupt_main).start()
        begun = time.monotonic()
        with pytest.raises(KeyboardInterrupt), heeded():
            ours.recv(1)
        assert time.monotonic() - begun < 15  # and not once the 20 seconds are over


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
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}).start()
        words = ("sample", "-n", "1024", "-o", "-", "--url", f"http://127.0.0.1:{server.server_port}")
        with process(*words, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as one:
            wait_until(lambda: len(waiting) == 3)
            one.send_signal(signal.SIGINT)
            out, err = one.communicate(timeout=10)
        gate.set()
        server.shutdown()
    assert (one.returncode, out, err) == (130, b"", b"Interrupted.\n")


def test_a_bar_is_shown_on_a_terminal_and_on_stderr_only(server):
    ours, theirs = pty.openpty()
    words = ("sample", "-n", "40", "-o", "-", "--url", server.url)
    with process(*words, stdout=subprocess.PIPE, stderr=theirs) as one:
        os.close(theirs)
        shown = b""
        try:
            while part := os.read(ours, 65536):
                shown += part
        except OSError:  # the other end is closed
            pass
        picture, _ = one.communicate(timeout=30)
    os.close(ours)
    assert one.returncode == 0
    assert b"40/40" in shown
    assert pixels(io.BytesIO(picture)).shape == (6 * 8, 7 * 8)
