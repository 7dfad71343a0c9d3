"""Every command of the README and of the pages that it leads to, as it stands there."""

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
from tests.system.serving import ROOT, serving
from tests.training.tiny import command, write_folder

README = (ROOT / "README.md").read_text()
CLIENTS = (ROOT / "docs/clients.md").read_text()
TRAINING = (ROOT / "docs/training.md").read_text()
PERFORMANCE = (ROOT / "docs/performance.md").read_text()
MODELS = (ROOT / "docs/models.md").read_text()

# The training commands take hours as they stand; these bounds leave each its work and a few seconds.
SHORTER = {
    "train": "--images 64 --batch 4 --set width=8 --set z_dim=8 --no-tensorboard --threads 1",
    "evaluate": "--images 24 --judge-images 200 --threads 1",
    "export": "--images 24 --judge-images 200 --threads 1",
}


def blocks(text: str, language: str, containing: str) -> list[str]:
    found = re.findall(rf"^```{language}\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    return [block for block in found if containing in block]


def array_of(script: str) -> re.Match[str] | None:
    """The array that a program's comment says, `# uint8 [4, 28, 28, 1]`."""
    return re.search(r"# (\w+) (\[.*\])\n", script)


@pytest.fixture(scope="module")
def shipped(tmp_path_factory):
    """A server of the shipped models, as `make serve` starts it."""
    with serving(tmp_path_factory.mktemp("shipped") / "home") as server:
        yield server


def python(script: str, shipped, folder) -> str:
    """What it prints, of that server."""
    done = subprocess.run(
        [sys.executable, "-c", script.replace("localhost:3000", f"127.0.0.1:{shipped.port}")],
        cwd=folder,
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize(
    "block",
    [*{block: None for text in (README, CLIENTS) for block in blocks(text, "sh", "curl")}],
    ids=lambda block: block.split("-d")[-1][:40],
)
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


@pytest.mark.parametrize(
    "block",
    [block for block in blocks(CLIENTS, "python", "localhost:3000") if array_of(block)],
    ids=lambda block: block[:30],
)
def test_python_examples_give_the_array_that_their_comment_says(block, shipped, tmp_path):
    said = array_of(block)
    assert said is not None
    shown = python(f"{block}\nprint(images.dtype, list(images.shape))", shipped, tmp_path)
    assert shown == f"{said[1]} {said[2]}\n"


def test_the_clients_of_four_protocols_give_the_same_sneakers(shipped, tmp_path):
    (openai,) = blocks(CLIENTS, "python", "from openai")
    # OpenAI's are enlarged: the same picture has 28x28 as well.
    openai = openai.replace("256x256", "28x28") + (
        "\nimport base64, io, numpy; from PIL import Image"
        "\nimages = numpy.stack([Image.open(io.BytesIO(base64.b64decode(png))) for png in pngs])"
    )
    others = [blocks(CLIENTS, "python", name)[0] for name in ("ganserve", "tritonclient", "import bentoml")]
    shown = [python(f"{one}\nprint(images.tobytes().hex())", shipped, tmp_path) for one in (openai, *others)]
    assert len(bytes.fromhex(shown[0])) == 4 * 28 * 28
    assert len(set(shown)) == 1


def test_command_lines_of_the_client_work(shipped, tmp_path):
    (block,) = blocks(CLIENTS, "sh", "ganserve sample")
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


def training_commands(text: str) -> list[list[str]]:
    """Words of each `python -m training` of a page's block, from the command's name on."""
    (block,) = blocks(text, "sh", "training train")
    lines = [shlex.split(line, comments=True) for line in block.splitlines()]
    return [words[3:] for words in lines if words[1:3] == ["-m", "training"]]


def test_a_folder_of_images_becomes_a_served_model(tmp_path, monkeypatch):
    commands = training_commands(TRAINING)
    assert [words[0] for words in commands] == ["prepare", "train", "evaluate", "export"]
    write_folder(tmp_path / "my-images", count=180)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    for words in commands:
        result = command(*words, *SHORTER.get(words[0], "").split())
        assert result.exit_code == 0, f"{words}\n{result.output}"
    with serving(tmp_path / "home", models=tmp_path / "models", engine="onnxruntime") as server:
        reply = server.samples(label="narrow", seed=3)
        with Image.open(io.BytesIO(reply.content)) as image:
            assert image.size == (28, 28)


def test_the_readme_trains_as_the_page_on_training_does():
    short = training_commands(README)
    assert [words[0] for words in short] == ["prepare", "train", "export"]
    assert [words for words in short if words not in training_commands(TRAINING)] == []


def test_the_speeds_are_those_that_were_measured():
    (result,) = re.findall(r"\]\(\.\./(benchmarks/results/serving-shipped\S+)\.md\)", PERFORMANCE)
    run = msgspec.json.decode((ROOT / f"{result}.json").read_bytes(), type=Run)
    table = summary.table(run, "fashion-mnist")
    assert table in PERFORMANCE
    ours, peer = (
        re.findall(
            rf"^\| {name} 2 workers \|.*\| ([\d.]+) \(([\d.]+)\), ([\d.]+) \|[^|]*\|$", table, re.MULTILINE
        )[0]
        for name in ("ganserve", "mosec")
    )
    said = README.partition("## Speed")[2].partition("##")[0].replace(",", "")
    assert {*ours, peer[0], peer[2]} <= set(re.findall(r"\d+(?:\.\d+)?", said))


def test_the_figures_are_those_of_the_model_card():
    card = (ROOT / "models/fashion-mnist/README.md").read_text()
    rows = [line for line in MODELS.partition("## Figures")[2].splitlines() if line.startswith("| ")]
    assert len(rows) > 5
    assert [row for row in rows if row not in card] == []


def test_every_model_that_is_shipped_is_named():
    cards = re.findall(r"\]\(\.\./models/([\w-]+)/README\.md\)", MODELS.partition("## Figures")[0])
    assert sorted(cards) == sorted(card.parent.name for card in ROOT.glob("models/*/README.md"))
