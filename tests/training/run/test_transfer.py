"""`train --from`: what is taken over, what stays, and what does not fit."""

import shutil
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.training.test_presets import narrow, start
from tests.training.tiny import TINY, command, stripes
from training.gan.state import State, layers, new_state
from training.gan.step import train_step
from training.presets import PRESETS
from training.run import loop
from training.run.checkpoint import FILE_NAME, Header, read, save_state
from training.run.transfer import take_over
from training.settings import ImageSpec, Settings

CPU = torch.device("cpu")


def write(path: Path, class_names: tuple[str, ...], **more: Any) -> Path:
    images, labels = stripes(**{"count": 60, "size": 28, "channels": 1, "classes": len(class_names)} | more)
    np.savez(path, images=images, labels=labels, class_names=np.array(class_names))
    return path


def begun_from(source: Path, settings: Settings, spec: ImageSpec) -> State:
    settings = replace(settings, source=str(source))
    state = new_state(settings, spec, CPU)
    take_over(state, settings, spec)
    return state


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a data set of three classes, and a run of it."""
    folder = tmp_path_factory.mktemp("trained")
    data = write(folder / "old.npz", ("narrow", "middle", "wide"))
    run = ("train", "--data", data, "--run", folder / "old", *TINY, "--images", 16, "--no-tensorboard")
    result = command(*run)
    assert result.exit_code == 0, result.output
    return folder


@pytest.fixture
def source(trained: Path, tmp_path: Path) -> Path:
    """That run in a folder of the test's own, which it may lose."""
    shutil.copytree(trained, tmp_path, dirs_exist_ok=True)
    return tmp_path / "old"


@pytest.mark.parametrize("preset", PRESETS)
def test_classes_are_taken_over_by_name_and_new_ones_begin_as_the_mean(preset: str, tmp_path: Path) -> None:
    trainer, state, dataset = start(narrow(preset))
    train_step(trainer, state)
    old = replace(dataset.spec, class_names=("a", "b", "c")) if trainer.settings.conditional else dataset.spec
    save_state(tmp_path, Header(trainer.settings, old, state.images_seen), state)
    new = replace(old, class_names=("c", "d", "a", "e")) if trainer.settings.conditional else old

    begun = begun_from(tmp_path, trainer.settings, new)

    by_class = 0
    for was, now in ((state.G, begun.G), (state.D, begun.D), (state.average, begun.average)):
        tensors = now.state_dict()
        for name, tensor in was.state_dict().items():
            if tensor.shape == tensors[name].shape:
                assert torch.equal(tensor, tensors[name]), name
            else:
                by_class += 1
                # adcgan's head has the classes twice.
                for half, before in zip(tensors[name].split(4), tensor.split(3), strict=True):
                    mean = before.mean(0)
                    assert torch.equal(half, torch.stack([before[2], mean, before[0], mean])), name
    assert bool(by_class) == trainer.settings.conditional
    assert begun.origin
    assert begun.origin.images_seen == state.images_seen
    assert (begun.origin.kept, begun.origin.new) == (
        (("c", "a"), ("d", "e")) if trainer.settings.conditional else (old.class_names, ())
    )


@pytest.mark.parametrize("preset", ["ns-r1", "dcgan", "sagan", "cgan", "bigan", "acgan", "adcgan"])
def test_frozen_layers_stay_and_all_others_learn(preset: str, tmp_path: Path) -> None:
    trainer, state, dataset = start(narrow(preset))
    save_state(tmp_path, Header(trainer.settings, dataset.spec, 0), state)
    settings = replace(trainer.settings, source=str(tmp_path), freeze_d=1, freeze_g=1)
    state = begun_from(tmp_path, settings, dataset.spec)
    before = {
        name: {key: weight.clone() for key, weight in network.named_parameters()}
        for name, network in (("G", state.G), ("D", state.D))
    }
    # Twice: a branch that begins at zero has weights behind it that have no gradient at first.
    for _ in range(2):
        train_step(replace(trainer, settings=settings), state)
    for name, network, frozen in (("G", state.G, layers(state.G)[-1]), ("D", state.D, layers(state.D)[0])):
        still = set(frozen.parameters())
        assert still
        moved = {
            key for key, weight in network.named_parameters() if not torch.equal(weight, before[name][key])
        }
        assert moved.isdisjoint(key for key, weight in network.named_parameters() if weight in still)
        assert len(moved) > len(before[name]) / 2
    assert all(weight.grad is None for weight in still)


