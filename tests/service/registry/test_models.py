import threading

import pytest
from onnx import helper as h
from prometheus_client import REGISTRY

from service.errors import NotReady, UnknownModel
from service.generator import contract
from service.generator.engines.choose import Choice
from service.generator.engines.fake import FakeEngine
from service.registry.model import Model
from service.registry.models import Models
from service.settings import Settings
from tests import generators
from tests.generators import Tiny
from tests.service.loaded import loaded

FILE = Tiny().file()
OPEN = threading.Event()
OPEN.set()


def sample(name, **labels):
    return REGISTRY.get_sample_value(name, labels)


@pytest.mark.parametrize("engine_name", ["onnxruntime", "openvino"])
def test_a_generator_is_ready_once_its_pictures_are_those_of_the_network(tmp_path, engine_name):
    models = Models(Settings(models=generators.folder(tmp_path, {"clothes": FILE}), engine=engine_name))
    model = models["clothes"]
    assert model.state == "loading"
    with pytest.raises(NotReady, match="loading"):
        model.require_ready()
    models.load()
    assert models.batcher
    models.batcher.close()
    model.require_ready()
    assert models.all_ready
    assert (model.state, model.problem, model.version) == ("ready", "", contract.version(FILE))
    errors = model.loaded.golden
    assert errors is not None
    assert (errors.samples, errors.max <= 1) == (4, True)
    facts = {"engine": engine_name, "precision": "fp32", "provider": model.engine.provider}
    assert sample("ganserve_model_info", model="clothes", version=model.version, **facts) == 1
    golden = {"model": "clothes", "version": model.version}
    assert sample("ganserve_golden_error_levels", statistic="max", **golden) == errors.max


def _lies_about_its_shape(model):
    # The declared output is [N, 1, 8, 8]; what the graph computes is [N, 1, 8, 8, 1].
    model.graph.node[-1].output[0] = "flat"
    model.graph.initializer.append(h.make_tensor("five", 7, [5], [-1, 1, 8, 8, 1]))
    model.graph.node.append(h.make_node("Reshape", ["flat", "five"], ["image"]))


def _unknown_operator(model):
    model.graph.node[-1].op_type = "Teleport"


