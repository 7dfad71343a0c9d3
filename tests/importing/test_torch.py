"""A PyTorch module, and a folder as Hugging Face's Hub has it: exported, then imported as any file."""

import json
import pickle
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from service.generator.contract import parse
from service.generator.latents import latents
from tests.importing import foreign
from tests.importing.test_pictures import SEEDS, assert_same, levels, run, served

THEIRS = """
    import torch
    from torch import nn

    class Generator(nn.Module):
        '''The generator of PyTorch's DCGAN example, in small.'''

        def __init__(self, nz=100, ngf=4):
            super().__init__()
            self.main = nn.Sequential(
                nn.ConvTranspose2d(nz, ngf * 2, 4, 1, 0, bias=False),
                nn.BatchNorm2d(ngf * 2),
                nn.ReLU(True),
                nn.ConvTranspose2d(ngf * 2, ngf, 4, 2, 1, bias=False),
                nn.BatchNorm2d(ngf),
                nn.ReLU(True),
                nn.ConvTranspose2d(ngf, 3, 4, 2, 1, bias=False),
                nn.Tanh(),
            )

        def forward(self, input):
            return self.main(input)

    class Grouped(nn.Module):
        '''Its batch is written down: a convolution of as many groups as there are images.'''

        def __init__(self):
            super().__init__()
            self.style = nn.Linear(8, 4)
            self.embedding = nn.Embedding(3, 8)
            self.kernel = nn.Parameter(torch.randn(3, 4, 3, 3))
            self.const = nn.Parameter(torch.randn(1, 4, 8, 8))

        def forward(self, z, c, noise_mode='none'):
            n = int(z.shape[0])
            style = self.style(z + self.embedding(c)).reshape(n, 1, 4, 1, 1)
            kernels = (style * self.kernel).reshape(n * 3, 4, 3, 3)
            x = self.const.repeat(n, 1, 1, 1).reshape(1, n * 4, 8, 8)
            image = nn.functional.conv2d(x, kernels, padding=1, groups=n).reshape(n, 3, 8, 8)
            return torch.tanh(image)

    def nothing():
        return 1
"""


@pytest.fixture
def theirs(tmp_path, monkeypatch):
    """A module of the user's own, in the folder where the command runs."""
    name = f"theirs_{tmp_path.name}"
    (tmp_path / f"{name}.py").write_text(textwrap.dedent(THEIRS))
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    return name


def built(name: str, kind: str, **arguments: int) -> torch.nn.Module:
    torch.manual_seed(0)
    made = getattr(__import__(name), kind)(**arguments)
    for one in made.modules():
        if isinstance(one, torch.nn.BatchNorm2d):
            torch.nn.init.normal_(one.weight, 1, 0.3)
            assert one.running_var is not None
            torch.nn.init.uniform_(one.running_var, 0.001, 0.01)
    return made.eval()


def pictures(module: torch.nn.Module, z: np.ndarray, *label: torch.Tensor) -> np.ndarray:
    with torch.no_grad():
        return levels(module(torch.from_numpy(z), *label).numpy())


@pytest.mark.parametrize("form", ["safetensors", "pt", "checkpoint"])
def test_a_module_with_its_weights_draws_the_same_pictures(tmp_path, theirs, form):
    module = built(theirs, "Generator")
    state = module.state_dict()
    file = tmp_path / f"netG.{'safetensors' if form == 'safetensors' else 'pt'}"
    if form == "safetensors":
        save_file(state, file)
    elif form == "pt":
        torch.save(state, file)
    else:
        wrapped = {f"module.{name}": value for name, value in state.items()}
        torch.save({"epoch": 3, "netD": {"a": torch.zeros(1)}, "netG": wrapped}, file)
    words = ["--torch", f"{theirs}:Generator", "--weights", file, "--input", "input=100x1x1"]
    result = run(*words, "--out", tmp_path / "mine")
    assert result.exit_code == 0, result.output
    got, _ = served(tmp_path / "mine")
    assert_same(got, pictures(module, latents(SEEDS, 100).reshape(-1, 100, 1, 1)))
    card = (tmp_path / "mine" / "README.md").read_text("utf-8")
    assert f"torch module `{theirs}:Generator`, weights {file.name}" in card


def test_a_module_whose_batch_is_written_down_runs_image_by_image(tmp_path, theirs):
    module = built(theirs, "Grouped")
    torch.save(module.state_dict(), tmp_path / "G.pt")
    words = [
        "--torch",
        f"{theirs}:Grouped",
        "--weights",
        tmp_path / "G.pt",
        "--input",
        "z=8",
        "--input",
        "c=int64",
    ]
    result = run(*words, "--out", tmp_path / "mine")
    assert result.exit_code == 0, result.output
    got, contract = served(tmp_path / "mine")
    assert contract.classes == ["0", "1", "2"]
    label = torch.arange(len(SEEDS)) % 3
    assert_same(got, pictures(module, latents(SEEDS, 8), label))
    said = "forward's noise_mode is always 'none': `--input noise_mode=SHAPE` makes it an input"
    assert said in result.output
    assert said in (tmp_path / "mine" / "README.md").read_text("utf-8")


