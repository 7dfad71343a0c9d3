"""The CUDA path as far as a machine without a GPU goes: its bindings, for real, on the CPU provider."""

import asyncio
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import msgspec
import numpy as np
import onnxruntime as ort
import pynvml
import pytest

from service.errors import EngineUnavailable
from service.generator import golden
from service.generator.engines import cuda
from service.generator.engines.choose import again, choose
from service.generator.engines.cuda import device_count
from service.settings import Settings
from tests.service.generator.engines.bound import GENERATORS, inputs
from tests.service.loaded import loaded


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


@pytest.fixture
def pretended(monkeypatch):
    """Two GPUs that are the CPU: what was asked of ONNX Runtime, in order."""
    asked = []
    real = ort.OrtValue.ortvalue_from_shape_and_type

    class Session(ort.InferenceSession):
        def __init__(self, file, options, providers):
            asked.append(providers)
            super().__init__(file, options, providers=["CPUExecutionProvider"])

        def get_providers(self):
            return [cuda.PROVIDER, "CPUExecutionProvider"]

    def on_cpu(shape, dtype, device, index):
        asked.append((device, index))
        return real(shape, dtype)

    monkeypatch.setattr(cuda, "device_count", lambda: 2)
    monkeypatch.setattr(cuda, "_MEASURED_SECONDS", 0.01)
    monkeypatch.setattr(ort, "preload_dlls", lambda: asked.append("preload_dlls"))
    monkeypatch.setattr(ort, "InferenceSession", Session)
    monkeypatch.setattr(ort.OrtValue, "ortvalue_from_shape_and_type", on_cpu)
    return asked


def chosen(worker=0, **settings):
    tiny = GENERATORS["rgb"]
    return choose(tiny.file(), tiny.contract(), Settings(**settings), worker=worker).engine


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


@pytest.mark.usefixtures("pretended")
@pytest.mark.parametrize(
    ("engine", "value", "precision"),
    [("onnxruntime", 2.1, "fp16"), ("onnxruntime", 9.0, "fp32"), ("openvino", 2.1, "fp32")],
)
def test_fp16_is_taken_where_the_file_s_figures_on_a_gpu_say_that_it_is_as_good(engine, value, precision):
    runs = [
        {"engine": engine, "precision": name, "figures": {"frechet_distance": {"value": one, "error": 0.2}}}
        for name, one in (("fp32", 2.0), ("fp16", value))
    ]
    tiny = GENERATORS["rgb"]
    contract = msgspec.structs.replace(tiny.contract(), quality={"precisions": runs})
    engine = choose(tiny.file(), contract, Settings()).engine
    assert engine.precision == precision
    assert ("as good by the file's own figures" in engine.reason) == (precision == "fp16")
    assert choose(tiny.file(), contract, Settings(precision="fp32")).engine.precision == "fp32"


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


@pytest.mark.parametrize(
    ("rates", "count", "told"),
    [
        ([1000, 1300, 1010, 1250], 2, "1 lane 1,010, 2 lanes 1,300"),
        ([1000, 1190, 990, 1100], 1, "1 lane 1,000, 2 lanes 1,190"),
        ([1000, 1150, 990, 1201], 2, "1 lane 1,000, 2 lanes 1,201"),
        ([1000, 1300, 1100, 1300], 1, "1 lane 1,100, 2 lanes 1,300"),
        ([1000, MemoryError()], 1, "1 lane 1,000, 2 lanes failed (MemoryError)"),
        ([1000, 2000, 1000, cuda.OtherPictures()], 1, "1 lane 1,000, 2 lanes failed (OtherPictures)"),
        ([30], 1, "1 lane 30, whose passes are long as it is"),
    ],
    ids=str,
)
def test_two_lanes_are_taken_where_they_are_clearly_faster_than_one(rates, count, told):
    asked = []

    def rate(lanes):
        asked.append(lanes)
        one = rates[len(asked) - 1]
        if isinstance(one, Exception):
            raise one
        return one

    assert cuda.lanes(rate, 32) == (count, f"images/s: {told}")
    assert asked == [1, 2, 1, 2][: len(rates)]


