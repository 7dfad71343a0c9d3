import itertools
import json
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
from PIL import Image
from rich.progress import Progress

from service.generator.contract import ImageShape
from service.generator.latents import latents
from tests.generators import Tiny
from tests.training.pictures import CLASS_NAMES, squares
from tests.training.tiny import command, write_npz
from training.classification import learning
from training.errors import UserError
from training.evaluation.generated import Source
from training.evaluation.quality.comparison import Sample, judged, look
from training.evaluation.quality.judge import Judge
from training.evaluation.quality.judging import JudgeSettings, fit
from training.research.studies import (
    discriminator_steps,
    few_labels,
    fine_tuning,
    growing,
    inception_score,
    latent_space,
    truncation,
)
from training.research.studies.command import PROGRAMS, block
from training.research.studies.study import Study


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    """One trained judge for all commands of this file."""
    return tmp_path_factory.mktemp("judges")


@pytest.fixture(autouse=True)
def _short_runs(monkeypatch):
    """Of networks that train in milliseconds."""
    monkeypatch.setattr(discriminator_steps, "STOPS", 4)
    monkeypatch.setitem(discriminator_steps.CHANGES, "width", 2)
    monkeypatch.setitem(discriminator_steps.CHANGES, "batch", 4)
    monkeypatch.setitem(few_labels.CHANGES, "width", 2)
    monkeypatch.setattr(growing, "CHANGES", {"width": 4, "z_dim": 8, "batch": 4})
    monkeypatch.setattr(growing, "TRIAL_UPDATES", 8)
    monkeypatch.setattr(few_labels, "LABELS", (6, 30))
    monkeypatch.setattr(learning, "WIDTH", 8)
    monkeypatch.setitem(fine_tuning.CHANGES, "width", 8)
    monkeypatch.setattr(fine_tuning, "SEEDS", 2)
    monkeypatch.setattr(fine_tuning, "PICTURES", 6)


@pytest.fixture(scope="module")
def judge() -> Judge:
    """Of the squares of pictures.py."""
    return fit(squares(), JudgeSettings("plain", images=1280), lambda _: None)


def study_of(judge: Judge, work, forward=None, updates: int = 50, z_dim: int = 8) -> Study:
    """Of 60 squares of either split, and a generator that turns z into an image as `forward` says."""
    dataset = squares()
    held_out = Sample(dataset.test_images[:60], dataset.test_labels[:60])
    training = Sample(dataset.images[:60], dataset.labels[:60])
    source = Source(
        forward or flat,
        z_dim,
        CLASS_NAMES,
        ImageShape(1, 28, 28),
        {"engine": "test"},
        32,
        partial(latents, z_dim=z_dim),
    )
    return Study(
        dataset, lambda: judge, held_out, training, lambda: source, updates, work, Progress(disable=True)
    )


def flat(z, label):
    """Images of one grey level, which the first number of z sets: a latent space without bends."""
    level = np.clip(128 + 20 * z[:, 0], 0, 255).astype(np.uint8)
    return np.broadcast_to(level[:, None, None, None], (len(z), 1, 28, 28)).copy()


@pytest.mark.parametrize("name", PROGRAMS)
def test_each_study_measures_draws_and_fills_its_place_in_the_document(name, tmp_path, cache):
    data = write_npz(tmp_path / "stripes.npz", count=180)
    model = tmp_path / "model"
    model.mkdir()
    (model / "generator.onnx").write_bytes(Tiny(classes=("0", "1", "2"), image=(1, 28, 28)).file())
    out = tmp_path / "studies"
    out.with_suffix(".md").write_text(f"<!-- figures: {name} -->\n<!-- /figures -->\n")
    budget = ("--images", 30, "--updates", 50, "--judge", "plain", "--judge-images", 128)
    folders = ("--out", out, "--cache", cache, "--work", tmp_path / "work")
    result = command("study", name, "--data", data, "--model", model, *budget, *folders)
    assert result.exit_code == 0, result.output
    found = json.loads((out / f"{name}.json").read_text("utf-8"))
    assert block(found, PROGRAMS[name]) in out.with_suffix(".md").read_text("utf-8")
    with Image.open(out / f"{name}.png") as picture:
        assert min(picture.size) > 250


def test_an_unconditional_model_is_refused_in_one_line(tmp_path):
    data = write_npz(tmp_path / "stripes.npz")
    (tmp_path / "generator.onnx").write_bytes(Tiny(classes=None, image=(1, 28, 28)).file())
    result = command("study", "truncation", "--data", data, "--model", tmp_path, "--out", tmp_path / "out")
    assert result.exit_code == 1
    assert "not told the class" in result.output


def test_a_stopped_run_goes_on_to_the_same_points(judge, tmp_path):
    def points(folder, count=None):
        study = study_of(judge, folder)
        held_out = judge(study.held_out.images).features
        return list(itertools.islice(discriminator_steps.trained(study, 4, held_out, lambda _: None), count))

    first = points(tmp_path / "stopped", 2)
    # Killed after the third point was written, and before its checkpoint was.
    (file,) = (tmp_path / "stopped").glob("*/points.json")
    beyond = {"updates": 40, "generator_updates": 8, "loss_g": 0, "loss_d": 0, "frechet_distance": 0}
    file.write_text(json.dumps([*json.loads(file.read_text("utf-8")), beyond]))
    assert points(tmp_path / "stopped") == points(tmp_path / "whole")
    assert points(tmp_path / "whole")[:2] == first
    assert [point.updates for point in first] == [15, 25]
    assert [point.generator_updates for point in first] == [3, 5]


