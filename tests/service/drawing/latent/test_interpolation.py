from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from service.drawing.latent.interpolation import InterpolationRequest, interpolate
from service.drawing.latent.series import Series
from service.errors import InvalidField
from service.generator.latents import latents, linear, spherical, truncate
from tests.generators import Tiny
from tests.service.loaded import loaded

Z_DIM = 4


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    files = {"tiny": Tiny(z_dim=Z_DIM).file(), "bare": Tiny(z_dim=Z_DIM, classes=None).file()}
    with loaded(tmp_path_factory.mktemp("models"), files, engine="onnxruntime", threads=1) as models:
        yield models


def way(models, name="tiny", max_images=100, **request: Any) -> Series:
    return interpolate(msgspec.convert(request, InterpolationRequest), models[name], max_images)


def test_between_two_seeds_are_as_many_images_as_steps(models):
    series = way(models, seeds=[3, 9], label=7, steps=5)
    assert series.draw.label == [7] * 5
    assert series.seeds == [3, None, None, None, 9]
    z0, z1 = latents([3, 9], Z_DIM)
    np.testing.assert_array_equal(series.draw.z, spherical(z0, z1, np.array([0, 0.25, 0.5, 0.75, 1])))


def test_linear_is_the_straight_line(models):
    series = way(models, seeds=[3, 9], steps=3, path="linear")
    z0, z1 = latents([3, 9], Z_DIM)
    np.testing.assert_array_equal(series.draw.z, linear(z0, z1, np.array([0, 0.5, 1])))


def test_a_shared_point_is_one_image_and_a_loop_does_not_repeat_its_first(models):
    line = way(models, seeds=[1, 2, 3], label=0, steps=4)
    assert line.seeds == [1, None, None, 2, None, None, 3]
    loop = way(models, seeds=[1, 2, 3], label=0, steps=4, loop=True)
    assert loop.seeds == [1, None, None, 2, None, None, 3, None, None]
    np.testing.assert_array_equal(loop.draw.z[:7], line.draw.z)
    z0, z1 = latents([3, 1], Z_DIM)
    np.testing.assert_array_equal(loop.draw.z[6:], spherical(z0, z1, np.arange(3) / 3))
    assert way(models, seeds=[1, 2], steps=2, loop=True).seeds == [1, 2]


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.integers(0, 2**53 - 1), min_size=2, max_size=6), st.integers(2, 9), st.booleans())
def test_every_point_is_there_exactly_and_in_its_place(models, seeds, steps, loop):
    series = way(models, seeds=seeds, steps=steps, loop=loop)
    n = (len(seeds) if loop else len(seeds) - 1) * (steps - 1) + (not loop)
    assert len(series.draw.z) == len(series.seeds) == len(series.draw.label or ()) == n
    places = slice(None, None, steps - 1)
    assert series.seeds[places] == seeds
    np.testing.assert_array_equal(series.draw.z[places], latents(seeds, Z_DIM))
    assert series.draw.label is not None
    assert series.draw.label[places] == [seed % 10 for seed in seeds]


@pytest.mark.parametrize(
    ("steps", "labels"), [(2, [5, 9]), (3, [5, 9, 9]), (4, [5, 5, 9, 9]), (5, [5, 5, 9, 9, 9])]
)
def test_where_classes_differ_the_class_changes_half_way(models, steps, labels):
    assert way(models, seeds=[1, 2], label=["sandal", "ankle boot"], steps=steps).draw.label == labels


def test_without_a_label_a_seed_has_its_own_class_and_z_has_class_0(models):
    assert way(models, seeds=[17, 25], steps=2).draw.label == [7, 5]
    assert way(models, z=[[1] * Z_DIM, [0] * Z_DIM], steps=3).draw.label == [0, 0, 0]


def test_a_list_of_labels_alone_takes_one_seed_through_the_classes(models):
    series = way(models, label=[5, 7, "Bag"], seed=4, steps=3)
    assert series.draw.label == [5, 7, 7, 8, 8]
    assert series.seeds == [4] * 5
    np.testing.assert_array_equal(series.draw.z, latents([4] * 5, Z_DIM))
    drawn = way(models, label=[5, 7], steps=2).seeds
    assert drawn[0] == drawn[1]
    assert way(models, label=[5, 7], steps=2).seeds != drawn


def test_points_may_be_z(models):
    z = latents([8, 3], Z_DIM)
    series = way(models, z=z.tolist(), label=1, steps=4)
    assert series.seeds == [None] * 4
    np.testing.assert_array_equal(series.draw.z, way(models, seeds=[8, 3], label=1, steps=4).draw.z)


def test_truncation_scales_the_whole_way(models):
    whole, half = (way(models, seeds=[8, 3], truncation=t).draw.z for t in (1, 0.5))
    assert isinstance(whole, np.ndarray)
    np.testing.assert_array_equal(half, truncate(whole, 0.5))


def test_an_unconditional_model_has_a_way_without_labels(models):
    assert way(models, "bare", seeds=[1, 2]).draw.label is None
    for label in (0, [0, 1]):
        with pytest.raises(InvalidField, match="unconditional"):
            way(models, "bare", seeds=[1, 2], label=label)
    with pytest.raises(InvalidField, match="unconditional"):
        way(models, "bare", label=[0, 1])


@pytest.mark.parametrize(
    ("request_", "field", "says"),
    [
        ({}, "seeds", "give seeds, z, or a list"),
        ({"seed": 1}, "seeds", "give seeds"),
        ({"label": 3}, "seeds", "give seeds"),
        ({"label": [3]}, "label", "2 to 32"),
        ({"label": []}, "label", "2 to 32"),
        ({"label": [3] * 33}, "label", "2 to 32"),
        ({"label": [3, 10]}, "label", "0 to 9"),
        ({"seeds": [1, 2], "label": [1]}, "label", "1 entries for 2 points"),
        ({"seeds": [1, 2], "label": [1, 2, 3]}, "label", "3 entries for 2 points"),
        ({"seeds": [1, 2], "z": [[0] * 4] * 2}, "z", "exclude each other"),
        ({"seeds": [1, 2], "seed": 1}, "seed", "list of labels"),
        ({"z": [[0] * 4] * 2, "seed": 1}, "seed", "list of labels"),
        ({"z": [[0] * 4, [0] * 3]}, "z", r"z\[1\] has 3"),
        ({"z": [[0] * 4, [0, 0, 0, 1e39]]}, "z", "not finite"),
        ({"z": [[3e38, 0, 0, 0], [-1e38, 1e33, 0, 0]], "steps": 3}, "z", "not finite"),
        ({"seeds": [1, 2, 3], "steps": 51}, "steps", "make 101 images; allowed are 100"),
        ({"seeds": [1, 2], "steps": 52, "loop": True}, "steps", "make 102 images"),
    ],
)
def test_what_makes_no_way_is_named(models, request_, field, says):
    with pytest.raises(InvalidField, match=says) as caught:
        way(models, **request_)
    assert caught.value.field == field


def test_as_many_images_as_are_allowed_are_computed(models):
    assert len(way(models, seeds=[1, 2, 3], steps=50, max_images=99).seeds) == 99
    with pytest.raises(InvalidField):
        way(models, seeds=[1, 2, 3], steps=50, max_images=98)