def test_a_folder_of_the_hub_gives_weights_arguments_and_licence(tmp_path, theirs):
    module = built(theirs, "Generator", nz=16)
    folder = tmp_path / "hub"
    folder.mkdir()
    save_file(module.state_dict(), folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps({"nz": 16, "architectures": ["Generator"]}))
    (folder / "README.md").write_text("---\nlicense: cc-by-4.0\ndatasets: [huggan/faces]\n---\n# Faces\n")
    result = run(
        folder, "--torch", f"{theirs}:Generator", "--input", "input=16x1x1", "--out", tmp_path / "mine"
    )
    assert result.exit_code == 0, result.output
    got, _ = served(tmp_path / "mine")
    assert_same(got, pictures(module, latents(SEEDS, 16).reshape(-1, 16, 1, 1)))
    card = (tmp_path / "mine" / "README.md").read_text("utf-8")
    assert "Licence: cc-by-4.0; Data: huggan/faces, as its README says." in card


class Evil:
    def __reduce__(self):
        return (Path.touch, (Path("it_ran"),))


@pytest.mark.parametrize("write", [torch.save, lambda what, file: file.write_bytes(pickle.dumps(what))])
def test_no_code_of_a_pickle_is_run(tmp_path, theirs, write):
    write({"w": Evil()}, tmp_path / "netG.pt")
    result = run("--torch", f"{theirs}:Generator", "--weights", tmp_path / "netG.pt", "--input", "input=100x1x1", "--check")  # fmt: skip
    assert result.exit_code == 1
    assert "holds more than tensors" in result.output
    assert "state_dict" in result.output
    assert not Path("it_ran").exists()


def test_what_is_open_about_a_module_is_asked_for(tmp_path, theirs):
    said = run("--torch", f"{theirs}:Grouped", "--check")
    assert said.exit_code == 1
    assert "--input z=8" in said.output
    assert "--input c=int64" in said.output
    assert "no parameter 'y'" in run("--torch", f"{theirs}:Generator", "--input", "y=3", "--check").output
    assert "not a torch.nn.Module" in run("--torch", f"{theirs}:nothing", "--check").output
    assert "no_such" in run("--torch", "no_such:Generator", "--check").output
    torch.save({"other": torch.zeros(3)}, tmp_path / "other.pt")
    words = ["--weights", tmp_path / "other.pt", "--input", "input=100x1x1", "--check"]
    assert "does not fit the module" in run("--torch", f"{theirs}:Generator", *words).output


def test_without_torch_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    result = run("--torch", "theirs:Generator", "--check")
    assert result.exit_code == 2
    assert "pip install 'ganserve[training]'" in result.output


def test_a_folder_with_one_onnx_file_is_that_file(tmp_path):
    (tmp_path / "hub" / "onnx").mkdir(parents=True)
    foreign.save(foreign.dcgan(), tmp_path / "hub" / "onnx" / "model.onnx")
    assert run(tmp_path / "hub", "--out", tmp_path / "mine").exit_code == 0
    assert parse((tmp_path / "mine" / "generator.onnx").read_bytes()).z_dim == 100


def test_outputs_are_called_as_the_module_calls_them(tmp_path, monkeypatch):
    """The first of several is not the picture for being the first."""
    (tmp_path / "several.py").write_text(
        "import torch\n"
        "class Named(torch.nn.Module):\n"
        "    def __init__(self):\n"
        "        super().__init__()\n"
        "        self.first, self.colours = torch.nn.Linear(16, 128), torch.nn.ConvTranspose2d(8, 3, 4, 2, 1)\n"
        "    def parts(self, z):\n"
        "        w = self.first(z)\n"
        "        rgb = torch.tanh(self.colours(w.view(-1, 8, 4, 4)))\n"
        "        return {'mask': rgb[:, :1] * 0.5, 'w': w, 'rgb': rgb}\n"
        "    def forward(self, z):\n"
        "        return self.parts(z)\n"
        "class Unnamed(Named):\n"
        "    def forward(self, z):\n"
        "        return tuple(self.parts(z).values())\n"
    )
    monkeypatch.chdir(tmp_path)
    for name, picture, latent in (("Named", "rgb", "w"), ("Unnamed", "output_2", "output_1")):
        done = run(
            "--torch", f"several:{name}", "--input", "z=16", "--out", tmp_path / "m", "--beside", latent
        )
        assert done.exit_code == 0, done.output
        assert f"output '{picture}', float32 3x8x8, is RGB 8x8" in done.output
        assert f"which V2 gives to who names `{latent}`" in done.output


def test_a_module_that_torch_can_t_export_is_refused_in_one_line(tmp_path, monkeypatch, capfd):
    (tmp_path / "branching.py").write_text(
        "import torch\n"
        "class Branching(torch.nn.Module):\n"
        "    def forward(self, z):\n"
        "        return z if z.sum() > 0 else -z\n"
    )
    monkeypatch.chdir(tmp_path)
    done = run("--torch", "branching:Branching", "--input", "z=3x8x8", "--out", tmp_path / "m")
    assert done.exit_code == 1
    assert "torch.onnx can't export the module: " in done.output
    assert len(done.output.splitlines()) == 3
    assert capfd.readouterr() == ("", "")
