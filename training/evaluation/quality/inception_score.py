"""The Inception Score."""

import numpy as np
from numpy.typing import NDArray
from scipy.special import entr


def inception_score(probabilities: NDArray[np.float32] | NDArray[np.float64]) -> float:
    """exp of the mean divergence between p(y|x) and p(y).

    Salimans et al. 2016 (arXiv 1606.03498), section 4: exp(E_x KL(p(y|x) || p(y))).

    probabilities: [N, K], rows sum to 1. Returns 1 (nothing told apart) to K (every image sure,
    all classes equally often). Over all N images at once, not the mean of ten splits.
    """
    exact = probabilities.astype(np.float64)
    # E KL(p(y|x) || p(y)) = H(y) - H(y|x); entr(p) is -p log p, 0 at 0.
    information = entr(exact.mean(axis=0)).sum() - entr(exact).sum(axis=1).mean()
    return float(np.exp(information))