BROKEN = {
    "empty": (b"", "not an ONNX file"),
    "truncated": (FILE[: len(FILE) // 2], "not an ONNX file"),
    "other-schema": (generators.with_contract(schema=3), "schema 3"),
    "no-metadata": (generators.with_metadata(None), "no metadata"),
    "other-weights": (generators.with_other_golden(), "gives other pictures than the trained network"),
    "golden-text": (generators.with_contract(golden=[{"seed": 0, "label": 0, "png": "AAAA"}]), "not a PNG"),
    "false-shape": (generators.with_graph(_lies_about_its_shape), ""),
    "unknown-operator": (generators.with_graph(_unknown_operator), "Teleport"),
    "UPPER CASE": (FILE, "folder name"),
}


@pytest.mark.parametrize("engine_name", ["onnxruntime", "openvino"])
def test_files_that_break_the_contract_are_reported_and_the_others_served(tmp_path, engine_name):
    files = {name: file for name, (file, _) in BROKEN.items()} | {"good": FILE}
    settings = Settings(models=generators.folder(tmp_path, files), engine=engine_name, threads=1)
    models = Models(settings)
    models.load()
    assert models.batcher
    models.batcher.close()
    assert models["good"].state == "ready"
    assert not models.all_ready
    for name, (_, says) in BROKEN.items():
        assert (name, models[name].state) == (name, "failed")
        assert models[name].problem
        assert says in models[name].problem
        with pytest.raises(NotReady, match=f"Model {name} is failed: "):
            models[name].require_ready()


def test_a_file_that_is_not_that_of_its_card_is_refused_and_one_without_a_card_is_served_unverified(
    tmp_path, caplog
):
    files: dict[str, bytes] = dict.fromkeys(("named", "other", "mangled", "silent", "bare"), FILE)
    generators.folder(tmp_path, files)
    row = contract.card_row(FILE)
    cards = {
        "named": row,
        "other": contract.card_row(FILE + b"."),
        "mangled": row.replace("`", "").replace(row[-9:-4], "?"),
        "silent": "# silent",
    }
    for name, card in cards.items():
        (tmp_path / name / "README.md").write_text(f"# {name}\n\n| | |\n| --- | --- |\n{card}\n")
    models = Models(Settings(models=tmp_path, engine="fake"))
    with caplog.at_level("INFO", "bentoml.ganserve.models"):
        models.load()
    assert models.batcher
    models.batcher.close()
    assert {name: (model.state, model.verified) for name, model in models.items()} == {
        "named": ("ready", True),
        "other": ("failed", False),
        "mangled": ("failed", False),
        "silent": ("ready", False),
        "bare": ("ready", False),
    }
    assert "not that of its card" in models["other"].problem
    ready = [line.partition("@") for line in caplog.messages if " ready in " in line]
    said = {name.split()[-1]: "unverified" in rest for name, _, rest in ready}
    assert said == {"named": False, "silent": True, "bare": True}


@pytest.mark.parametrize("golden_samples", [0, 1])
def test_a_file_with_few_or_no_golden_samples_is_served(tmp_path, golden_samples):
    with loaded(tmp_path, {"clothes": Tiny(golden_samples=golden_samples).file()}, threads=1) as models:
        assert models.all_ready
        assert (models["clothes"].loaded.golden is None) == (golden_samples == 0)


def test_the_fake_engine_is_not_held_to_golden_samples(tmp_path):
    generators.folder(tmp_path, {"clothes": generators.with_other_golden()})
    models = Models(Settings(models=tmp_path, engine="fake"))
    models.load()
    assert models.all_ready
    assert models.batcher
    models.batcher.close()


def test_an_engine_that_can_not_be_had_is_reported_for_every_model(tmp_path):
    generators.folder(tmp_path, {"a": FILE, "b": FILE})
    models = Models(Settings(models=tmp_path, engine="onnxruntime", precision="bf16"))
    models.load()
    assert [model.state for model in models.values()] == ["failed", "failed"]
    assert "not in bf16" in models["a"].problem
    assert models.batcher is None


def test_models_are_found_by_name_and_by_version(tmp_path):
    with loaded(tmp_path, {"b": FILE, "a": FILE}, threads=1) as models:
        version = models["a"].version
        assert models.find("a") is models.find(f"a@{version}") is models["a"]
        assert models.find(None) is models["a"], "the first by name where the default is not there"
        for address in ("", "c", "A", "a@", "a@000000000000", f"a@{version}@", f"a@{version} ", "../a", "a/"):
            with pytest.raises(UnknownModel):
                models.find(address)


def test_the_default_model_is_the_configured_one(tmp_path):
    with loaded(tmp_path, {"a": FILE, "b": FILE}, threads=1, default_model="b") as models:
        assert models.find(None).name == "b"


def test_a_file_that_is_another_than_was_found_is_refused(tmp_path):
    generators.folder(tmp_path, {"a": FILE})
    model = Model(tmp_path / "a", version="0123456789ab")
    model.load(Settings(engine="fake"))
    assert model.state == "failed"
    assert "changed after it was found" in model.problem
    assert model.version == "0123456789ab", "what was asked for"


def test_a_pass_beside_others_is_timed_by_its_own_thread(tmp_path):
    """Else a version that is loaded under load would be taken for slow, and get small batches from then on."""
    engine = FakeEngine(
        Tiny().contract(), lanes=1, pass_seconds=0.03
    )  # that waits, as if others had the cores
    engine.on_caller = True
    with loaded(tmp_path, {"a": FILE}, engine, engine="fake") as models:
        assert models["a"].loaded.pass_seconds < 0.02
        assert models["a"].line.queue.max_batch == 64


def test_an_address_without_end_is_not_echoed_whole(tmp_path):
    with loaded(tmp_path, {"a": FILE}, threads=1) as models:
        for address in ("x" * 10_000, "a@" + "x" * 10_000):
            with pytest.raises(UnknownModel) as caught:
                models.find(address)
            assert len(str(caught.value)) < 500


@pytest.mark.parametrize("where", ["nowhere", "a-file", "an-empty-folder"])
def test_a_folder_without_models_says_so_and_is_not_ready(tmp_path, where):
    (tmp_path / "a-file").write_text("")
    (tmp_path / "an-empty-folder").mkdir()
    models = Models(Settings(models=tmp_path / where))
    models.load()
    assert not models.all_ready
    assert where in models.problem
    with pytest.raises(NotReady, match="GANSERVE_MODELS"):
        models.find(None)
    with pytest.raises(UnknownModel, match="none"):
        models.find("any")


def test_folders_without_a_generator_are_passed_over(tmp_path):
    generators.folder(tmp_path, {"clothes": FILE})
    (tmp_path / "notes").mkdir()
    (tmp_path / "README.md").write_text("")
    assert list(Models(Settings(models=tmp_path))) == ["clothes"]


@pytest.mark.parametrize(
    ("engine", "max_batch"),
    [
        (FakeEngine(Tiny().contract(), lanes=1), 64),
        (FakeEngine(Tiny().contract(), lanes=1, pass_seconds=0.03), 8),
        (FakeEngine(Tiny().contract(), lanes=1, gate=OPEN, max_batch=4), 4),
    ],
    ids=["quick", "slow", "padded"],
)
def test_a_quick_generator_on_cpu_runs_larger_passes(tmp_path, engine, max_batch):
    with loaded(tmp_path, {"a": FILE}, engine, engine="fake") as models:
        assert models["a"].line.queue.max_batch == max_batch


@pytest.mark.parametrize("lanes", [{"a": 1, "b": 3}, {"a": 3, "b": 1}], ids=str)
def test_models_with_different_numbers_of_lanes_are_served_side_by_side(tmp_path, monkeypatch, lanes):
    def choose(file, contract, settings, *, name, **known):
        return Choice(FakeEngine(contract, lanes=lanes[name]))

    monkeypatch.setattr("service.generator.loading.choose", choose)
    with loaded(tmp_path, dict.fromkeys(lanes, FILE), engine="fake") as models:
        assert models.all_ready
        assert {name: len(model.engine.lanes) for name, model in models.items()} == lanes


def test_max_batch_is_what_it_is_set_to(tmp_path):
    with loaded(tmp_path, {"a": FILE}, threads=1, max_batch=3) as models:
        assert models["a"].line.queue.max_batch == 3


def test_each_worker_loads_for_itself(tmp_path, monkeypatch):
    asked = []

    def choose(file, contract, settings, *, worker, **known):
        asked.append(worker)
        return Choice(FakeEngine(contract))

    monkeypatch.setattr("service.generator.loading.choose", choose)
    models = Models(Settings(models=generators.folder(tmp_path, {"a": FILE}), engine="fake"))
    models.load(worker=3)
    assert models.batcher
    models.batcher.close()
    assert asked == [3], "GPUs are dealt out by it"


def test_golden_samples_are_asked_of_every_lane(tmp_path):
    tiny = Tiny()
    engine = FakeEngine(tiny.contract(), lanes=2)
    engine.wide, engine.lanes = tiny.forward, [tiny.forward, lambda z, label: 255 - tiny.forward(z, label)]
    with loaded(tmp_path, {"a": FILE}, engine) as models:
        assert models["a"].state == "failed"
        assert "gives other pictures" in models["a"].problem
