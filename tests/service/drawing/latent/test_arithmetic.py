from typing import Any

import msgspec
import numpy as np
import pytest

from service.drawing.latent.arithmetic import ArithmeticRequest, add_up
from service.drawing.latent.series import Series
from service.errors import InvalidField
from service.generator.latents import at_typical_length, latents, truncate
from tests.generators import Tiny
from tests.service.loaded import loaded

Z_DIM = 4
ONE = {"weight": 1, "seeds": [1]}


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    files = {"tiny": Tiny(z_dim=Z_DIM).file(), "bare": Tiny(z_dim=Z_DIM, classes=None).file()}
    with loaded(tmp_path_factory.mktemp("models"), files, engine="onnxruntime", threads=1) as models:
        yield models


def total(models, *terms: dict[str, Any], name="tiny", max_images=100, **request: Any) -> Series:
    asked = msgspec.convert({"terms": terms, **request}, ArithmeticRequest)
    return add_up(asked, models[name], max_images)


def z_of(series: Series) -> np.ndarray:
    assert isinstance(series.draw.z, np.ndarray)
    assert series.draw.z.dtype == np.float32
    return series.draw.z


def test_a_sum_is_of_weighted_averages(models):
    terms = [
        {"weight": 1, "seeds": [1, 2, 3]},
        {"weight": -1, "seeds": [4, 5, 6]},
        {"weight": 0.5, "seeds": [7]},
    ]
    a, b, c = latents([1, 2, 3], Z_DIM), latents([4, 5, 6], Z_DIM), latents([7], Z_DIM)
    want = a.mean(axis=0) - b.mean(axis=0) + 0.5 * c[0]
    plain = total(models, *terms, normalize=False)
    np.testing.assert_allclose(z_of(plain), want[None], rtol=1e-5, atol=1e-6)
    scaled = z_of(total(models, *terms))
    assert np.linalg.norm(scaled) == pytest.approx(np.sqrt(Z_DIM), rel=1e-5)
    np.testing.assert_allclose(scaled[0], want * np.sqrt(Z_DIM) / np.linalg.norm(want), rtol=1e-4)
    assert scaled.shape == (1, Z_DIM)


def test_one_seed_with_weight_1_is_itself_where_nothing_is_scaled(models):
    np.testing.assert_array_equal(z_of(total(models, ONE, normalize=False)), latents([1], Z_DIM))


def test_terms_come_first_and_the_sum_last(models):
    terms = [{"weight": 1, "seeds": [1, 2]}, {"weight": -2, "seeds": [9]}, {"weight": 1, "seeds": [5, 5]}]
    series = total(models, *terms, include_terms=True)
    assert series.seeds == [None, 9, 5, None]
    rows = z_of(series)
    np.testing.assert_array_equal(rows[0], at_typical_length(latents([1, 2], Z_DIM).mean(axis=0)))
    np.testing.assert_array_equal(rows[1:3], latents([9, 5], Z_DIM))
    np.testing.assert_array_equal(rows[3:], z_of(total(models, *terms)))
    plain = z_of(total(models, *terms, include_terms=True, normalize=False))
    np.testing.assert_allclose(plain[0], latents([1, 2], Z_DIM).mean(axis=0), rtol=1e-6)


def test_a_sum_has_the_class_of_its_first_term_or_the_one_that_is_asked_for(models):
    boot, bag, bare = {**ONE, "label": "ankle boot"}, {**ONE, "label": 8}, ONE
    assert total(models, boot, bag).draw.label == [9]
    assert total(models, boot, bag, label=3).draw.label == [3]
    assert total(models, bare, bag).draw.label == [0]
    assert total(models, boot, bag, bare, include_terms=True).draw.label == [9, 8, 9, 9]
    assert total(models, bare, bag, label="coat", include_terms=True).draw.label == [4, 8, 4]


def test_truncation_scales_terms_and_sum(models):
    whole, half = (z_of(total(models, ONE, include_terms=True, truncation=t)) for t in (1, 0.5))
    np.testing.assert_array_equal(half, truncate(whole, 0.5))


@pytest.mark.parametrize("factor", [1e-300, 1e-30, 1e30, 1e307])
def test_normalized_weights_matter_only_beside_each_other(models, factor):
    def asked(factor: float) -> np.ndarray:
        terms = [{"weight": factor, "seeds": [1]}, {"weight": -3 * factor, "seeds": [2]}]
        return z_of(total(models, *terms))

    np.testing.assert_allclose(asked(factor), asked(1.0), rtol=1e-3)


def test_an_unconditional_model_adds_without_labels(models):
    assert total(models, ONE, name="bare").draw.label is None
    with pytest.raises(InvalidField, match="unconditional"):
        total(models, ONE, name="bare", label=0)
    with pytest.raises(InvalidField, match="unconditional"):
        total(models, {**ONE, "label": 0}, name="bare")


@pytest.mark.parametrize(
    ("request_", "field", "says"),
    [
        ({"terms": [{"weight": 0, "seeds": [1]}] * 2}, "terms", "All weights are 0"),
        ({"terms": [ONE, {"weight": -1, "seeds": [1]}]}, "terms", "cancel out"),
        ({"terms": [{**ONE, "weight": w} for w in (0.1, 0.2, -0.3)]}, "terms", "cancel out"),
        ({"terms": [{**ONE, "weight": 1e40}], "normalize": False}, "terms", "too large"),
        ({"terms": [{**ONE, "weight": w} for w in (1e308, -1e308, 1e308)], "normalize": False}, "terms", "too large"),
        ({"terms": [ONE, {**ONE, "label": "shoe"}]}, "terms[1].label", "no class"),
        ({"terms": [ONE], "label": 10}, "label", "0 to 9"),
        ({"terms": [ONE] * 4, "include_terms": True}, "include_terms", "5 images; allowed are 4"),
    ],
)  # fmt: skip
def test_what_adds_up_to_nothing_is_named(models, request_, field, says):
    with pytest.raises(InvalidField, match=says) as caught:
        add_up(msgspec.convert(request_, ArithmeticRequest), models["tiny"], max_images=4)
    assert caught.value.field == field


def test_what_cancels_out_is_the_zero_vector_where_nothing_is_scaled(models):
    series = total(models, ONE, {"weight": -1, "seeds": [1]}, normalize=False)
    assert z_of(series).tolist() == [[0.0] * Z_DIM]