def test_a_run_tells_where_it_began_in_one_line_in_its_file_and_in_the_card(
    tmp_path: Path, source: Path
) -> None:
    data, run = write(tmp_path / "new.npz", ("wide", "tall")), tmp_path / "new"
    arguments = ("train", "--data", data, "--run", run, "--from", source, "--freeze-d", 2, "--images", 8)
    result = command(*arguments, "--no-tensorboard", "--threads", 1)

    assert result.exit_code == 0, result.output
    line = (
        f"It begins with the weights of {source} (old, 16 images); classes known there: wide; at the mean of its "
        "classes begin: tall; frozen layers at the image: 2 of D."
    )
    assert line in result.output
    header, _ = read(run / FILE_NAME)
    # Of the source, without a word.
    assert (header.settings.width, header.settings.z_dim, header.settings.batch) == (8, 8, 4)
    assert header.origin
    assert header.origin.run == str(source)
    exported = command("export", "--run", run, "--model", tmp_path / "model")
    assert exported.exit_code == 0, exported.output
    card = (tmp_path / "model" / "README.md").read_text("utf-8")
    assert line.removesuffix(".") in card
    assert f"--from {source} --freeze-d 2" in card
    assert "from scratch" not in card


def test_a_stopped_run_goes_on_in_the_same_bits_without_its_source(
    tmp_path: Path, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = write(tmp_path / "new.npz", ("wide", "tall"))

    def train(run: str) -> int:
        arguments = ("--run", tmp_path / run, "--from", source, "--freeze-g", 1, "--images", 40)
        return command("train", "--data", data, *arguments, "--no-tensorboard", "--threads", 1).exit_code

    assert train("whole") == 0
    monkeypatch.setattr(loop, "train_step", stopping_at(12, loop.train_step))
    assert train("stopped") == 130
    monkeypatch.undo()
    shutil.rmtree(source)
    assert train("stopped") == 0
    assert (tmp_path / "stopped" / FILE_NAME).read_bytes() == (tmp_path / "whole" / FILE_NAME).read_bytes()


def stopping_at(images: int, step: Callable[..., Any]) -> Callable[..., Any]:
    def stopping(trainer: Any, state: Any) -> Any:
        figures = step(trainer, state)
        if state.images_seen == images:
            # Not by a signal: what other tests left to hear it in this process would, too.
            hears = signal.getsignal(signal.SIGINT)
            assert callable(hears)
            hears(signal.SIGINT, None)
        return figures

    return stopping


@pytest.mark.parametrize(
    ("arguments", "images", "says"),
    [
        ((), {"size": 32}, "28x28 pixels in 1 channels, new has 32x32 in 1: `prepare --size`"),
        ((), {"channels": 3}, "28x28 pixels in 1 channels, new has 28x28 in 3"),
        (("--set", "width=16"), {}, "has other networks: width (8, now 16)"),
        (("--preset", "sagan"), {}, "has other networks: network (residual, now sagan), z_dim (8, now 64)"),
        (("--freeze-d", 5), {}, "freeze_d is 5: the network has 5 layers, and one must learn"),
        (("--freeze-g", -1), {}, "-1 is not in the range"),
    ],
)
def test_what_does_not_fit_is_one_line(
    arguments: tuple[object, ...], images: dict[str, int], says: str, tmp_path: Path, source: Path
) -> None:
    data, run = write(tmp_path / "new.npz", ("wide", "tall"), **images), tmp_path / "new"
    result = command("train", "--data", data, "--run", run, "--from", source, *arguments)
    assert result.exit_code in (1, 2)
    assert says in result.output
    assert not (run / FILE_NAME).exists()


def test_a_source_must_be_a_run_and_frozen_layers_need_one(tmp_path: Path, source: Path) -> None:
    data = write(tmp_path / "new.npz", ("wide", "tall"))
    train = ("train", "--data", data, "--run", tmp_path / "new", *TINY)
    assert "give a run folder in which `train` has written" in command(*train, "--from", tmp_path).output
    assert "they need --from" in command(*train, "--freeze-d", 1).output
    (tmp_path / "generator.onnx").write_bytes(b"an exported model")
    assert "cannot be read as a checkpoint" in command(*train, "--from", tmp_path / "generator.onnx").output


def test_a_run_from_another_is_no_run_from_nothing(tmp_path: Path, source: Path) -> None:
    data = tmp_path / "old.npz"
    result = command("train", "--data", data, "--run", source, *TINY, "--images", 32, "--from", source)
    assert f"holds a run with other settings: source (, now {source})" in result.output


def test_a_fall_before_any_sound_state_goes_back_to_the_source(tmp_path: Path) -> None:
    trainer, state, dataset = start(narrow("ns-r1"))
    train_step(trainer, state)
    save_state(tmp_path / "old", Header(trainer.settings, dataset.spec, state.images_seen), state)
    settings = replace(trainer.settings, source=str(tmp_path / "old"))
    begun = begun_from(tmp_path / "old", settings, dataset.spec)

    back = loop.roll_back(tmp_path / "new", settings, dataset, begun, loop.TrainingFailed("a fall"))

    assert all(torch.equal(*pair) for pair in zip(back.D.parameters(), state.D.parameters(), strict=True))
    assert read(tmp_path / "new" / FILE_NAME)[0].origin == begun.origin


def test_layers_are_counted_from_the_image() -> None:
    spec = ImageSpec("any", 1, 28, 28, ("a", "b"))
    state = new_state(start(narrow("ns-r1"))[0].settings, spec, CPU)
    assert layers(state.D)[0] is state.D.stem
    assert layers(state.G)[-1] is state.G.to_image
