"""Modules of PyTorch as people have them: halves, squeezed, without an image; and weights that are none."""

import textwrap
from pathlib import Path

import numpy as np
import pytest
import torch

from service.generator.latents import latents
from tests.importing.odd.test_other_files import POINTER
from tests.importing.test_pictures import SEEDS, assert_same, levels, run, served

THEIRS = """
    import torch
    from torch import nn

    class Plain(nn.Module):
        def __init__(self):
            super().__init__()
            torch.manual_seed(0)
            self.linear, self.up = nn.Linear(16, 128), nn.ConvTranspose2d(8, 3, 4, 2, 1)
            nn.init.normal_(self.linear.weight)

        def forward(self, z):
            return torch.tanh(self.up(self.linear(z).view(-1, 8, 4, 4)))

    class Squeezed(Plain):
        def forward(self, z):
            return super().forward(z).squeeze()

    class Nothing(Plain):
        def forward(self, z):
            super().forward(z)

    class Sized(Plain):
        def __init__(self, size):
            super().__init__()

    def brain():
        return Plain().bfloat16()

    def half():
        return Plain().half()
"""


@pytest.fixture
def theirs(tmp_path, monkeypatch):
    name = f"odd_{tmp_path.name}"
    (tmp_path / f"{name}.py").write_text(textwrap.dedent(THEIRS))
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    return name


@pytest.mark.parametrize("kind", ["brain", "half", "Squeezed"])
def test_halves_and_squeezed_pictures_are_served(tmp_path, theirs, kind):
    result = run("--torch", f"{theirs}:{kind}", "--input", "z=16", "--out", tmp_path / "mine")
    assert result.exit_code == 0, result.output
    module = getattr(__import__(theirs), kind)().float().eval()
    with torch.no_grad():
        want = module(torch.from_numpy(latents(SEEDS, 16))).numpy()
    assert_same(served(tmp_path / "mine")[0], levels(want))


@pytest.mark.parametrize(
    ("kind", "what", "mend"),
    [
        ("Nothing", "forward returns None, and no image", "whose forward returns its images"),
        ("Sized", "missing 1 required positional argument: 'size'", "which needs no arguments but those in the config.json"),
    ],
)  # fmt: skip
def test_a_module_that_is_none_of_images_is_told_its_way(theirs, kind, what, mend):
    result = run("--check", "--torch", f"{theirs}:{kind}", "--input", "z=16")
    assert result.exit_code == 1, result.output
    assert what in result.output
    assert mend in result.output
    assert "\n2. " not in result.output


def weights_of(kind: str, module: torch.nn.Module) -> None:
    if kind == "script":
        torch.jit.save(torch.jit.trace(module, torch.zeros(2, 16)), "G.pt")
        return
    state = module.state_dict()
    if kind == "nan":
        state["linear.weight"][0, 0] = np.nan
    torch.save(state, "G.pt")
    content = Path("G.pt").read_bytes()
    Path("G.pt").write_bytes({"pointer": POINTER, "cut": content[:500]}.get(kind, content))


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize(
    ("kind", "what", "mend"),
    [
        ("script", "G.pt is a program of TorchScript", "torch.save(module.state_dict(), FILE)"),
        ("pointer", "G.pt is a pointer of Git LFS", "git lfs pull"),
        ("cut", "G.pt can't be read", "Copy it again, if it was cut short"),
        ("nan", "hold NaN", "take another checkpoint"),
    ],
)
def test_weights_that_are_none_are_named_once(theirs, kind, what, mend):
    weights_of(kind, __import__(theirs).Plain().eval())
    result = run("--check", "--torch", f"{theirs}:Plain", "--weights", "G.pt", "--input", "z=16")
    assert result.exit_code == 1, result.output
    assert what in result.output
    assert mend in result.output
    assert "weights_only" not in result.output
    assert "\n2. " not in result.output
