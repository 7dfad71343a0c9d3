import importlib.util
from pathlib import Path

import msgspec
import pytest

from service.errors import EngineUnavailable
from service.generator.engines import cuda, ov, race
from service.generator.engines.choose import choose
from service.generator.engines.race import Figure, Result
from service.settings import Settings
from tests.generators import Tiny


def choice(quality=None, name="tiny", **settings):
    tiny = Tiny(golden_samples=0)
    contract = msgspec.structs.replace(tiny.contract(), quality=quality or {})
    return choose(tiny.file(), contract, Settings(**settings), name=name, path=Path("tiny.onnx"))


def chosen(quality=None, **settings):
    return choice(quality, **settings).engine


@pytest.fixture
def no_gpu(monkeypatch):
    monkeypatch.setattr(cuda, "device_count", lambda: 0)


@pytest.fixture
def machine(monkeypatch, no_gpu):
    """machine(ort=100, fp32=120, bf16=300): from now on one that draws so many images/s; nothing: nothing is measured."""

    def gives(ort=None, **openvino):
        figures = [Figure("openvino", precision, images) for precision, images in openvino.items()]
        figures += [Figure("onnxruntime", "fp32", ort)] if ort else []
        result = Result("Some CPU", figures) if figures else None
        monkeypatch.setattr(race, "result", lambda path, version: result)

    return gives


@pytest.mark.parametrize(
    ("images", "taken"),
    [
        ({"ort": 100, "fp32": 119}, ("onnxruntime", "fp32")),
        ({"ort": 100, "fp32": 121}, ("openvino", "fp32")),
        ({"ort": 100, "fp32": 80}, ("onnxruntime", "fp32")),
        ({"ort": 100, "fp32": 130, "bf16": 900}, ("openvino", "fp32")),
        ({"fp32": 50}, ("openvino", "fp32")),
        ({"ort": 50}, ("onnxruntime", "fp32")),
        ({}, ("onnxruntime", "fp32")),
    ],
)
@pytest.mark.usefixtures("openvino_made")
def test_auto_takes_another_than_onnxruntime_where_it_is_clearly_the_faster(machine, images, taken):
    machine(**images)
    engine = chosen(threads=2)
    assert (engine.name, engine.precision) == taken


def test_the_figures_are_in_the_reason_and_beside_the_engine(machine):
    machine(ort=1234, fp32=1000)
    engine, measured = choice(threads=2)
    assert "2 passes at once" in engine.reason
    assert "onnxruntime fp32 1,234" in engine.reason
    assert "Some CPU" in engine.reason
    assert measured is not None
    assert measured.figures[1] == Figure("onnxruntime", "fp32", 1234)


def test_where_nothing_could_be_measured_the_reason_says_so(machine):
    machine()
    assert "could be measured" in chosen().reason


def test_auto_takes_onnxruntime_where_openvino_is_not_installed(monkeypatch, machine):
    machine(fp32=100)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    engine = chosen(threads=1)
    assert engine.name == "onnxruntime"
    assert "OpenVINO is not installed" in engine.reason


@pytest.mark.usefixtures("openvino_made")
def test_a_model_is_held_to_the_engine_that_its_pin_names(machine):
    machine(ort=100, fp32=900)
    pins = "other=openvino/fp32, tiny=onnxruntime/fp32"
    assert chosen(engines=pins).name == "onnxruntime"
    assert chosen(name="other", engines=pins, engine="onnxruntime").name == "openvino"
    assert chosen(name="third", engines=pins).name == "openvino"


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_auto_takes_the_only_engine_that_has_the_precision(machine, openvino_made, precision):
    machine(ort=100)
    assert chosen(precision=precision).precision == precision


@pytest.fixture
def openvino_made(monkeypatch):
    """OpenVINO that has every precision, whatever this CPU has."""

    class Made:
        name, reason = "openvino", ""

        def __init__(self, file, contract, *, precision, threads):
            self.precision = precision

    monkeypatch.setattr(ov, "OpenVinoEngine", Made)


