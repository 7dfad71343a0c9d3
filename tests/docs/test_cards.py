"""What a model card (README.md of its folder) shows to be typed works as it stands, and trains with the settings that stand under it."""

import re
import shlex
from dataclasses import asdict
from types import SimpleNamespace
from typing import Any

import pytest

from service.generator import encoder
from service.generator.contract import parse
from tests.docs import blocks
from tests.docs.blocks import ROOT
from tests.training.tiny import command
from training.commands import encode

CONTRACTS = {
    f"models/{path.parent.name}/README.md": parse(path.read_bytes())
    for path in sorted(ROOT.glob("models/*/generator.onnx"))
}
SOURCES = {page: contract.source for page, contract in CONTRACTS.items()}
DATA_SETS = {contract.training["dataset"] for contract in CONTRACTS.values()}
# Of models that a command of their own trains: the settings are in the file.
OF_CAPTIONS = [page for page in SOURCES if "training caption train" in (ROOT / page).read_text("utf-8")]
OF_CLASSIFIERS = [page for page in SOURCES if "training classify" in (ROOT / page).read_text("utf-8")]
OF_TRANSLATORS = [page for page, source in SOURCES.items() if source is not None]
CARDS = [page for page in SOURCES if page not in OF_CAPTIONS + OF_CLASSIFIERS + OF_TRANSLATORS]
NAMES = SimpleNamespace(class_names=tuple("abcdefghij"))


@pytest.fixture
def clone(tmp_path, monkeypatch):
    """The folder that a reader is in, who has the data sets where the cards say."""
    for name in DATA_SETS:
        (tmp_path / "data" / name).mkdir(parents=True)
    (tmp_path / "models").symlink_to(ROOT / "models")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("page", CARDS)
def test_the_commands_of_a_card_are_taken_and_train_what_it_says(page, clone, monkeypatch):
    """All that is left out of them is the training, which takes minutes to hours, and the looking."""
    trained: list[Any] = []
    measured: list[Any] = []
    figures = SimpleNamespace(to_json=dict)
    monkeypatch.setattr("training.commands.train.load", lambda *_: NAMES)
    monkeypatch.setattr("training.commands.train.train", lambda settings, *_: trained.append(settings))
    monkeypatch.setattr("training.commands.evaluate.load", lambda *_: NAMES)
    monkeypatch.setattr("training.commands.evaluate.open_model", lambda path, *_: path)
    monkeypatch.setattr("training.commands.evaluate.check_match", lambda *_: None)
    monkeypatch.setattr("training.commands.evaluate.reference", lambda *_: None)
    monkeypatch.setattr(
        "training.commands.evaluate.evaluate_beside", lambda _, *given: measured.append(given) or figures
    )
    monkeypatch.setattr("training.commands.evaluate.print_tables", lambda *_: None)
    found = blocks.read(page)
    assert [block.language for block in found[:3]] == ["sh", "text", "sh"]
    for block in (found[0], *found[2:]):
        words = shlex.split(block.text)
        assert words[:3] == ["python", "-m", "training"]
        if words[3] == "encode":
            assert (
                encode.command.make_context("encode", words[4:])
                .params["model"]
                .samefile((ROOT / page).parent)
            )
            continue
        result = command(*words[3:])
        assert result.exit_code == 0, result.output
    said = dict(re.findall(r"^(\w+) = (.*)$", found[1].text, re.MULTILINE))
    assert len(said) > 15
    assert said == {name: str(getattr(trained[0], name)) for name in said}
    assert measured[0][0] == (clone / page).parent.relative_to(clone)


@pytest.mark.parametrize("page", OF_TRANSLATORS)
def test_the_command_of_a_card_trains_what_its_file_says_of_itself(page, clone, monkeypatch):
    trained: list[Any] = []
    monkeypatch.setattr("training.commands.translate.load", lambda *_: NAMES)
    monkeypatch.setattr("training.commands.translate.train", lambda settings, *_: trained.append(settings))
    (block,) = blocks.read(page)
    words = shlex.split(block.text)
    assert words[:5] == ["python", "-m", "training", "translate", "train"]
    result = command(*words[3:])
    assert result.exit_code == 0, result.output
    file = (ROOT / page).with_name("generator.onnx").read_bytes()
    assert asdict(trained[0]) == parse(file).training["settings"]


@pytest.mark.parametrize("page", OF_CAPTIONS)
def test_the_command_of_a_model_that_reads_a_text_trains_what_its_file_says(page, clone, monkeypatch):
    trained: list[Any] = []
    monkeypatch.setattr("training.commands.caption.load", lambda *_: NAMES)
    monkeypatch.setattr("training.commands.caption.train", lambda *given: trained.append(given))
    (block,) = blocks.read(page)
    result = command(*shlex.split(block.text)[3:])
    assert result.exit_code == 0, result.output
    settings, _, _, _, attributes, interpolated, _ = trained[0]
    said = parse((ROOT / page).with_name("generator.onnx").read_bytes()).training
    # A later version has more settings.
    assert said["settings"].items() <= asdict(settings).items()
    assert (list(attributes), interpolated) == (said["captions"]["attributes"], said["interpolated"])


@pytest.mark.parametrize("page", OF_CLASSIFIERS)
def test_the_command_of_a_classifier_trains_what_both_its_files_say(page, clone, monkeypatch):
    trained: list[Any] = []
    room = "training.commands.classify"
    monkeypatch.setattr(f"{room}.load", lambda *_: NAMES)
    monkeypatch.setattr(f"{room}.known", lambda *_: [])
    monkeypatch.setattr(f"{room}.learning", lambda *_: iter([None]))
    monkeypatch.setattr(f"{room}.alone", lambda *_: {})
    monkeypatch.setattr(f"{room}.export", lambda *given: trained.append(given) or {"class_accuracy": {}})
    (block,) = blocks.read(page)
    result = command(*shlex.split(block.text)[3:])
    assert result.exit_code == 0, result.output
    _, settings, _, model, *_ = trained[0]
    assert model.samefile((ROOT / page).parent)
    file = (ROOT / page).with_name("generator.onnx").read_bytes()
    beside = encoder.parse((ROOT / page).with_name("generator.encoder").read_bytes())
    assert asdict(settings) == parse(file).training["settings"] == beside.training["settings"]
