"""Every engine, real or fake, is held to the same promises."""

import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import numpy as np
import pytest

from service.errors import EngineUnavailable
from service.generator import golden
from service.generator.engines import lone
from service.generator.engines.fake import FakeEngine, paint
from service.generator.engines.ort import OrtEngine
from service.generator.engines.ov import OpenVinoEngine
from service.generator.latents import latents
from tests.generators import Tiny

COUNT = 64
SIZES = (1, 2, 3, 4, 7, 8, 16, 32, 64)
GENERATORS = {
    "grey": Tiny(),
    "rgb": Tiny(image=(3, 16, 16), z_dim=64),
    "unconditional": Tiny(classes=None),
}
_made = {}


def make(name, kind, threads=2):
    """Engines are dear to make and keep no state: one of each serves all tests."""
    if (name, kind, threads) not in _made:
        tiny = GENERATORS[kind]
        file, contract = tiny.file(), tiny.contract()
        _made[name, kind, threads] = {
            "fake": lambda: FakeEngine(contract, lanes=threads),
            "onnxruntime": lambda: OrtEngine(file, contract, cuda=False, precision="auto", threads=threads),
            "openvino": lambda: OpenVinoEngine(file, contract, precision="auto", threads=threads),
        }[name]()
    return _made[name, kind, threads]


def inputs(kind, count=COUNT) -> tuple[np.ndarray, Any]:
    tiny = GENERATORS[kind]
    label = None if tiny.classes is None else np.arange(count) * 7 % len(tiny.classes)
    return latents(range(count), tiny.z_dim), label


def in_batches(forward, z, label, size):
    starts = range(0, len(z), size)
    return np.concatenate(
        [forward(z[i : i + size], None if label is None else label[i : i + size]) for i in starts]
    )


every_engine = pytest.mark.parametrize("name", ["fake", "onnxruntime", "openvino"])
every_generator = pytest.mark.parametrize("kind", GENERATORS)


@every_engine
@every_generator
def test_images_have_the_contracts_shape_and_are_the_callers_own(name, kind):
    engine = make(name, kind)
    z, label = inputs(kind, 3)
    images = engine.wide(z, label)
    kept = images.copy()
    assert (images.dtype, images.shape) == (np.uint8, (3, *GENERATORS[kind].image))
    engine.wide(-z, label)
    np.testing.assert_array_equal(images, kept, err_msg="the next pass wrote into an earlier answer")


@every_engine
@every_generator
def test_an_image_is_bit_equal_in_every_batch_on_every_lane_and_thread_count(name, kind):
    z, label = inputs(kind)
    alone = in_batches(make(name, kind).wide, z, label, 1)
    for threads in (1, 2, 3):
        engine = make(name, kind, threads)
        for size in SIZES:
            for forward in (engine.wide, engine.lanes[-1]):
                np.testing.assert_array_equal(
                    in_batches(forward, z, label, size), alone, err_msg=f"{threads} {size}"
                )


@every_engine
def test_an_image_does_not_depend_on_who_sits_beside_it(name):
    engine = make(name, "rgb")
    z, label = inputs("rgb", 8)
    alone = engine.wide(z[:1], label[:1])
    for others in (np.zeros_like(z), z * 1e6, -z):
        others[3] = z[0]
        np.testing.assert_array_equal(engine.lanes[0](others, np.full(8, label[0]))[3], alone[0])


@every_engine
def test_lanes_that_run_at_once_give_what_they_give_alone(name):
    engine = make(name, "rgb", threads=3)
    z, label = inputs("rgb")
    alone = in_batches(engine.wide, z, label, 8)
    together = threading.Barrier(3)

    def run(lane):
        together.wait()
        return [in_batches(engine.lanes[lane], z, label, 8) for _ in range(5)]

    with ThreadPoolExecutor(3) as pool:
        for results in pool.map(run, range(3)):
            for images in results:
                np.testing.assert_array_equal(images, alone)


@every_engine
def test_labels_and_z_both_matter(name):
    engine = make(name, "grey")
    z, label = inputs("grey", 2)
    images = engine.wide(z, label)
    assert (engine.wide(z, (label + 1) % 10) != images).any(axis=(1, 2, 3)).all()
    assert (engine.wide(z[::-1].copy(), label) != images).any(axis=(1, 2, 3)).all()


@every_engine
def test_an_engine_describes_itself(name):
    engine = make(name, "grey", threads=3)
    assert engine.name == name
    assert engine.precision == "fp32"
    assert engine.provider
    assert len(engine.reason) > 20
    assert len(engine.lanes) == 3
    assert engine.max_batch >= 1
    assert list(engine.buckets) == sorted(set(engine.buckets))


@pytest.mark.parametrize("name", ["onnxruntime", "openvino"])
@every_generator
def test_a_real_engine_gives_the_pictures_of_the_network(name, kind):
    tiny = GENERATORS[kind]
    engine = make(name, kind)
    z, label = inputs(kind)
    errors = golden.difference(engine.wide(z, label), tiny.forward(z, label))
    assert errors.max <= 1
    assert errors.mean < 0.01


