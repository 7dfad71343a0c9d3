"""The CUDA path as far as a machine without a GPU goes: its bindings, for real, on the CPU provider."""

import re

import msgspec
import numpy as np
import onnxruntime as ort
import pynvml
import pytest

from service.errors import EngineUnavailable
from service.generator import golden
from service.generator.engines import choose as choose_
from service.generator.engines import cuda, half, race
from service.generator.engines.choose import choose
from service.generator.engines.cuda import device_count
from service.settings import Settings
from tests.service.generator.engines.bound import GENERATORS, chosen, inputs


@pytest.mark.parametrize(
    ("visible", "count"),
    [
        (None, 4),
        ("", 0),
        ("-1", 0),
        ("2", 1),
        ("3, 1", 2),
        ("0,1,7,2", 2),
        ("0,-1,1", 1),
        ("GPU-8f6d2a0c", 1),
        ("MIG-3eb87630-93d5-b2b6-b8ff-9b359caf4ee2", 1),
        ("NoDevFiles", 0),
    ],
)
def test_gpus_are_counted_as_cuda_will_show_them(monkeypatch, visible, count):
    monkeypatch.setattr(ort, "get_available_providers", lambda: [cuda.PROVIDER, "CPUExecutionProvider"])
    monkeypatch.setattr(pynvml, "nvmlInit", lambda: None)
    monkeypatch.setattr(pynvml, "nvmlDeviceGetCount", lambda: 4)
    if visible is None:
        monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    else:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert device_count() == count


def test_without_a_driver_or_without_cuda_in_the_wheel_there_is_no_gpu(monkeypatch):
    def no_driver():
        raise pynvml.NVMLError(pynvml.NVML_ERROR_LIBRARY_NOT_FOUND)

    monkeypatch.setattr(ort, "get_available_providers", lambda: [cuda.PROVIDER, "CPUExecutionProvider"])
    monkeypatch.setattr(pynvml, "nvmlInit", no_driver)
    assert device_count() == 0
    monkeypatch.setattr(pynvml, "nvmlInit", lambda: None)
    monkeypatch.setattr(ort, "get_available_providers", lambda: ["CPUExecutionProvider"])
    assert device_count() == 0


@pytest.mark.parametrize("engine_name", ["auto", "onnxruntime"])
def test_a_gpu_is_taken_where_there_is_one(pretended, engine_name):
    engine = chosen(engine=engine_name)
    assert (engine.name, engine.provider, engine.precision) == ("onnxruntime", cuda.PROVIDER, "fp32")
    assert engine.max_batch in cuda.SIZES
    assert engine.buckets == cuda.buckets(engine.max_batch)
    assert f"{engine.max_batch} images a pass at most, as by images/s: 32 a pass " in engine.reason
    assert engine.wide is engine.lanes[0]
    assert f"; {len(engine.lanes)} at once, as by images/s: 1 lane " in engine.reason
    first, providers, *buffers = pretended
    assert first == "preload_dlls"
    (name, options), fall_back = providers
    assert (name, fall_back) == (cuda.PROVIDER, "CPUExecutionProvider")
    assert (options["device_id"], options["use_tf32"]) == ("0", "0")
    assert options["cudnn_conv_algo_search"] == "HEURISTIC"
    assert set(buffers) == {("cuda", 0)}
    z, label = inputs("rgb", 5)
    np.testing.assert_array_equal(engine.wide(z, label), GENERATORS["rgb"].forward(z, label))


def test_workers_take_the_gpus_in_turn(pretended):
    for worker, gpu in enumerate((0, 1, 0, 1)):
        pretended.clear()
        assert f"GPU {gpu};" in chosen(worker=worker, workers=4).reason
        assert pretended[1][0][1]["device_id"] == str(gpu)
        assert set(pretended[2:]) == {("cuda", gpu)}


def test_tf32_is_a_precision_of_its_own(pretended):
    assert chosen(precision="tf32").precision == "tf32"
    assert pretended[1][0][1]["use_tf32"] == "1"


def test_fp16_computes_in_half_precision_what_the_file_says(pretended):
    engine = chosen(precision="fp16")
    assert engine.precision == "fp16"
    assert pretended[1][0][1]["use_tf32"] == "0"
    z, label = inputs("rgb", 32)
    errors = golden.difference(engine.wide(z, label), GENERATORS["rgb"].forward(z, label))
    assert errors.excess("fp16") is None
    assert (engine.wide(z, label) != chosen(precision="fp32").wide(z, label)).any()


def judged(engine, **values):
    """The generator whose file says how far its images were from real ones on `engine`, by precision."""
    tiny = GENERATORS["rgb"]
    runs = [
        {"engine": engine, "precision": name, "figures": {"frechet_distance": {"value": one, "error": 0.2}}}
        for name, one in values.items()
    ]
    return tiny.file(), msgspec.structs.replace(tiny.contract(), quality={"precisions": runs})


@pytest.fixture
def speeds(pretended, monkeypatch):
    """Images per second by precision, as if measured."""
    by_precision = {"fp32": 1000.0, "tf32": 1000.0, "fp16": 2000.0}
    monkeypatch.setattr(cuda, "images_at_once", lambda lanes, given, precision: by_precision[precision])
    monkeypatch.setattr(choose_, "gpu_names", lambda: ["Card", "Card"])
    return by_precision


