"""Laws of z: each is drawn from the same shares of an address."""

from statistics import NormalDist

import numpy as np
import pytest

from service.generator.latents import latents
from service.generator.laws import MEAN_SQUARES, quantiles_of
from tests.generators.styled import Styled, Z


def exact(law: str, share: float) -> float:
    normal = NormalDist()
    return {
        "normal": lambda: normal.inv_cdf(share),
        "truncated": lambda: normal.inv_cdf(normal.cdf(-2) + share * (normal.cdf(2) - normal.cdf(-2))),
        "uniform": lambda: 2 * share - 1,
        "uniform01": lambda: share,
        "pixels": lambda: int(256 * share),
    }[law]()


@pytest.mark.parametrize("law", MEAN_SQUARES)
def test_a_law_is_the_inverse_of_its_distribution_of_the_same_numbers(law):
    table = quantiles_of(law)
    places = [0, 1, 999, 32767, 32768, 65535]
    np.testing.assert_allclose(table[places], [exact(law, (k + 0.5) / 65536) for k in places], rtol=2e-6)
    assert (np.diff(table) >= 0).all()
    assert np.mean(table.astype(float) ** 2) == pytest.approx(MEAN_SQUARES[law], rel=1e-3)


def test_an_address_draws_the_same_quantiles_under_every_law():
    said = Styled(law="uniform").contract()
    normal = latents([7, 2**53 - 1], said.z_dim)
    z = said.drawn([7, 2**53 - 1])
    np.testing.assert_array_equal(z[:, Z:], normal[:, Z:])  # the noise is normal
    shares = np.vectorize(NormalDist().cdf)(normal[:, :Z])
    np.testing.assert_allclose(z[:, :Z], 2 * shares - 1, atol=1e-5)
