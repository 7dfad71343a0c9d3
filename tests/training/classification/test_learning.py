import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from tests.training.pictures import squares
from training.classification import learning as room
from training.classification.learning import (
    feature_matching_loss,
    learning,
    logits_of,
    unsupervised_loss,
)
from training.gan.losses import class_loss

REAL, FAKE = torch.tensor([[2.0, -1.0, 0.5], [0.0, 1.0, -2.0]]), torch.tensor([[0.3, -0.7, 1.0]])


def test_a_classifier_that_cannot_tell_loses_the_logs_of_what_it_could_say() -> None:
    """All K + 1 classes are as likely: K / (K + 1) of them are real."""
    for K in (3, 10):
        nothing = torch.zeros(4, K)
        real, fake = math.log((K + 1) / K), math.log(K + 1)
        assert unsupervised_loss(nothing, nothing).item() == pytest.approx(real + fake, rel=1e-6)
        assert class_loss(nothing, torch.zeros(4).long()).item() == pytest.approx(math.log(K), rel=1e-6)


def test_it_is_the_softmax_of_k_and_one_classes_whose_last_logit_is_0() -> None:
    def of_all(logits: Tensor) -> Tensor:
        return F.log_softmax(F.pad(logits, (0, 1)), dim=1)

    real = -torch.log1p(-of_all(REAL)[:, -1].exp()).mean()
    fake = -of_all(FAKE)[:, -1].mean()
    assert torch.isclose(unsupervised_loss(REAL, FAKE), real + fake)
    # Given that it is real, the last class is out of the question.
    labels = torch.tensor([2, 0])
    given = of_all(REAL)[range(2), labels] - torch.log1p(-of_all(REAL)[:, -1].exp())
    assert torch.isclose(class_loss(REAL, labels), -given.mean())


def test_features_match_where_their_means_do() -> None:
    # Means (2, 1) and (0, 2): (4 + 1) / 2.
    real, fake = torch.tensor([[1.0, 1.0], [3.0, 1.0]]), torch.tensor([[0.0, 2.0]])
    assert feature_matching_loss(real, fake).item() == 2.5
    assert feature_matching_loss(real, real.flip(0)).item() == 0


@pytest.mark.parametrize(
    "loss",
    [
        lambda x: class_loss(x, torch.tensor([2, 0])),
        lambda x: unsupervised_loss(x, FAKE.double()),
        lambda x: unsupervised_loss(FAKE.double(), x),
        lambda x: feature_matching_loss(FAKE.double(), x),
    ],
)
def test_gradients_are_finite_differences(loss) -> None:
    assert torch.autograd.gradcheck(loss, REAL.double().requires_grad_())


def test_losses_are_finite_where_exponentials_overflow() -> None:
    far = torch.full((2, 3), 1e4)
    assert unsupervised_loss(-far, far).item() == pytest.approx(2e4, rel=1e-3)


def test_80_images_teach_it_and_the_same_seed_the_same(monkeypatch) -> None:
    monkeypatch.setattr(room, "WIDTH", 8)
    dataset = squares(train=80)
    rows = np.arange(6)
    before = torch.random.get_rng_state()
    *_, first = learning(dataset, rows, alone=False, updates=60, seed=0)
    *_, again = learning(dataset, rows, alone=False, updates=60, seed=0)
    *_, alone = learning(dataset, rows, alone=True, updates=60, seed=0)
    assert torch.equal(torch.random.get_rng_state(), before)
    assert (first.generator is None, alone.generator is None) == (False, True)
    found = [logits_of(one.classifier, dataset.test_images) for one in (first, again, alone)]
    assert torch.equal(found[0], found[1])
    assert not torch.allclose(found[0], found[2])
    for logits in found:
        assert np.mean(logits.argmax(1).numpy() == dataset.test_labels) > 0.7


def test_labels_of_other_images_are_never_looked_at(monkeypatch) -> None:
    monkeypatch.setattr(room, "WIDTH", 8)
    dataset, other = squares(train=80), squares(train=80)
    rows = np.arange(6)
    other.labels[6:] = 0
    for alone in (False, True):
        *_, first = learning(dataset, rows, alone, updates=3, seed=0)
        *_, second = learning(other, rows, alone, updates=3, seed=0)
        seen = [logits_of(one.classifier, dataset.test_images) for one in (first, second)]
        assert torch.equal(*seen)
