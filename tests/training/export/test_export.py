from pathlib import Path

import msgspec
import numpy as np
import onnx
import pytest
import torch

import training.export.export
from service.errors import EngineUnavailable
from service.generator import golden, loading
from service.generator.contract import IR_VERSION, OPSET, parse
from service.generator.images import decode
from service.generator.quality.reference import read, watch_of
from service.generator.quality.statistics import DISTANCE, figures
from service.settings import Settings
from tests.training.tiny import command, write_run
from training.evaluation.generated import images_of, open_model, open_run
from training.export import onnx_graph
from training.export.folding import fold

FILES = ["README.md", "generator.onnx", "samples.png"]


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    """A folder with a data set, a short run, and the model exported from it with figures."""
    folder = tmp_path_factory.mktemp("export")
    data = write_run(folder, 180)
    result = export(folder, "--data", data, "--judge", "plain", "--judge-images", 128)
    assert result.exit_code == 0, result.output
    return folder


@pytest.fixture
def graph_at_hand(place, monkeypatch) -> None:
    """For tests of what comes after the graph, which takes seconds to trace."""
    graph = onnx.load(place / "models" / "stripes" / "generator.onnx")
    monkeypatch.setattr(training.export.export, "to_graph", lambda trained: graph)


def export(folder: Path, *options: object, name: str = "stripes"):
    common = ("--model", folder / "models" / name, "--cache", folder / "judges", "--threads", 1)
    return command("export", "--run", folder / "run", *common, *options)


def test_the_folder_holds_a_file_a_card_and_a_picture_and_nothing_else(place):
    assert sorted(file.name for file in (place / "models" / "stripes").iterdir()) == [
        "README.md",
        "generator.onnx",
        "generator.watch",
        "samples.png",
    ]
    assert [folder.name for folder in (place / "models").iterdir()] == ["stripes"]


def test_the_graph_is_plain_and_pinned(place):
    model = onnx.load(place / "models" / "stripes" / "generator.onnx")
    assert [(domain.domain, domain.version) for domain in model.opset_import] == [("", OPSET)]
    assert model.ir_version == IR_VERSION
    assert "BatchNormalization" not in {node.op_type for node in model.graph.node}
    assert str(Path(__file__).parents[3]).encode() not in model.SerializeToString()


def test_the_file_says_what_it_is(place):
    contract = parse((place / "models" / "stripes" / "generator.onnx").read_bytes())
    assert contract.name == "stripes"
    assert contract.classes == ["0", "1", "2"]
    assert contract.training["images_seen"] == 64
    assert contract.training["settings"]["width"] == 8
    assert contract.quality["verdicts"][0]["figures"]["frechet_distance"]["images"] == 30
    assert "version" not in contract.quality["origin"]
    assert 8 <= len(contract.golden) <= 16
    assert {sample.label for sample in contract.golden} == {0, 1, 2}


def test_its_pictures_are_those_of_the_trained_network_whatever_the_batch(place):
    exported = open_model(place / "models" / "stripes", "onnxruntime", "fp32", threads=1)
    network = open_run(place / "run")
    want, labels = images_of(network, 70, lambda done: None)
    z = exported.drawn(range(70))
    for batch in (1, 7, 70):
        got = np.concatenate(
            [exported.forward(z[i : i + batch], labels[i : i + batch]) for i in range(0, 70, batch)]
        )
        assert golden.difference(got, want).excess("fp32") is None


def test_the_service_loads_it_and_finds_it_named_by_its_card(place):
    file = loading.read(place / "models" / "stripes" / loading.FILE)
    assert file.verified
    loaded = loading.load(file, Settings(engine="onnxruntime", threads=1))
    assert loaded.golden
    assert loaded.golden.max <= 1


def test_a_judge_is_beside_it_that_sees_what_torch_sees_and_the_model_within_its_limits(place):
    model = place / "models" / "stripes" / "generator.onnx"
    judge, reference = read(watch_of(model).read_bytes(), parse(model.read_bytes()))
    source = open_model(model)
    images, labels = images_of(source, reference.images, lambda done: None)
    found = figures(reference.real, reference.unit, judge(images, labels))
    for name, value in found.items():
        limit = reference.figures[name].limit
        assert value <= limit if name == DISTANCE else value >= limit
    assert found.keys() == reference.figures.keys()


def test_the_card_tells_command_figures_and_limits(place):
    card = (place / "models" / "stripes" / "README.md").read_text("utf-8")
    assert "```sh\npython -m training train --data data/stripes" in card
    assert "```sh\npython -m training evaluate --model models/stripes --data data/stripes" in card
    assert "--set width=8" in card
    assert "| Fréchet distance |" in card
    assert "## Limits" in card
    assert "Not stated." in card, "nobody said whose the images are"


def test_the_sample_picture_has_a_class_a_row(place):
    picture = decode((place / "models" / "stripes" / "samples.png").read_bytes())
    assert picture.shape == (1, 3 * 56, 10 * 56)


def test_without_data_the_card_says_that_nothing_was_measured(place, graph_at_hand):
    assert export(place, name="bare").exit_code == 0
    folder = place / "models" / "bare"
    assert "Not evaluated" in (folder / "README.md").read_text("utf-8")
    assert parse((folder / "generator.onnx").read_bytes()).quality == {}
    for file in folder.iterdir():
        file.unlink()
    folder.rmdir()


def test_failed_parity_names_the_figure_and_leaves_the_old_model(place, monkeypatch):
    def wrong(generator):
        folded = fold(generator)
        with torch.no_grad():
            next(folded.parameters()).mul_(3)
        return folded

    monkeypatch.setattr(onnx_graph, "fold", wrong)
    before = {file.name: file.read_bytes() for file in (place / "models" / "stripes").iterdir()}
    result = export(place)
    assert result.exit_code == 1
    assert "at batch 1" in result.output
    assert "max" in result.output
    assert "Traceback" not in result.output
    assert before == {file.name: file.read_bytes() for file in (place / "models" / "stripes").iterdir()}
    assert [folder.name for folder in (place / "models").iterdir()] == ["stripes"]


def test_a_file_that_the_service_would_refuse_is_not_exported(place, graph_at_hand, monkeypatch):
    def refuse(*_, **__):
        raise EngineUnavailable("the engine is out")

    monkeypatch.setattr(loading, "choose", refuse)
    result = export(place, name="refused")
    assert result.exit_code == 1
    assert "the engine is out" in result.output
    assert [folder.name for folder in (place / "models").iterdir()] == ["stripes"]


@pytest.mark.parametrize("name", ["Upper", "white space", ".hidden", "x" * 65])
def test_a_name_that_cannot_be_served_is_refused(place, name):
    result = export(place, name=name)
    assert result.exit_code == 1
    assert "lower-case letters, digits" in result.output


def test_a_wider_class_set_than_the_biggest_batch_is_checked_whole(place, monkeypatch):
    seen = set()
    contract = parse((place / "models" / "stripes" / "generator.onnx").read_bytes())
    many = msgspec.structs.replace(contract, classes=[f"class {i}" for i in range(150)])

    class Engine:
        def __init__(self, *arguments, **options):
            self.wide = self.forward

        def forward(self, z, label):
            seen.update(label.tolist())
            return np.zeros((len(z), 1, 28, 28), np.uint8)

    monkeypatch.setattr(onnx_graph, "OrtEngine", Engine)
    onnx_graph.check_parity(b"", many, Engine().forward)
    assert seen == set(range(150))
