import hashlib
from statistics import NormalDist

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.latents import MAX_SEED, QUANTILES, Seeded, latents, rows_of, truncate

seeds = st.integers(0, MAX_SEED)


def test_a_seed_keeps_its_z_for_ever():
    # These figures are a promise to users: an edit that changes them breaks every address ever given out.
    assert latents([0], 4).tolist() == [
        [-1.0871686935424805, 1.7270859479904175, -0.14576171338558197, 0.018034962937235832]
    ]
    assert latents([MAX_SEED], 4).tolist() == [
        [-1.0593421459197998, -1.230470061302185, -0.20629163086414337, -0.2996422350406647]
    ]
    digest = hashlib.sha256(latents(range(1000), 128).astype("<f4").tobytes()).hexdigest()
    assert digest == "9dc762f48874ce05ad23f08af938bae8201cea133ea966d20c4e44c44d876748"


@given(st.lists(seeds, min_size=1, max_size=20), st.integers(1, 300))
def test_z_is_a_function_of_the_seed_alone(many, z_dim):
    together = latents(many, z_dim)
    assert together.dtype == np.float32
    assert together.shape == (len(many), z_dim)
    for seed, row in zip(many, together, strict=True):
        np.testing.assert_array_equal(row, latents([seed], z_dim)[0])


@given(seeds, st.integers(1, 100), st.integers(0, 100))
def test_z_follows_the_published_recipe(seed, z_dim, more):
    stream = hashlib.shake_128(b"ganserve z1" + seed.to_bytes(8, "little")).digest(2 * (z_dim + more))
    words = [int.from_bytes(stream[2 * i : 2 * i + 2], "little") for i in range(z_dim)]
    expected = [NormalDist().inv_cdf((word + 0.5) / 65536) for word in words]
    np.testing.assert_allclose(latents([seed], z_dim)[0], expected, rtol=1e-6, atol=1e-7)


def test_neighbouring_seeds_give_independent_standard_normals():
    z = latents(range(20_000), 16).astype(np.float64)
    assert abs(z.mean()) < 5 / np.sqrt(z.size)
    assert abs(z.var() - 1) < 5 * np.sqrt(2 / z.size)
    assert abs((z[1:] * z[:-1]).mean()) < 5 / np.sqrt(z.size)
    assert np.abs(z).max() < 4.4


def test_quantiles_are_symmetric_and_rising():
    np.testing.assert_array_equal(QUANTILES, -QUANTILES[::-1])
    assert (np.diff(QUANTILES) > 0).all()


def test_no_seeds_give_no_rows():
    assert latents([], 7).shape == (0, 7)


@pytest.mark.parametrize("seed", [-1, 2**64])
def test_a_number_that_is_no_seed_is_not_wrapped_silently(seed):
    with pytest.raises(OverflowError):
        latents([seed], 4)


@given(st.floats(2**-20, 1, width=32))
def test_truncation_scales_z_and_stays_float32(truncation):
    z = latents(range(3), 8)
    scaled = truncate(z, truncation)
    assert scaled.dtype == np.float32
    np.testing.assert_array_equal(scaled, z * np.float32(truncation))


def test_full_truncation_changes_nothing():
    z = latents([5], 8)
    assert truncate(z, 1.0) is z


def test_rows_of_many_requests_are_those_of_each_alone():
    given_z = latents([100, 101], 8)
    full, half = Seeded(range(7, 12), 8), Seeded(range(3), 8, truncation=0.5)
    assert rows_of([full, half[1:], given_z, full[:1]]).tolist() == [
        *latents(range(7, 12), 8).tolist(),
        *truncate(latents([1, 2], 8), 0.5).tolist(),
        *given_z.tolist(),
        *latents([7], 8).tolist(),
    ]
    np.testing.assert_array_equal(rows_of([full]), latents(range(7, 12), 8))
    np.testing.assert_array_equal(rows_of([given_z, given_z]), np.concatenate([given_z, given_z]))
