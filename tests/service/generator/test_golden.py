import msgspec
import numpy as np
import pytest

from service.errors import ContractError
from service.generator import golden
from service.generator.contract import GoldenSample
from service.generator.golden import TOLERANCES, GoldenErrors
from service.generator.images import png
from tests.generators import Tiny


def test_the_network_that_made_the_samples_agrees_with_them():
    tiny = Tiny()
    assert golden.compare(tiny.contract(), tiny.forward) == GoldenErrors(samples=4, max=0, p99=0, mean=0)


def test_an_unconditional_network_has_golden_samples_too():
    tiny = Tiny(classes=None, image=(3, 8, 8))
    errors = golden.compare(tiny.contract(), tiny.forward)
    assert errors is not None
    assert errors.max == 0


def test_a_file_without_samples_is_not_judged():
    tiny = Tiny(golden_samples=0)
    assert golden.compare(tiny.contract(), tiny.forward) is None


def test_one_pixel_that_moved_far_is_seen_in_fp32():
    tiny = Tiny()

    def moved(z, label):
        images = tiny.forward(z, label)
        images[2, 0, 3, 3] ^= 128
        return images

    errors = golden.compare(tiny.contract(), moved)
    assert errors is not None
    assert errors.max == 128
    assert "max 128 (allowed 1)" in (errors.excess("fp32") or "")


def test_swapped_labels_are_seen():
    tiny = Tiny()

    def shifted(z, label):
        return tiny.forward(z, (label + 1) % 10)

    errors = golden.compare(tiny.contract(), shifted)
    assert errors is not None
    assert all(errors.excess(precision) for precision in TOLERANCES)


def test_rounding_by_one_level_is_allowed_in_fp32_and_more_is_not():
    want = np.full((2, 1, 8, 8), 100, np.uint8)
    near, far = want.copy(), want.copy()
    near[0, 0, 0, 0], far[0, 0, 0, 0] = 101, 102
    assert golden.difference(near, want).excess("fp32") is None
    assert golden.difference(far, want).excess("fp32")


def test_differences_do_not_wrap_around():
    black, white = np.zeros((1, 1, 2, 2), np.uint8), np.full((1, 1, 2, 2), 255, np.uint8)
    for got, want in ((black, white), (white, black)):
        assert golden.difference(got, want) == GoldenErrors(samples=1, max=255, p99=255, mean=255)


def test_the_text_of_an_excess_names_every_statistic_that_is_over():
    text = GoldenErrors(samples=1, max=200, p99=9, mean=0.1).excess("bf16")
    assert text == "golden samples differ in bf16, in grey levels: p99 9 (allowed 8)"


@pytest.mark.parametrize(
    "file", [b"", b"GIF89a", png(np.zeros((1, 4, 4), np.uint8)), png(np.zeros((3, 8, 8), np.uint8))]
)
def test_a_sample_that_is_not_an_image_of_the_shape_is_refused(file):
    tiny = Tiny()
    contract = msgspec.structs.replace(tiny.contract(), golden=[GoldenSample(seed=1, label=1, png=file)])
    with pytest.raises(ContractError, match="golden sample"):
        golden.compare(contract, tiny.forward)
