import hashlib
from statistics import NormalDist

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.generator.latents import (
    MAX_SEED,
    Seeded,
    at_typical_length,
    latents,
    linear,
    mean,
    rows_of,
    spherical,
    truncate,
    weighted_sum,
)
from service.generator.laws import QUANTILES

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


paths = pytest.mark.parametrize("path", [linear, spherical])
points = st.tuples(seeds, seeds, st.integers(2, 100)).map(lambda drawn: latents(drawn[:2], drawn[2]))
shares = st.lists(st.floats(0, 1), min_size=1, max_size=9).map(np.array)


def row(*numbers: float) -> np.ndarray:
    return np.array(numbers, np.float32)


@paths
@given(
    st.integers(1, 9).flatmap(
        lambda z_dim: st.tuples(
            *[st.lists(st.floats(-(2.0**100), 2.0**100, width=32), min_size=z_dim, max_size=z_dim)] * 2
        )
    )
)
def test_a_path_begins_and_ends_exactly_at_its_points(path, ends):
    z0, z1 = row(*ends[0]), row(*ends[1])
    way = path(z0, z1, np.array([0.0, 1.0]))
    assert way.dtype == np.float32
    np.testing.assert_array_equal(way, np.stack([z0, z1]))


@paths
@given(points, shares)
def test_the_way_back_is_the_way_there(path, ends, t):
    there, back = path(ends[0], ends[1], t), path(ends[1], ends[0], 1 - t)
    np.testing.assert_allclose(there, back, rtol=1e-5, atol=1e-6)


@paths
@given(seeds, shares)
def test_the_way_from_a_point_to_itself_is_that_point(path, seed, t):
    z = latents([seed], 16)[0]
    np.testing.assert_array_equal(path(z, z, t), np.stack([z] * len(t)))


def test_linear_is_the_straight_line():
    way = linear(row(1, -2), row(3, 2), np.array([0.25, 0.5]))
    assert way.tolist() == [[1.5, -1.0], [2.0, 0.0]]


def test_spherical_is_the_great_circle():
    t = np.linspace(0, 1, 7)
    quarter = spherical(row(2, 0, 0), row(0, 0, 2), t)
    want = [[2 * np.cos(a), 0, 2 * np.sin(a)] for a in t * np.pi / 2]
    np.testing.assert_allclose(quarter, want, atol=1e-6)


@given(points, shares)
def test_spherical_is_slerp_as_white_writes_it(ends, t):
    a, b = ends.astype(np.float64)
    omega = np.arccos(np.clip(a / np.linalg.norm(a) @ (b / np.linalg.norm(b)), -1, 1))
    if not 0.01 < omega < 3.13:
        return
    want = [
        np.sin((1 - one) * omega) / np.sin(omega) * a + np.sin(one * omega) / np.sin(omega) * b for one in t
    ]
    np.testing.assert_allclose(spherical(ends[0], ends[1], t), want, rtol=1e-4, atol=1e-4)


@given(points, shares)
def test_spherical_keeps_the_length_of_points_that_share_one(ends, t):
    z0, z1 = (at_typical_length(z) for z in ends)
    if np.linalg.norm(z0 + z1) < 0.01:  # opposite: no great circle
        return
    lengths = np.linalg.norm(spherical(z0, z1, t), axis=1)
    np.testing.assert_allclose(lengths, np.sqrt(len(z0)), rtol=1e-4)


@pytest.mark.parametrize(
    ("z0", "z1"),
    [(row(1, 2), row(3, 6)), (row(1, 2), row(-1, -2)), (row(0, 0), row(1, 2)), (row(1, 2), row(0, 0))],
    ids=["parallel", "opposite", "from 0", "to 0"],
)
def test_where_there_is_no_one_great_circle_the_way_is_straight(z0, z1):
    t = np.linspace(0, 1, 5)
    np.testing.assert_array_equal(spherical(z0, z1, t), linear(z0, z1, t))


@given(st.floats(1e-9, 1e-3), shares)
def test_nearly_parallel_points_are_joined_without_a_jump(tilt, t):
    z0, z1 = row(1, 0), row(np.cos(tilt), np.sin(tilt))
    np.testing.assert_allclose(spherical(z0, z1, t), linear(z0, z1, t), atol=1e-6)


def test_a_mean_is_the_average_and_that_of_one_is_itself():
    assert mean(np.stack([row(1, 2), row(2, 4), row(6, 0)])).tolist() == [3.0, 2.0]
    z = latents([5], 32)
    assert mean(z).dtype == np.float32
    np.testing.assert_array_equal(mean(z), z[0])
    np.testing.assert_array_equal(mean(z.repeat(64, axis=0)), z[0])


def test_a_weighted_sum_adds_and_takes_away():
    z = np.stack([row(1, 2), row(10, 20), row(100, 50)])
    assert weighted_sum(z, [1, -1, 0.5]).tolist() == [41.0, 7.0]
    assert weighted_sum(z, [1, -1, 0.5]).dtype == np.float32
    assert not np.isfinite(weighted_sum(z, [1e300, -1e308, 1e308])).all()


@given(st.lists(seeds, min_size=1, max_size=5), st.data())
def test_a_weighted_sum_is_linear_in_its_weights(many, data):
    weights = data.draw(st.lists(st.integers(-900, 900), min_size=len(many), max_size=len(many)))
    z = latents(many, 12)
    double = weighted_sum(z, [2 * weight for weight in weights])
    np.testing.assert_array_equal(double, 2 * weighted_sum(z, weights))


@given(seeds, st.integers(1, 300), st.floats(1e-30, 1e30))
def test_the_typical_length_is_the_root_of_z_dim(seed, z_dim, factor):
    z = (latents([seed], z_dim)[0] * factor).astype(np.float32)
    scaled = at_typical_length(z)
    assert scaled.dtype == np.float32
    assert np.linalg.norm(scaled) == pytest.approx(np.sqrt(z_dim), rel=1e-5)
    assert (np.sign(scaled) == np.sign(z)).all()
