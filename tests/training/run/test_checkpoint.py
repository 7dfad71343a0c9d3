from pathlib import Path

import pytest
import torch

from tests.training.pictures import squares
from training.data.dataset import real_batches
from training.device import choose_precision
from training.errors import UserError
from training.gan.state import State, new_state
from training.gan.step import Trainer, train_step
from training.run.checkpoint import FILE_NAME, Header, load_generator, save_state
from training.settings import ImageSpec, Settings

SETTINGS = Settings(width=8, z_dim=6, label_dim=4, batch=4, images=1000)


def trained_state(updates: int) -> tuple[State, Trainer, ImageSpec]:
    dataset, cpu = squares(60, 30), torch.device("cpu")
    state = new_state(SETTINGS, dataset.spec, cpu)
    batches = real_batches(dataset, SETTINGS.seed, SETTINGS.batch, cpu)
    trainer = Trainer(SETTINGS, 3, cpu, batches, choose_precision("fp32", cpu)[0])
    for _ in range(updates):
        train_step(trainer, state)
    return state, trainer, dataset.spec


def test_generator_comes_with_all_that_is_known_of_it(tmp_path: Path) -> None:
    state, _, spec = trained_state(2)
    save_state(tmp_path, Header(SETTINGS, spec, state.images_seen), state)

    trained = load_generator(tmp_path)

    assert (trained.settings, trained.spec, trained.images_seen) == (SETTINGS, spec, 8)
    assert not trained.generator.training
    assert not any(p.requires_grad for p in trained.generator.parameters())
    weights = dict(trained.generator.named_parameters())
    assert all(torch.equal(weights[name], value) for name, value in state.average.named_parameters())


def test_generator_is_the_same_however_it_is_loaded(tmp_path: Path) -> None:
    state, _, spec = trained_state(2)
    save_state(tmp_path, Header(SETTINGS, spec, state.images_seen), state)
    by_folder, by_file = load_generator(tmp_path).generator, load_generator(tmp_path / FILE_NAME).generator
    for key, value in by_folder.state_dict().items():
        assert torch.equal(value, by_file.state_dict()[key]), key


def test_foreign_safetensors_is_refused(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    save_file({"weight": torch.zeros(2)}, tmp_path / FILE_NAME)
    with pytest.raises(UserError, match="not a checkpoint of this version"):
        load_generator(tmp_path)