def measured(precision, engine="openvino", **figures):
    return {
        "engine": engine,
        "precision": precision,
        "images": 10000,
        "figures": {name: {"value": value, "error": error} for name, (value, error) in figures.items()},
    }


FP32 = measured("fp32", frechet_distance=(0.0646, 0.0020), class_accuracy=(0.9358, 0.0024))
EQUAL = measured("bf16", frechet_distance=(0.0660, 0.0020), class_accuracy=(0.9340, 0.0025))


@pytest.mark.parametrize("engine_name", ["auto", "openvino"])
@pytest.mark.usefixtures("openvino_made")
def test_bf16_is_taken_where_it_is_clearly_faster_and_the_file_shows_that_it_costs_nothing(
    machine, engine_name
):
    quality = {"images": 10000, "precisions": [FP32, EQUAL]}
    machine(ort=100, fp32=90, bf16=150)
    assert chosen(quality, engine=engine_name).precision == "bf16"
    assert chosen(quality, engine=engine_name, precision="fp32").precision == "fp32"
    assert chosen({}, engine=engine_name).precision == "fp32"
    machine(ort=100, fp32=90, bf16=95)
    assert chosen(quality, engine=engine_name).precision == "fp32"
    machine(ort=100, fp32=90)
    assert chosen(quality, engine=engine_name).precision == "fp32"


def test_a_faster_one_that_the_figures_keep_out_is_named(machine):
    machine(ort=100, fp32=90, bf16=150)
    assert "openvino bf16 may not: the file's figures" in chosen().reason
    assert "may not" not in chosen(precision="fp32").reason
    machine(ort=100, fp32=90, bf16=110)
    assert "may not" not in chosen().reason


@pytest.mark.parametrize(
    "quality",
    [
        {},
        {"precisions": []},
        {"precisions": [FP32]},
        {"precisions": [EQUAL]},
        {
            "precisions": [
                FP32,
                measured("bf16", frechet_distance=(0.0700, 0.0020), class_accuracy=(0.9340, 0.0025)),
            ]
        },
        {"precisions": [FP32, measured("bf16", frechet_distance=(0.0646, 0.0020))]},
        {"precisions": [measured("fp32"), measured("bf16")]},
        {"precisions": [FP32, {**EQUAL, "engine": "onnxruntime"}]},
        {"precisions": [FP32, measured("bf16", frechet_distance=(float("nan"), 1), class_accuracy=(0.9, 1))]},
        {"precisions": {"fp32": FP32, "bf16": EQUAL}},
        {"precisions": [FP32, {"engine": "openvino", "precision": "bf16"}]},
        {"precisions": "bf16"},
        {"precisions": None},
    ],
    ids=[
        "none",
        "empty",
        "fp32-only",
        "bf16-only",
        "worse",
        "fewer-figures",
        "no-figures",
        "other-engine",
        "nan",
        "not-a-list",
        "without-figures",
        "text",
        "null",
    ],
)
@pytest.mark.usefixtures("openvino_made")
def test_fp32_is_taken_unless_the_file_shows_that_bf16_is_as_good(machine, quality):
    machine(ort=100, fp32=90, bf16=900)
    assert chosen(quality).precision == "fp32"


@pytest.mark.usefixtures("no_gpu")
@pytest.mark.parametrize("name", ["onnxruntime", "openvino", "fake"])
def test_an_engine_asked_for_by_name_is_the_one_that_serves(name):
    engine = chosen(engine=name, threads=3)
    assert engine.name == name
    assert len(engine.lanes) == 3


def test_an_engine_that_is_not_installed_is_an_error_and_no_fall_back(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(EngineUnavailable, match="openvino, which is not installed"):
        chosen(engine="openvino")


@pytest.mark.usefixtures("no_gpu")
@pytest.mark.parametrize("precision", ["bf16", "fp16", "tf32"])
def test_a_precision_that_onnxruntime_does_not_have_is_an_error(precision):
    with pytest.raises(EngineUnavailable, match=precision):
        chosen(engine="onnxruntime", precision=precision)