def test_few_labels_are_drawn_anew_and_what_was_measured_is_not_measured_again(judge, tmp_path):
    study = study_of(judge, tmp_path, updates=20)
    first = few_labels.run(study, tmp_path / "picture.png")
    (kept,), (lost,) = (list(tmp_path.glob(f"*/{name}.json")) for name in ("6-0-both", "30-2-alone"))
    kept.write_text(json.dumps({few_labels.KNOWN: -1}))
    lost.unlink()
    again = few_labels.run(study, tmp_path / "picture.png")
    assert again["runs"]["6"][0][few_labels.KNOWN] == -1
    assert again["runs"]["6"][1:] == first["runs"]["6"][1:]
    assert again["runs"]["30"] == first["runs"]["30"]
    draws = first["runs"]["6"]
    assert len({tuple(one.values()) for one in draws}) == len(draws) == few_labels.DRAWS


def test_no_test_image_says_when_to_stop_or_what_is_learnt(tmp_path):
    dataset = squares(train=80)
    other = replace(dataset, test_labels=np.roll(dataset.test_labels, 1))
    first, second = (few_labels.alone(one, np.arange(30), 24, 0) for one in (dataset, other))
    assert first["stopped_after"] == second["stopped_after"]
    # Each picture is then of another class, so that who was right is wrong.
    assert first[few_labels.EARLY] > 0.5 > second[few_labels.EARLY]


def test_a_run_with_other_settings_is_not_gone_on_with(judge, tmp_path, monkeypatch):
    study, held_out = study_of(judge, tmp_path), judge(squares().test_images).features
    next(discriminator_steps.trained(study, 1, held_out, lambda _: None))
    monkeypatch.setitem(discriminator_steps.CHANGES, "lr_g", 1e-4)
    with pytest.raises(UserError, match="another --work"):
        next(discriminator_steps.trained(study, 1, held_out, lambda _: None))


def test_one_image_a_class_scores_higher_than_the_images_it_was_taken_from(judge, tmp_path):
    found = inception_score.run(study_of(judge, tmp_path), tmp_path / "picture.png")["samples"]
    one, real = found["one real image a class"], found["real images"]
    assert one["inception_score"] > real["inception_score"]
    assert one["in_class_diversity"] == pytest.approx(0, abs=1e-6)
    assert one["in_class_similarity"] == pytest.approx(1)
    assert one["recall"] < 0.1 < real["recall"]


def test_the_collapsed_sample_is_of_training_images_one_a_class(judge, tmp_path):
    study = study_of(judge, tmp_path)
    sample = inception_score.collapsed(study)
    assert sample.labels is not None
    assert study.training.labels is not None
    assert len(np.unique(sample.images, axis=0)) == len(CLASS_NAMES)
    for image, label in zip(sample.images[:3], sample.labels[:3], strict=True):
        rows = (study.training.images == image).all(axis=(1, 2, 3))
        assert study.training.labels[rows] == label


def test_truncation_shrinks_what_a_generator_draws(judge, tmp_path):
    study = study_of(judge, tmp_path)
    narrow, wide = (truncation.truncated(study, level).images.std() for level in (0.1, 1.0))
    assert narrow == pytest.approx(0.1 * wide, rel=0.2)
    real = look(judge, study.held_out)
    found = truncation.run(study, tmp_path / "picture.png")
    assert list(found["levels"]) == [str(level) for level in truncation.LEVELS]
    diversity = [figures["in_class_diversity"] for figures in found["levels"].values()]
    assert diversity[0] < 0.3 * diversity[-1]
    assert found["floors"]["recall"] == judged(real, look(judge, study.training))["recall"].value


def test_the_spherical_way_keeps_the_norm_and_ends_where_it_should():
    start, end = np.random.default_rng(0).standard_normal((2, 40, 64), np.float32)
    np.testing.assert_allclose(latent_space.spherical(start, end, 0), start, atol=1e-5)
    np.testing.assert_allclose(latent_space.spherical(start, end, 1), end, atol=1e-5)
    middle = np.linalg.norm(latent_space.spherical(start, end, 0.5), axis=1)
    np.testing.assert_allclose(middle, np.linalg.norm(np.stack([start, end]), axis=2).mean(axis=0), rtol=0.05)


def test_sums_of_latents_add_brightness_where_it_is_linear_in_z(judge, tmp_path):
    found = latent_space.run(study_of(judge, tmp_path), tmp_path / "picture.png")
    sums = found["sums"]
    assert sums["dark B + bright A - dark A"]["brightness"] > sums["dark B"]["brightness"] + 20
    assert sums["dark B + bright A - dark A"]["brighter"] == 1
    assert sums["dark B + any A - another A"]["brighter"] < 1


def test_a_walk_through_a_jump_has_it_in_one_step(judge, tmp_path):
    def jump(z, label):
        return np.where(z[:, :1, None, None] > 0, 200, 50).astype(np.uint8) * np.ones(
            (1, 1, 28, 28), np.uint8
        )

    abrupt, smooth = (
        latent_space.walk(study_of(judge, tmp_path, forward), np.random.default_rng(0))[0]["largest_step"]
        for forward in (jump, flat)
    )
    assert smooth < 0.5
    assert abrupt >= 1
