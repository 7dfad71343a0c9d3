"""Passes with buffers that are bound once, on the CPU provider."""

import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import onnxruntime as ort
import pytest

from service.generator.engines.cuda import BoundPasses, buckets
from tests.service.generator.engines.bound import GENERATORS, inputs

every_generator = pytest.mark.parametrize("kind", GENERATORS)


def session(kind):
    return ort.InferenceSession(GENERATORS[kind].file(), providers=["CPUExecutionProvider"])


def bound(kind, sizes, of=None):
    return BoundPasses(of or session(kind), GENERATORS[kind].contract(), sizes, device="cpu")


def unbound(kind, z, label):
    return np.asarray(session(kind).run(None, {"z": z} if label is None else {"z": z, "label": label})[0])


@every_generator
@pytest.mark.parametrize("sizes", [(1,), (1, 2, 4, 8), (1, 2, 4, 5)])
def test_bound_passes_give_the_pictures_of_a_plain_run_at_every_size(kind, sizes):
    passes = bound(kind, sizes)
    # Beyond the largest bucket too: an operator's max_batch and the golden samples know nothing of it.
    for count in range(1, 2 * sizes[-1] + 2):
        z, label = inputs(kind, count)
        np.testing.assert_array_equal(passes(z, label), unbound(kind, z, label), err_msg=f"{count}")


def test_a_smaller_batch_does_not_see_what_a_larger_one_left_in_the_buffers():
    z, label = inputs("rgb", 8)
    passes = bound("rgb", (8,))
    passes(z, label)
    np.testing.assert_array_equal(passes(-z[:3], label[:3]), unbound("rgb", -z[:3], label[:3]))


@pytest.mark.parametrize("count", [3, 4, 9])
def test_images_are_the_callers_own(count):
    passes = bound("rgb", (1, 2, 4))
    z, label = inputs("rgb", count)
    images = passes(z, label)
    kept = images.copy()
    passes(-z, label)
    np.testing.assert_array_equal(images, kept)
    images[:] = 0
    np.testing.assert_array_equal(passes(z, label), kept)


def test_a_view_into_a_larger_array_is_as_good_as_a_copy():
    passes = bound("rgb", (8,))
    z, label = inputs("rgb", 16)
    images = unbound("rgb", z, label)
    np.testing.assert_array_equal(passes(z[3:7], label[3:7]), images[3:7])
    np.testing.assert_array_equal(passes(z[::2], label[::2]), images[::2])


def test_buffers_are_made_once_and_not_in_a_pass(monkeypatch):
    made = []
    real = ort.OrtValue.ortvalue_from_shape_and_type
    monkeypatch.setattr(
        ort.OrtValue, "ortvalue_from_shape_and_type", lambda *args: made.append(args) or real(*args)
    )
    passes = bound("grey", (1, 4))
    assert [shape for shape, *_ in made] == [(1, 8), (1,), (1, 1, 8, 8), (4, 8), (4,), (4, 1, 8, 8)]
    for count in (1, 2, 3, 4, 9):
        passes(*inputs("grey", count))
    assert len(made) == 6


def test_a_lane_may_change_threads_as_long_as_it_is_one_at_a_time():
    passes = bound("rgb", (1, 2, 4))
    z, label = inputs("rgb", 4)
    want = passes(z, label)
    for _ in range(5):
        with ThreadPoolExecutor(1) as pool:
            np.testing.assert_array_equal(pool.submit(passes, z, label).result(), want)


def test_two_of_one_session_may_run_at_once():
    shared = session("rgb")
    together = threading.Barrier(2)
    z, label = inputs("rgb", 6)

    def run(sign):
        passes = bound("rgb", (1, 2, 4), of=shared)
        together.wait()
        return [passes(sign * z, label) for _ in range(30)]

    with ThreadPoolExecutor(2) as pool:
        for sign, results in zip((1, -1), pool.map(run, (1, -1)), strict=True):
            for images in results:
                np.testing.assert_array_equal(images, unbound("rgb", sign * z, label))


def test_buckets_are_powers_of_two_up_to_the_largest_batch():
    assert buckets(1) == (1,)
    assert buckets(2) == (1, 2)
    assert buckets(64) == (1, 2, 4, 8, 16, 32, 64)
    assert buckets(100) == (1, 2, 4, 8, 16, 32, 64, 100)