def test_lanes_are_measured_at_once_and_each_on_a_thread_of_its_own():
    tiny, together = GENERATORS["rgb"], threading.Barrier(2, timeout=20)
    threads: list[set[int]] = [set(), set()]

    def lane(number):
        calls = 2 - number  # one each to be warm, and one to be timed

        def forward(z, label):
            nonlocal calls
            calls -= 1
            if calls < 0:
                together.wait()
                threads[number].add(threading.get_ident())
            return tiny.forward(z, label)

        return forward

    assert cuda.images_at_once([lane(0), lane(1)], inputs("rgb", 4), "fp32") > 0
    assert [len(one) for one in threads] == [1, 1]
    assert not threads[0] & threads[1]


def test_lanes_that_draw_other_pictures_at_once_are_found_out():
    tiny, here = GENERATORS["rgb"], threading.get_ident()

    def forward(z, label):
        return tiny.forward(z, label) if threading.get_ident() == here else 255 - tiny.forward(z, label)

    with pytest.raises(cuda.OtherPictures):
        cuda.images_at_once([forward], inputs("rgb", 4), "fp32")


@pytest.mark.usefixtures("pretended")
@pytest.mark.parametrize(("faster", "count"), [(1.0, 1), (1.5, 2)])
def test_lanes_have_buffers_of_their_own_in_one_session(monkeypatch, faster, count):
    monkeypatch.setattr(cuda, "images_at_once", lambda passes, *_: 1e4 * faster ** (len(passes) - 1))
    engine = chosen(max_batch=4)
    assert len(engine.lanes) == count
    assert len({*engine.lanes}) == count
    assert engine.wide is engine.lanes[0]
    assert f"; {count} at once, as by images/s: 1 lane 10,000, 2 lanes {1e4 * faster:,.0f} (" in engine.reason
    tiny = GENERATORS["rgb"]
    assert len(again(engine, tiny.file(), tiny.contract(), Settings()).lanes) == count
    drawn = inputs("rgb", 3)
    with ThreadPoolExecutor(count) as pool:
        for images in pool.map(lambda lane: [lane(*drawn) for _ in range(20)], engine.lanes):
            np.testing.assert_array_equal(images, [tiny.forward(*drawn)] * 20)


@pytest.mark.usefixtures("pretended")
@pytest.mark.parametrize(
    ("pinned", "lanes"), [("", [2, 1]), ("rgb=openvino/fp32", [2, 3]), ("grey=openvino/fp32", [3, 1])]
)
def test_models_of_one_lane_and_of_two_are_served_side_by_side_and_beside_one_on_the_cpu(
    tmp_path, monkeypatch, pinned, lanes
):
    def measured(passes, given, _precision):
        return 1e4 * len(passes) if given[0].shape[1] == GENERATORS["grey"].z_dim else 1e4

    async def play(models):
        async def draw(name, count):
            z, label = inputs(name, count)
            line, deadline = models[name].line, time.monotonic() + 60
            return await models.batcher.submit(line, z, label.tolist(), deadline, np.copy)

        asked = [(name, count) for count in range(1, 30) for name in models]
        for (name, count), images in zip(
            asked, await asyncio.gather(*(draw(*one) for one in asked)), strict=True
        ):
            wanted = GENERATORS[name].forward(*inputs(name, count))
            assert golden.difference(images, wanted).max <= 1

    monkeypatch.setattr(cuda, "images_at_once", measured)
    files = {name: GENERATORS[name].file() for name in ("grey", "rgb")}
    with loaded(tmp_path, files, engines=pinned, threads=3, max_batch=8) as models:
        assert [len(model.engine.lanes) for model in models.values()] == lanes
        asyncio.run(play(models))


@pytest.mark.usefixtures("pretended")
def test_what_a_lane_takes_of_the_cards_memory_is_counted():
    """Per row of every bucket, of 1, 2 and 4: z in float32, a label in int64, and an image."""
    engine = chosen(max_batch=4)
    assert engine.wide.device_bytes == (1 + 2 + 4) * (4 * 64 + 8 + 3 * 16 * 16)
    assert "(buffers of 0.0 MB a lane)" in engine.reason


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