@pytest.mark.usefixtures("speeds")
@pytest.mark.parametrize(
    ("engine", "value", "precision"),
    [("onnxruntime", 2.1, "fp16"), ("onnxruntime", 9.0, "fp32"), ("openvino", 2.1, "fp32")],
)
def test_fp16_is_taken_where_the_file_s_figures_on_a_gpu_say_that_it_is_as_good(engine, value, precision):
    file, contract = judged(engine, fp32=2.0, fp16=value)
    engine = choose(file, contract, Settings()).engine
    assert engine.precision == precision
    told = "In fp16 because it is clearly the fastest that may be taken; images/s of full passes on this Card, Card: "
    assert (f"{told}onnxruntime fp16 2,000, onnxruntime fp32 1,000." in engine.reason) == (
        precision == "fp16"
    )
    assert choose(file, contract, Settings(precision="fp32")).engine.precision == "fp32"


@pytest.mark.parametrize(
    ("faster", "precision"),
    [
        ({"fp16": 1100.0}, "fp32"),
        ({"tf32": 1500.0, "fp16": 1400.0}, "tf32"),
        ({"tf32": 1500.0}, "fp16"),
    ],
    ids=str,
)
def test_of_precisions_that_are_as_good_one_must_be_clearly_faster(speeds, faster, precision):
    speeds |= faster
    file, contract = judged("onnxruntime", fp32=2.0, tf32=2.0, fp16=2.1)
    engine = choose(file, contract, Settings()).engine
    assert engine.precision == precision
    assert "; 1 at once, " in engine.reason


@pytest.mark.usefixtures("pretended")
def test_speed_is_measured_where_there_is_a_choice():
    file, contract = judged("onnxruntime", fp32=2.0, fp16=2.1)
    engine = choose(file, contract, Settings()).engine
    assert f" In {engine.precision} because " in engine.reason
    assert set(re.findall(r"onnxruntime (\w+) [\d,]+\d[,.]", engine.reason)) == {"fp32", "fp16"}


def test_workers_and_restarts_choose_what_the_first_one_measured(speeds, monkeypatch, tmp_path):
    monkeypatch.setattr(race, "_folder", lambda: tmp_path)
    file, contract = judged("onnxruntime", fp32=2.0, fp16=2.1)

    def chosen() -> str:
        return choose(file, contract, Settings()).engine.precision

    assert chosen() == "fp16"
    speeds["fp16"] = 900.0
    assert chosen() == "fp16", "remembered"
    monkeypatch.setattr(choose_, "gpu_names", lambda: ["Another"])
    assert chosen() == "fp32", "another card"
    for entry in tmp_path.glob("*.json"):
        entry.write_text("{")
    monkeypatch.setattr(choose_, "gpu_names", lambda: ["Card", "Card"])
    assert chosen() == "fp32", "what can't be read is measured again"


@pytest.mark.usefixtures("speeds")
def test_where_a_graph_cannot_be_converted_it_stays_as_it_was(monkeypatch):
    def fail(file):
        raise RuntimeError("no kernel for an operator")

    monkeypatch.setattr(half, "convert", fail)
    engine = choose(*judged("onnxruntime", fp32=2.0, fp16=2.1), Settings()).engine
    assert engine.precision == "fp32"
    assert "on this Card, Card: onnxruntime fp32 1,000." in engine.reason


@pytest.mark.usefixtures("pretended")
def test_a_precision_that_cuda_does_not_have_is_an_error():
    with pytest.raises(EngineUnavailable, match="not in bf16"):
        chosen(precision="bf16")


def test_the_largest_bucket_is_where_images_per_second_end_to_grow():
    card = {32: 10_000, 64: 19_000, 128: 35_000, 256: 36_000, 512: 90_000}
    asked = []

    def rate(size):
        asked.append(size)
        return card[size]

    chosen = cuda.fit(rate)
    assert (chosen.max_batch, asked) == (128, [32, 64, 128, 256])
    assert (
        chosen.measured
        == "images/s: 32 a pass 10,000, 64 a pass 19,000, 128 a pass 35,000, 256 a pass 36,000"
    )


@pytest.mark.parametrize(
    ("rate", "most"),
    [
        pytest.param(lambda size: 1000 * size, 512, id="a pass takes the same whatever its size"),
        pytest.param(
            lambda size: 100 * size**0.5, 32, id="each is longer than who comes meanwhile should wait"
        ),
        pytest.param(lambda size: 10_000, 32, id="a larger one is no faster"),
    ],
)
def test_a_pass_grows_as_long_as_it_is_short_and_pays(rate, most):
    assert cuda.fit(rate).max_batch == most


def test_where_memory_ends_the_last_size_that_fitted_is_taken():
    def rate(size):
        if size > 64:
            raise RuntimeError("Failed to allocate memory")
        return 1000 * size

    chosen = cuda.fit(rate)
    assert chosen.max_batch == 64
    assert "128 failed (RuntimeError)" in chosen.measured


@pytest.mark.usefixtures("pretended")
def test_the_largest_batch_is_a_bucket():
    assert chosen(max_batch=100).buckets[-3:] == (32, 64, 100)
    assert chosen(max_batch=4).buckets == (1, 2, 4)


def test_a_gpu_that_the_driver_shows_and_no_session_gets_is_an_error_and_no_fall_back(monkeypatch):
    # The session's own fall-back to CPU is silent.
    class OnlyCpu:
        def __init__(self, *_args, **_kwargs):
            pass

        def get_providers(self):
            return ["CPUExecutionProvider"]

    monkeypatch.setattr(cuda, "device_count", lambda: 1)
    monkeypatch.setattr(ort, "preload_dlls", lambda: None)
    monkeypatch.setattr(ort, "InferenceSession", OnlyCpu)
    with pytest.raises(EngineUnavailable, match="CPUExecutionProvider instead of CUDAExecutionProvider"):
        chosen()
