"""Nothing of ours speaks to another machine, asks for a name, or leaves files where nobody looks for them."""

import os
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path

import psutil
import pytest

from service.quiet import VARIABLES
from tests.importing import foreign
from tests.system.hostile import watched
from tests.system.serving import ROOT, command, free_port, serving
from tests.training.tiny import TINY, write_folder

ENGINES = ("auto", "onnxruntime", "openvino", "fake")
# onnxruntime 1.31 makes up a device's id at once, but asks for its maker's address only after 13 seconds.
WATCHED_SECONDS = 15
# In the home of a user: BentoML's folder, fonts that matplotlib has found, judges that training keeps.
# What a service's workers share lies in a folder of the user's under /tmp.
SHARED = Path(f"/tmp/ganserve-{os.getuid()}")
KNOWN = ("bentoml", ".cache/matplotlib", ".config/matplotlib", ".cache/ganserve")


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch) -> Path:
    """Of a user who has set nothing; and whatever is written is written into `tmp_path`.

    Nothing of the caller's, as some libraries are quiet where a variable says that this is CI.
    """
    for name in set(os.environ) - {"PATH"}:
        monkeypatch.delenv(name)
    for variable, folder in (("HOME", tmp_path / "home"), ("TMPDIR", tmp_path / "temporary")):
        folder.mkdir()
        monkeypatch.setenv(variable, str(folder))
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    return tmp_path / "home"


def run(trace: Path, *arguments: object, folder: Path = ROOT) -> str:
    """`python` with these arguments, under watch, to its end, which must be a good one. Returns what it printed."""
    words = [*watched.arguments(trace), sys.executable, *map(str, arguments)]
    done = subprocess.run(words, cwd=folder, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def assert_kept_to_itself(trace: Path, home: Path) -> None:
    assert watched.strangers(trace) == []
    files = {path for path in watched.written(trace) if not path.is_dir()}
    assert {
        file for file in files if not (file.is_relative_to(home.parent) or file.is_relative_to(SHARED))
    } == set()
    at_home = {file for file in files if file.is_relative_to(home)}
    assert {file for file in at_home if not any(file.is_relative_to(home / name) for name in KNOWN)} == set()


def test_a_server_speaks_to_nobody_with_any_engine(small_models, tmp_path, home):
    traces = {engine: tmp_path / f"{engine}.calls" for engine in ENGINES}
    with ExitStack() as stack:
        servers = []
        for engine, trace in traces.items():
            port = free_port()
            server = serving(
                tmp_path / engine,
                port=port,
                arguments=[*watched.arguments(trace), *command(port)],
                models=small_models,
                engine=engine,
            )
            servers.append(stack.enter_context(server))
        begun = time.monotonic()
        while time.monotonic() < begun + WATCHED_SECONDS:
            for server in servers:
                assert server.samples(model="tiny", n=4).status_code == 200
                assert server.get("/metrics").status_code == 200
        for server in servers:
            (bentoml,) = psutil.Process(server.process.pid).children()  # strace itself takes no SIGTERM
            bentoml.terminate()
            server.process.wait(30)
    for trace in traces.values():
        assert_kept_to_itself(trace, home)


def test_training_speaks_to_nobody(tmp_path, home):
    images = write_folder(tmp_path / "images", count=120)
    data, place, model = (tmp_path / name for name in ("stripes.npz", "run", "models/stripes"))
    judged = ("--judge", "plain", "--judge-images", 128, "--threads", 1)
    for number, words in enumerate(
        (
            ("prepare", "--data", images, "--out", data),
            ("train", "--data", data, "--run", place, "--images", 64, *TINY),
            ("export", "--data", data, "--run", place, "--model", model, *judged),
        )
    ):
        run(tmp_path / f"{number}.calls", "-m", "training", *words)
        assert_kept_to_itself(tmp_path / f"{number}.calls", home)


@pytest.mark.parametrize("words", [["models"], ["sample", "-o", "grid.png"], ["bench", "--seconds", "0.2"]])
def test_the_client_speaks_to_its_server_only(server, tmp_path, home, words, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    run(tmp_path / "calls", "-m", "ganserve", *words, "--url", server.url, folder=tmp_path)
    assert_kept_to_itself(tmp_path / "calls", home)


def test_orders_go_to_their_server_only(server, tmp_path, home):
    assert '"change"' in run(tmp_path / "calls", "-m", "service.admin", "--url", server.url, "models")
    assert_kept_to_itself(tmp_path / "calls", home)


def test_who_looks_at_a_file_from_elsewhere_speaks_to_nobody(tmp_path, home, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    file = foreign.save(foreign.dcgan(), tmp_path / "theirs.onnx")
    run(
        tmp_path / "calls",
        "-m",
        "ganserve",
        "import",
        file,
        "--out",
        tmp_path / "models/faces",
        folder=tmp_path,
    )
    assert (tmp_path / "models/faces/generator.onnx").is_file()
    assert_kept_to_itself(tmp_path / "calls", home)


@pytest.mark.parametrize("engine", ["onnxruntime", "openvino"])
def test_a_benchmark_speaks_to_nobody(small_models, tmp_path, home, engine):
    file = small_models / "tiny/generator.onnx"
    run(tmp_path / "calls", "-m", "benchmarks.comparison.raw_limit", file, engine, "fp32", 0.1)
    assert_kept_to_itself(tmp_path / "calls", home)


@pytest.mark.parametrize(
    "words", [["benchmarks", "--help"], ["service.settings"], ["service.preflight", "127.0.0.1", "{port}"]]
)
def test_other_programs_speak_to_nobody(tmp_path, home, words):
    run(tmp_path / "calls", "-m", *(word.format(port=free_port()) for word in words))
    assert_kept_to_itself(tmp_path / "calls", home)


def test_watching_sees_a_name_looked_up_and_a_file_left_behind(tmp_path, home):
    look = "import socket; socket.gethostbyname('ganserve.invalid')"
    with pytest.raises(AssertionError, match="gaierror"):
        run(tmp_path / "name.calls", "-c", look)
    assert watched.strangers(tmp_path / "name.calls")
    send = "import socket; socket.socket(type=socket.SOCK_DGRAM).sendto(b'', ('192.0.2.1', 9))"
    run(tmp_path / "sent.calls", "-c", f"try:\n {send}\nexcept OSError: pass")
    assert watched.strangers(tmp_path / "sent.calls")
    run(tmp_path / "id.calls", "-c", f"open({str(home / 'id')!r}, 'w')")
    assert home / "id" in watched.written(tmp_path / "id.calls")
    with pytest.raises(AssertionError, match="id"):
        assert_kept_to_itself(tmp_path / "id.calls", home)


def test_what_the_user_has_set_stays(monkeypatch, home, tmp_path):
    names = dict.fromkeys(VARIABLES, "theirs")
    for name, value in names.items():
        monkeypatch.setenv(name, value)
    shown = run(
        tmp_path / "calls", "-c", f"import service, os; print([os.environ[n] for n in {list(names)}])"
    )
    assert shown.strip() == str(list(names.values()))
