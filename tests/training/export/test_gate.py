"""What a generator must reach to be exported, and figures of a model that is there."""

from pathlib import Path

import pytest

from service.generator import loading
from service.generator.contract import parse
from service.generator.quality.reference import read
from tests.training.tiny import command, write_npz, write_run

SHORT = ("--judge", "plain", "--judge-images", 1280, "--threads", 1)


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    """A folder with a data set, a run that has hardly begun, and its model, exported without figures."""
    folder = tmp_path_factory.mktemp("gate")
    write_run(folder, 360)
    assert command("export", "--run", folder / "run", "--model", folder / "stripes").exit_code == 0
    return folder


def measured(place: Path, *options: object):
    given = ("--data", place / "stripes.npz", "--model", place / "stripes", "--cache", place / "judges")
    return command("export", "--figures", *given, *SHORT, *options)


@pytest.mark.parametrize(
    ("bound", "words"),
    [
        (("--max-fid", 1.5), "so more than --max-fid 1.5 times it"),
        (("--min-class-accuracy", 0.99), "less than --min-class-accuracy 0.99"),
    ],
)
def test_a_figure_beyond_its_bound_is_named_and_the_model_left_as_it_was(place, bound, words):
    before = {file.name: file.read_bytes() for file in (place / "stripes").iterdir()}
    result = measured(place, *bound)
    assert result.exit_code == 1
    assert "not exported" in result.output.replace("\n", " ")
    assert words in result.output.replace("\n", " ")
    assert before == {file.name: file.read_bytes() for file in (place / "stripes").iterdir()}


def test_a_bound_without_a_data_set_is_refused(place):
    result = command("export", "--run", place / "run", "--model", place / "new", "--max-fid", 2)
    assert result.exit_code == 1
    assert "need --data" in result.output
    assert not (place / "new").exists()


def test_a_watch_alone_leaves_the_model_as_it_was(place):
    before = {file.name: file.read_bytes() for file in (place / "stripes").iterdir()}
    given = ("--data", place / "stripes.npz", "--model", place / "stripes", "--cache", place / "judges")
    result = command("export", "--watch", *given, *SHORT)
    assert result.exit_code == 0, result.output
    after = {file.name: file.read_bytes() for file in (place / "stripes").iterdir()}
    contract = parse(after["generator.onnx"])
    _, reference = read(after.pop("generator.watch"), contract)
    assert after == before
    assert len(reference.apart) == contract.class_count


@pytest.mark.parametrize(
    ("count", "classes", "says"),
    [(60, 3, "real images to compare with; 20 are the least"), (360, 2, "the generator's classes are 0, 1, 2; those of")],
)  # fmt: skip
def test_a_data_set_that_does_not_fit_is_refused_before_anything_is_made_or_learnt(
    place, tmp_path, count, classes, says
):
    data = write_npz(tmp_path / "stripes.npz", count=count, classes=classes)
    given = ("--data", data, "--cache", tmp_path / "judges", *SHORT)
    for what in (("--run", place / "run"), *((flag,) for flag in ("--figures", "--watch", "--precisions"))):
        model = tmp_path / "made" if "--run" in what else place / "stripes"
        result = command("export", *what, "--model", model, *given)
        assert result.exit_code == 1
        assert says in " ".join(result.output.split())
        assert "Exporting" not in result.output
    assert [one.name for one in tmp_path.iterdir()] == ["stripes.npz"]


def test_one_thing_is_done_to_a_model_that_is_there(place):
    given = ("--data", place / "stripes.npz", "--model", place / "stripes")
    for both in (("--watch", "--figures"), ("--watch", "--run", place / "run")):
        assert "give either --run, or one of" in command("export", *both, *given).output


def test_figures_of_a_model_that_is_there_go_into_file_and_card_and_it_draws_the_same(place):
    folder = place / "stripes"
    card = folder / "README.md"
    card.write_text(
        card.read_text("utf-8").replace("## Figures\n", "Trained by night.\n\n## Figures\n"), "utf-8"
    )
    before, picture = parse((folder / "generator.onnx").read_bytes()), (folder / "samples.png").read_bytes()
    assert before.quality == {}
    result = measured(place, "--max-fid", 1e9, "--min-class-accuracy", 0)
    assert result.exit_code == 0, result.output
    after, text = parse((folder / "generator.onnx").read_bytes()), card.read_text("utf-8")
    assert (after.golden, after.training) == (before.golden, before.training)
    (verdict,) = after.quality["verdicts"]
    assert after.quality["draws"] == 3
    least = min(verdict["class_diversities"], key=lambda name: verdict["class_diversities"][name]["value"])
    assert f"the least variety in {least}" in text
    assert "Not evaluated" not in text
    assert "Trained by night." in text
    assert text.count("## Limits") == text.count("## Figures") == 1
    assert (folder / "samples.png").read_bytes() == picture
    assert loading.read(folder / loading.FILE).verified
