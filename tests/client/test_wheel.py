"""The wheel, installed: by itself it is the client; with what its extras name it serves and trains, in any folder."""

import io
import os
import re
import shutil
import signal
import subprocess
import sys
import sysconfig
import zipfile
from contextlib import suppress
from importlib.metadata import Distribution, distribution
from pathlib import Path

import numpy as np
import psutil
import pytest
from packaging.requirements import Requirement
from PIL import Image

from tests import generators
from tests.generators import Tiny
from tests.needs import program
from tests.service.loaded import loaded
from tests.service.web.site import Site
from tests.system.serving import ROOT, serving
from tests.waiting import wait_until

SHIPPED = "fashion-mnist"
SHIPPED_FILE = ROOT / "models" / SHIPPED / "generator.onnx"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    """What `make wheel` builds: the source archive, and out of that the wheel."""
    # Of a copy: what an older build left in build/ would come along.
    source = tmp_path_factory.mktemp("source")
    for name in ("pyproject.toml", "setup.py", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    for name in ("ganserve", "service", "training", f"models/{SHIPPED}"):
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    # Offline: setuptools is that of the dev extra.
    uv("build", "--no-build-isolation", "--python", sys.executable, source)
    (built,) = (source / "dist").glob("*.whl")
    return built


def uv(*words: str | Path) -> None:
    subprocess.run([program("uv", "uv"), *words, "--offline", "--quiet"], check=True, timeout=120)


def installed(folder: Path, wheel: Path) -> Path:
    """site-packages of a new environment that has the wheel and nothing else."""
    uv("venv", "--python", sys.executable, folder)
    uv("pip", "install", "--no-deps", "--python", folder / "bin/python", wheel)
    (site,) = folder.glob("lib/python*/site-packages")
    return site


@pytest.fixture(scope="module")
def client(wheel, tmp_path_factory) -> Path:
    """The command, where there is what `pip install ganserve` brings."""
    folder = tmp_path_factory.mktemp("client")
    site = installed(folder, wheel)
    (ours,) = site.glob("ganserve-*.dist-info")
    todo, done = Distribution.at(ours).requires or [], set()
    while todo:
        wanted = Requirement(todo.pop())
        if wanted.name in done or (wanted.marker and not wanted.marker.evaluate({"extra": ""})):
            continue
        done.add(wanted.name)
        brought = distribution(wanted.name)
        todo += brought.requires or []
        for top in {Path(file).parts[0] for file in brought.files or []} - {"..", "__pycache__"}:
            (site / top).symlink_to(str(brought.locate_file(top)))
    return folder / "bin/ganserve"


@pytest.fixture(scope="module")
def full(wheel, tmp_path_factory) -> Path:
    """The command, where there is what the extras bring; nothing of the wheel can be written."""
    folder = tmp_path_factory.mktemp("full")
    site = installed(folder, wheel)
    # Its own .pth files, by which this environment finds the repository, are not read there.
    (site / "extras.pth").write_text(sysconfig.get_path("purelib"))
    for path in (site / "ganserve").rglob("*"):
        path.chmod(path.stat().st_mode & ~0o222)
    return folder / "bin/ganserve"


@pytest.fixture
def hostile(tmp_path) -> Path:
    """A folder whose own modules have the names of ours."""
    folder = tmp_path / "own"
    folder.mkdir()
    for name in ("service", "training", "ganserve", "bentoml"):
        (folder / f"{name}.py").write_text("raise SystemExit('the wrong module')\n")
    (folder / "bentofile.yaml").write_text("service: service:Wrong\n")
    return folder


def said(folder: Path, *words: object, code: int = 0) -> str:
    """stdout and stderr of a command that ends."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith("GANSERVE_")}
    done = subprocess.run(
        [str(word) for word in words], cwd=folder, env=environ, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout + done.stderr


def test_a_wheel_has_one_name_for_itself_and_one_model(wheel):
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        assert {name.split("/")[0].split("-")[0] for name in names} == {"ganserve"}
        models = [name for name in names if name.endswith(".onnx")]
        assert models == [f"ganserve/_app/models/{SHIPPED}/generator.onnx"]
        assert archive.read(models[0]) == SHIPPED_FILE.read_bytes()
    assert not [name for name in names if "tests" in name or name.endswith(".pyc")]


def test_without_extras_it_is_the_client_and_says_what_the_others_are_called(client, server, hostile):
    assert "interpolate" in said(hostile, client, "--help")
    said(hostile, client, "sample", "-n", 5, "--seed", 1, "-o", "grid.png", "--url", server.url)
    want = io.BytesIO(server.samples(n=5, seed=1).content)
    with Image.open(hostile / "grid.png") as drawn, Image.open(want) as asked:
        np.testing.assert_array_equal(np.asarray(drawn), np.asarray(asked))
    for extra, words in {"serve": ["serve"], "training": ["train", "--help"]}.items():
        line = f"Error: That is not installed: pip install 'ganserve[{extra}]'\n"
        assert said(hostile, client, *words, code=2) == line
    python = client.with_name("python")
    for module in ("service", "training", "bentoml", "onnx", "torch"):
        assert "No module named" in said(hostile.parent, python, "-c", f"import {module}", code=1)


def test_serve_gives_the_repository_s_bytes_beside_modules_of_the_same_names(full, hostile, tmp_path):
    asked = {"n": 9, "seed": 1, "label": "Sneaker"}
    pin = f"{SHIPPED}=onnxruntime/fp32"
    measured = tmp_path / "cache/ganserve/engines"
    with serving(
        tmp_path / "home",
        folder=hostile,
        arguments=[full, "serve", "--port", "{port}"],
        # No GPU, or no engine would be measured.
        variables={"XDG_CACHE_HOME": str(tmp_path / "cache"), "CUDA_VISIBLE_DEVICES": ""},
        workers=2,
        engines=pin,
    ) as server:
        given = server.samples(**asked)
        assert given.headers["ganserve-model"] == SHIPPED
        with loaded(tmp_path / "models", {SHIPPED: SHIPPED_FILE.read_bytes()}, engines=pin) as models:
            assert given.content == Site(models).samples(**asked).content
        # By a process that a worker starts: it imports all engines, beside whatever else the machine does.
        wait_until(lambda: list(measured.glob("*.json")), seconds=60)
        assert SHIPPED in said(hostile, full, "admin", "--url", server.url, "models")
        taken = said(hostile, full, "serve", "--port", server.port, code=1)
        assert taken.startswith(f"ganserve: Can't listen on 127.0.0.1:{server.port}: ")
        assert taken.count("\n") == 1
        (order,) = re.findall("`(.+)`", taken)
        assert '"reloads":2' in said(hostile, *order.split())
        for process in server.tree():  # as a terminal does at Ctrl-C
            with suppress(psutil.NoSuchProcess):
                process.send_signal(signal.SIGINT)
        assert server.process.wait(60) == 0
        assert "Traceback" not in server.log


def test_serve_has_the_settings_of_the_documents(full, hostile):
    table = said(hostile, full, "serve", "--settings")
    assert "| `GANSERVE_WORKERS` |" in table
    assert table in (ROOT / "docs/settings.md").read_text()


def test_serve_serves_the_folder_that_it_is_given(full, hostile, tmp_path):
    generators.folder(hostile / "mine", {"tiny": Tiny().file()})
    with serving(
        tmp_path / "home",
        folder=hostile,
        arguments=[full, "serve", "mine", "--port", "{port}"],
        engine="fake",
    ) as server:
        assert server.get("/readyz").json()["models"] == {"tiny": "ready"}


def test_train_and_training_are_the_training_package(full, hostile):
    assert "Usage: ganserve train " in said(hostile, full, "train", "--help")
    assert "Usage: ganserve training [OPTIONS]" in said(hostile, full, "training", "--help")
    for name in ("light", "dark"):
        (hostile / "set" / name).mkdir(parents=True)
        for i in range(4):
            level = 200 + i if name == "light" else i
            Image.new("L", (28, 28), level).save(hostile / "set" / name / f"{i}.png")
    packed = said(hostile, full, "training", "prepare", "--data", "set", "--out", "set.npz")
    assert "6 training images and 2 test images" in packed
    assert (hostile / "set.npz").is_file()
