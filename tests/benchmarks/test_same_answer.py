import numpy as np

from benchmarks.comparison.same_answer import N, difference
from service.generator import images

WANT = np.random.default_rng(0).integers(0, 255, (N, 1, 8, 8), np.uint8)


def test_the_same_pictures_pass_also_a_level_off():
    assert difference(WANT, images.png(WANT[0]), images.npy(WANT), "fp32") is None
    near = WANT.copy()
    near[3, 0, 2, 2] += 1
    assert difference(WANT, images.png(WANT[0]), images.npy(near), "fp32") is None


def test_other_pictures_do_not():
    other = WANT[::-1]
    assert "npy: pixels differ" in str(difference(WANT, images.png(WANT[0]), images.npy(other), "fp32"))
    assert "png: pixels differ" in str(difference(WANT, images.png(other[0]), images.npy(WANT), "bf16"))
    assert "instead of uint8" in str(difference(WANT, images.png(WANT[0]), images.npy(WANT[:1]), "fp32"))
