"""Names that could not be served are refused before anything is trained."""

from pathlib import Path

import numpy as np
import pytest

from service.generator.contract import Contract, ImageShape
from tests.training.tiny import command, stripes, write_folder
from training.data.formats import load


def folder_of(path: Path, *names: str) -> Path:
    write_folder(path)
    for folder, name in zip(sorted(path.iterdir()), names, strict=True):
        folder.rename(path / name)
    return path


@pytest.mark.parametrize(
    "names", [("C", "C#", "C++"), ("cat", "кошка", "собака белая"), ("a", "हिन्दी", "日本")]
)
def test_names_of_every_script_are_packed_and_can_be_served(tmp_path, names):
    folder = folder_of(tmp_path / "mine", *names)
    result = command("prepare", "--data", folder, "--out", tmp_path / "out.npz")
    assert result.exit_code == 0, result.output
    packed = load(tmp_path / "out.npz").class_names
    assert packed == names
    contract = Contract(1, "mine", 8, list(packed), ImageShape(1, 28, 28))
    assert contract.names.faults == []
    assert len(set(contract.slugs)) == 3
    # A class is found as the card prints it.
    assert [contract.label_of(name) for name in ", ".join(packed).split(", ")] == [0, 1, 2]


@pytest.mark.parametrize(
    ("names", "says"),
    [
        (("C", "C-", "other"), "classes 0 and 1, 'C' and 'C-', are both 'c' in addresses: rename one"),
        (("!!", "C", "other"), "class 0, '!!', has neither a letter nor a digit: write it out"),
    ],
)
def test_names_that_can_not_be_served_are_refused_by_prepare_and_train(tmp_path, names, says):
    folder = folder_of(tmp_path / "mine", *names)
    for words in (["prepare", "--out", tmp_path / "out.npz"], ["train", "--run", tmp_path / "run"]):
        result = command(words[0], "--data", folder, *words[1:])
        assert result.exit_code == 1
        assert says in result.output
    assert not (tmp_path / "out.npz").exists()
    assert not (tmp_path / "run").exists()


def test_one_name_given_twice_is_named_with_both_labels(tmp_path):
    images, labels = stripes(60, 28, 1, 4)
    np.savez(tmp_path / "mine.npz", images=images, labels=labels, class_names=np.array(["a", "b", "A", "C"]))
    result = command("prepare", "--data", tmp_path / "mine.npz", "--out", tmp_path / "out.npz")
    assert result.exit_code == 1
    assert "classes 0 and 2 have one name, 'A': rename one" in result.output
