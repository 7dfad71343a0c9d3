"""Every command of docs/your-generator.md, as it stands there; and what they make, served."""

import io
import os
import re
import shlex
import subprocess
import sys
import textwrap

import httpx
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from tests.generators import texts
from tests.importing import foreign
from tests.importing.test_torch import THEIRS
from tests.system.serving import ROOT, serving

TEXT = (ROOT / "docs/your-generator.md").read_text("utf-8")
COMMANDS = [
    shlex.split(line, comments=True)
    for block in re.findall(r"^```sh\n(.*?)^```", TEXT, re.DOTALL | re.MULTILINE)
    for line in block.splitlines()
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Where the files that the document names lie."""
    path = tmp_path_factory.mktemp("theirs")
    foreign.save(foreign.dcgan(), path / "generator.onnx")
    foreign.save(foreign.biggan(), path / "biggan.onnx")
    (path / "names.txt").write_text("\n".join(["собака белая", "кошка", "C", "C++", "C#", "a", "b"]), "utf-8")
    (path / "dcgan.py").write_text(textwrap.dedent(THEIRS))
    program = "import dcgan, torch; torch.save(dcgan.Generator().eval().state_dict(), 'netG.pt')"
    subprocess.run([sys.executable, "-c", program], cwd=path, check=True)
    (path / "hub-folder").mkdir()
    save_file(torch.load(path / "netG.pt", weights_only=True), path / "hub-folder" / "model.safetensors")
    texts.one_step(path / "one-step")
    return path


def test_every_command_works_as_it_stands_and_what_it_makes_is_served(folder, tmp_path):
    environ = os.environ | {"PYTHONPATH": str(ROOT)}
    made = set()
    for program, name, *words in COMMANDS:
        assert program == "ganserve"
        if name != "import":
            assert [name, *words] == ["serve", "models"]
            continue
        command = [sys.executable, "-m", "ganserve", name, *words]
        done = subprocess.run(command, cwd=folder, env=environ, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
        if "--out" in words:
            made.add(words[words.index("--out") + 1].removeprefix("models/"))
    assert made == {"faces", "animals", "choice", "dcgan", "hub", "one-step"}
    with serving(
        tmp_path / "home", models=folder / "models", default_model="faces", engine="onnxruntime"
    ) as server:
        for name in made:
            address = f"http://127.0.0.1:{server.port}/v1/models/{name}/images/3.png"
            reply = httpx.get(address, follow_redirects=True)
            assert reply.status_code == 200, reply.text
            with Image.open(io.BytesIO(reply.content)) as picture:
                assert picture.size == ((8, 8) if name == "one-step" else (16, 16))
        asked = f"http://127.0.0.1:{server.port}/v1/models/animals/images/Собака белая/3.png"
        reply = httpx.get(asked, follow_redirects=True)
        assert reply.status_code == 200, reply.text
        assert "/%D1%81%D0%BE%D0%B1%D0%B0%D0%BA%D0%B0-" in str(reply.url)
        same = httpx.get(asked.replace("Собака белая", "0"), follow_redirects=True)
        assert same.content == reply.content


def test_the_readme_has_the_three_commands_that_are_run_here():
    readme = (ROOT / "README.md").read_text("utf-8")
    (block,) = re.findall(r"^## Your own generator\n.*?^```sh\n(.*?)^```", readme, re.DOTALL | re.MULTILINE)
    assert [shlex.split(line, comments=True) for line in block.splitlines()] == COMMANDS[:3]


def test_what_the_document_says_of_options_is_true():
    from ganserve.importing.command import import_command
    from ganserve.importing.folder import MOST_INSIDE_MIB
    from service.generator.contract import OPSET

    known = {name for option in import_command.params for name in option.opts}
    assert set(re.findall(r"`(--[a-z]+)", TEXT)) - {"--keras"} <= known
    assert f"beyond {MOST_INSIDE_MIB:,} MiB" in TEXT
    assert f"opsets before {OPSET}" in TEXT
