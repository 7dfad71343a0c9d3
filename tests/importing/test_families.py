"""Published families through import: what is served is what PyTorch draws."""

from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from safetensors.torch import save_file

from service.generator.contract import Contract
from tests.importing import families
from tests.importing.test_pictures import SEEDS, assert_same, levels, run, served

COUNT = len(SEEDS)


class Case(NamedTuple):
    """words: the options. given: what forward takes, of the rows that the contract draws."""

    words: list[str]
    given: Callable[[NDArray[np.float32], Contract], tuple[torch.Tensor, ...]]
    scalars: Mapping[str, Any] = MappingProxyType({})


def classes(contract: Contract) -> torch.Tensor:
    return torch.arange(COUNT) % contract.class_count


def styles(rows: NDArray[np.float32], contract: Contract) -> tuple[torch.Tensor, ...]:
    z, small, large, psi = np.split(torch.from_numpy(rows).numpy(), [12, 12 + 16, 12 + 16 + 64], axis=1)
    shaped = z, small.reshape(-1, 1, 4, 4), large.reshape(-1, 1, 8, 8), psi[:, 0]
    return tuple(torch.from_numpy(np.ascontiguousarray(one)) for one in shaped)


def noisy_pictures(rows: NDArray[np.float32], contract: Contract) -> tuple[torch.Tensor, ...]:
    x, sigma = rows[:, :-1].reshape(-1, 3, 16, 16) * np.float32(80), rows[:, -1]
    return torch.from_numpy(x), classes(contract), torch.from_numpy(np.ascontiguousarray(sigma))


CASES = {
    "SNGAN": Case(
        ["--input", "z=16", "--input", "y=int64"],
        lambda rows, contract: (torch.from_numpy(rows), classes(contract)),
    ),
    "BigGAN": Case(
        ["--input", "z=18", "--input", "label=int64", "--law", "truncated"],
        lambda rows, contract: (torch.from_numpy(rows), classes(contract)),
    ),
    "StyleGAN2": Case(
        [
            *("--input", "z=12", "--input", "noise_4=1x4x4", "--input", "noise_8=1x8x8"),
            *("--input", "psi=float32", "--drawn", "noise_4", "--drawn", "noise_8"),
            *("--scalar", "psi=0..1:0.7"),
        ],
        styles,
        {"psi": [0.7, 1, 0, 0.3, 0.7]},
    ),
    "Consistency": Case(
        [
            *("--input", "x=3x16x16", "--input", "y=int64", "--input", "sigma=float32"),
            *("--z", "x", "--scale", "80", "--scalar", "sigma=1..80:80"),
        ],
        noisy_pictures,
        {"sigma": [80, 40, 1, 80, 20]},
    ),
}


@pytest.fixture(scope="module")
def imported(tmp_path_factory) -> Callable[[str], tuple[torch.nn.Module, Path]]:
    """Each family's module, and the folder that import makes of it."""
    made: dict[str, tuple[torch.nn.Module, Path]] = {}

    def of(family: str) -> tuple[torch.nn.Module, Path]:
        if family not in made:
            folder = tmp_path_factory.mktemp(family)
            torch.manual_seed(0)
            module = getattr(families, family)().eval()
            for one in module.modules():
                if isinstance(one, torch.nn.BatchNorm2d):
                    assert one.running_var is not None
                    torch.nn.init.uniform_(one.running_var, 0.02, 0.1)
            save_file(
                {name: value.clone() for name, value in module.state_dict().items()}, folder / "G.safetensors"
            )
            words = ["--torch", f"tests.importing.families:{family}", "--weights", folder / "G.safetensors"]
            result = run(*words, *CASES[family].words, "--out", folder / "mine")
            assert result.exit_code == 0, result.output
            made[family] = module, folder / "mine"
        return made[family]

    return of


@pytest.mark.parametrize("family", CASES)
def test_what_is_served_is_what_pytorch_draws(imported, family):
    module, out = imported(family)
    case = CASES[family]
    got, contract = served(out, **case.scalars)
    rows = contract.rows(SEEDS)
    for place, name in enumerate(case.scalars, contract.z_dim):
        rows[:, place] = case.scalars[name]
    with torch.no_grad():
        want = levels(module(*case.given(rows, contract)).numpy())
    assert_same(got, want)


def test_what_stays_of_one_batch_is_said_in_contract_and_card(imported):
    _, contract = served(imported("StyleGAN2")[1])
    card = (imported("StyleGAN2")[1] / "README.md").read_text("utf-8")
    assert contract.batch is not None
    assert [(one.name, one.role) for one in contract.declared] == [
        *(("z", "z"), ("noise_1", "noise"), ("noise_2", "noise"), ("psi", "scalar")),
    ]
    assert f"Every pass has {contract.batch} images" in card
    assert "psi (0 to 1, by default 0.7)" in card


def test_law_and_scalars_are_in_the_contract(imported):
    assert served(imported("BigGAN")[1])[1].declared[0].law == "truncated"
    contract = served(imported("Consistency")[1])[1]
    assert contract.declared[-1].bounds == (1, 80, 80)
    assert contract.z_dim == 768
    assert contract.batch is None
    assert served(imported("SNGAN")[1])[1].schema == 1
