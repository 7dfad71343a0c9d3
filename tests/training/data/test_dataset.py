import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from training.data.dataset import Dataset, real_batches, to_float, to_uint8


def numbered(count: int) -> Dataset:
    """Image i is the grey level i."""
    images = np.arange(count, dtype=np.uint8)[:, None, None, None].repeat(4, 3).reshape(count, 1, 2, 2)
    return Dataset("numbered", ("a", "b"), images, np.arange(count) % 2, images[:0], np.arange(0))


@given(count=st.integers(1, 50), size=st.integers(1, 120), seed=st.integers(0, 2**40))
def test_every_image_comes_once_before_any_comes_twice(count: int, size: int, seed: int) -> None:
    dataset = numbered(count)
    row = np.concatenate([dataset.batch_indices(seed, k, size) for k in range(-(-2 * count // size))])
    assert sorted(row[:count]) == list(range(count))
    assert sorted(row[count : 2 * count]) == list(range(count))


@given(count=st.integers(1, 50), size=st.integers(1, 120), k=st.integers(0, 1000))
def test_batch_depends_on_seed_and_k_alone(count: int, size: int, k: int) -> None:
    walked, fresh = numbered(count), numbered(count)
    walked.batch_indices(7, k + 3, size)
    walked.batch_indices(8, k, size)
    assert np.array_equal(walked.batch_indices(7, k, size), fresh.batch_indices(7, k, size))


def test_shuffles_differ_between_turns_and_seeds() -> None:
    dataset = numbered(40)
    rows = [dataset.batch_indices(seed, turn, 40).tolist() for seed in (0, 1) for turn in (0, 1)]
    assert len({tuple(row) for row in rows}) == 4


def test_batch_holds_images_with_their_labels() -> None:
    images, labels = real_batches(numbered(40), 0, 8, torch.device("cpu"))(3)
    levels = to_uint8(images)[:, 0, 0, 0]
    assert np.array_equal(levels % 2, labels.numpy())


def test_bytes_survive_the_way_to_float_and_back() -> None:
    levels = np.arange(256, dtype=np.uint8).reshape(1, 1, 16, 16)
    floats = to_float(levels)
    assert (floats.min(), floats.max()) == (-1, 1)
    assert np.array_equal(to_uint8(floats), levels)
