"""Every command of the README, as it stands there."""

import io
import os
import re
import shlex
import subprocess
import sys

import msgspec
import pytest
from PIL import Image

from benchmarks import summary
from benchmarks.report import Run
from service.settings import table
from tests.system.serving import ROOT, serving
from tests.training.tiny import command, write_folder

README = (ROOT / "README.md").read_text()

# The training commands take hours as they stand; these bounds leave each its work and a few seconds.
SHORTER = {
    "train": "--images 64 --batch 4 --set width=8 --set z_dim=8 --no-tensorboard --threads 1",
    "evaluate": "--images 24 --judge-images 200 --threads 1",
    "export": "--images 24 --judge-images 200 --threads 1",
}


def blocks(language: str, containing: str) -> list[str]:
    found = re.findall(rf"^```{language}\n(.*?)^```", README, re.DOTALL | re.MULTILINE)
    return [block for block in found if containing in block]


@pytest.fixture(scope="module")
def shipped(tmp_path_factory):
    """A server of the shipped models, as `make serve` starts it."""
    with serving(tmp_path_factory.mktemp("shipped") / "home") as server:
        yield server


@pytest.mark.parametrize("block", blocks("sh", "curl"), ids=lambda block: block.split("-d")[-1][:40])
def test_curl_commands_give_what_the_text_says(block, shipped, tmp_path):
    script = block.replace("localhost:3000", f"127.0.0.1:{shipped.port}")
    done = subprocess.run(["bash", "-e", "-c", script], cwd=tmp_path, capture_output=True, timeout=60)
    assert done.returncode == 0, done.stderr
    pictures = list(tmp_path.iterdir())
    for picture in pictures:
        with Image.open(picture) as image:
            image.load()
    assert pictures or b'"image' in done.stdout
    assert b'"code"' not in done.stdout


@pytest.mark.parametrize("block", blocks("python", "localhost:3000"), ids=lambda block: block[:30])
def test_python_examples_give_the_array_that_their_comment_says(block, shipped, tmp_path):
    script = block.replace("localhost:3000", f"127.0.0.1:{shipped.port}")
    comment = re.search(r"# (\w+) (\[.*\])\n", block)
    script += (
        "\nassert all(__import__('base64').b64decode(png)[1:4] == b'PNG' for png in pngs) and len(pngs) == 4"
        if comment is None
        else "\nprint(images.dtype, list(images.shape))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == ("" if comment is None else f"{comment[1]} {comment[2]}\n")


def test_command_lines_of_the_client_work(shipped, tmp_path):
    (block,) = blocks("sh", "ganserve sample")
    done = subprocess.run(
        [
            "bash",
            "-e",
            "-c",
            block.replace("ganserve ", f"{sys.executable} -m ganserve ").replace(
                "--seconds 5", "--seconds 1"
            ),
        ],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        env=os.environ | {"GANSERVE_URL": shipped.url, "PYTHONPATH": str(ROOT)},
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert "fashion-mnist" in done.stdout
    for name, size in {"grid.png": (112, 112), "way.gif": (28, 28)}.items():
        with Image.open(tmp_path / name) as image:
            assert image.size == size


def test_a_folder_of_images_becomes_a_served_model(tmp_path, monkeypatch):
    (block,) = blocks("sh", "training train")
    write_folder(tmp_path / "my-images", count=180)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    for line in block.splitlines():
        words = shlex.split(line, comments=True)
        if words[:3] == ["python", "-m", "training"]:
            result = command(*words[3:], *SHORTER.get(words[3], "").split())
            assert result.exit_code == 0, f"{line}\n{result.output}"
    with serving(tmp_path / "home", models=tmp_path / "models", engine="onnxruntime") as server:
        reply = server.samples(label="narrow", seed=3)
        with Image.open(io.BytesIO(reply.content)) as image:
            assert image.size == (28, 28)


def test_the_settings_table_is_that_of_the_code():
    assert table() in README


def test_the_speeds_are_those_that_were_measured():
    (result,) = re.findall(r"\]\((benchmarks/results/serving-shipped\S+)\.md\)", README)
    run = msgspec.json.decode((ROOT / f"{result}.json").read_bytes(), type=Run)
    assert summary.table(run, "fashion-mnist") in README


def test_the_figures_are_those_of_the_model_card():
    card = (ROOT / "models/fashion-mnist/README.md").read_text()
    rows = [
        line
        for line in README.partition("## Figures")[2].partition("## Speed")[0].splitlines()
        if line.startswith("| ")
    ]
    assert len(rows) > 5
    assert [row for row in rows if row not in card] == []


def test_links_to_files_lead_somewhere():
    links = re.findall(r"\]\(([^)#:]+)\)", README)
    assert len(links) > 3
    assert [link for link in links if not (ROOT / link).exists()] == []