@pytest.mark.parametrize("name", ["onnxruntime", "openvino"])
def test_a_view_into_a_larger_array_is_as_good_as_a_copy(name):
    engine = make(name, "grey")
    z, label = inputs("grey", 10)
    images = engine.wide(z, label)
    np.testing.assert_array_equal(engine.wide(z[3:7], label[3:7]), images[3:7])
    np.testing.assert_array_equal(engine.wide(z[::2], label[::2]), images[::2])


@pytest.mark.parametrize(
    ("fixed_seconds", "image_seconds", "least"), [(0, 0.002, 1), (0.016, 0.002, 4), (0.2, 0, None)]
)
def test_a_lone_pass_takes_every_thread_from_the_size_on_where_that_is_faster(
    monkeypatch, fixed_seconds, image_seconds, least
):
    image, now = np.zeros((1, 1, 8, 8), np.uint8), 0.0
    # A clock on which nothing else takes time.
    monkeypatch.setattr(lone, "best_seconds", partial(lone.best_seconds, clock=lambda: now))

    def one(z, label):
        nonlocal now
        now += 0.008 * len(z)
        return image

    def every(z, label):
        nonlocal now
        now += fixed_seconds + image_seconds * len(z)
        return image

    assert lone.pays_from(one, every, GENERATORS["grey"].contract()) == least


def test_openvino_in_bf16_keeps_its_tolerance_and_its_bits_across_batches():
    import openvino

    tiny = GENERATORS["rgb"]
    has = "BF16" in openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    if not has or "ONEDNN_MAX_CPU_ISA" in os.environ:  # make narrow
        # No machine without the instructions can compute so: it says so, and never falls back in silence.
        with pytest.raises(EngineUnavailable, match="no bf16 on this CPU"):
            OpenVinoEngine(tiny.file(), tiny.contract(), precision="bf16", threads=2)
        return
    engine = OpenVinoEngine(tiny.file(), tiny.contract(), precision="bf16", threads=2)
    z, label = inputs("rgb", 64)
    alone = in_batches(engine.wide, z, label, 1)
    assert engine.precision == "bf16"
    assert golden.difference(alone, tiny.forward(z, label)).mean < 3
    for size in (2, 7, 8, 64):
        np.testing.assert_array_equal(in_batches(engine.lanes[1], z, label, size), alone)


def test_openvino_draws_nothing_on_a_cpu_on_which_it_draws_other_pictures_in_a_batch(monkeypatch):
    monkeypatch.setattr("service.generator.engines.ov.cpu_flags", lambda: {"sse", "sse4_1", "avx"})
    tiny = GENERATORS["grey"]
    with pytest.raises(EngineUnavailable, match="needs AVX2"):
        OpenVinoEngine(tiny.file(), tiny.contract(), precision="auto", threads=1)


def test_a_precision_that_the_cpu_does_not_have_is_an_error(monkeypatch):
    from service.generator.engines import ov

    class OldCpu:
        def get_property(self, device, name):
            return ["FP32", "FP16", "INT8", "BIN"]

    monkeypatch.setattr(ov.ov, "Core", OldCpu)
    tiny = GENERATORS["grey"]
    with pytest.raises(EngineUnavailable, match=r"no bf16 on this CPU; it has fp32, fp16\.$"):
        OpenVinoEngine(tiny.file(), tiny.contract(), precision="bf16", threads=1)


def test_the_fake_engine_paints_z_and_label_so_that_a_swapped_answer_shows():
    z, label = inputs("grey", 2)
    images = FakeEngine(GENERATORS["grey"].contract()).wide(z, label)
    assert images[0].tobytes()[: z[0].nbytes] == z[0].tobytes()
    assert images[1, 0, -1, -1] == label[1]
    np.testing.assert_array_equal(images, paint(z, label, (1, 8, 8)))


def test_the_fake_engine_fails_on_a_chosen_label_only():
    engine = FakeEngine(GENERATORS["grey"].contract(), fail_on=7)
    z, _ = inputs("grey", 2)
    assert len(engine.wide(z, np.array([0, 1]))) == 2
    with pytest.raises(RuntimeError, match="label 7"):
        engine.wide(z, np.array([0, 7]))


def test_the_fake_engine_waits_at_its_gate():
    gate, passes = threading.Event(), []
    engine = FakeEngine(GENERATORS["grey"].contract(), gate=gate, on_pass=passes.append)
    z, label = inputs("grey", 2)
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(engine.wide, z, label)
        while not passes:
            pass
        assert not answer.done()
        gate.set()
        assert len(answer.result(5)) == 2


def test_the_fake_engine_does_what_the_file_of_faults_says_while_it_is_there(tmp_path):
    faults = tmp_path / "faults"
    engine = FakeEngine(GENERATORS["grey"].contract(), faults=faults)
    z, label = inputs("grey", 2)
    engine.wide(z, label)
    faults.write_text("fail\n")
    with pytest.raises(RuntimeError, match="told to fail"):
        engine.wide(z, label)
    faults.write_text("0.05")
    begun = time.monotonic()
    engine.wide(z, label)
    assert time.monotonic() - begun >= 0.05
    faults.write_text("hang")
    hung = threading.Thread(target=engine.wide, args=(z, label), daemon=True)
    hung.start()
    hung.join(0.1)
    assert hung.is_alive()
    faults.unlink()
    engine.wide(z, label)
