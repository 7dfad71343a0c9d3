"""D as a classifier of K classes and of fakes, taught by few labels and many images without.

Salimans et al. 2016, "Improved Techniques for Training GANs" (arXiv 1606.03498). Logits are float32 [N, K], finite.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim import Adam
from torch.optim.lr_scheduler import LambdaLR
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from training.data.dataset import Dataset, Indices, Pixels, part_of_each, to_float
from training.gan.augment import augment
from training.gan.losses import class_loss, discriminator_loss
from training.gan.networks.dcgan import Generator
from training.gan.networks.layers import he
from training.gan.step import draws
from training.presets import settings_of
from training.settings import ImageSpec
from training.settings import Settings as GanSettings

# Of images with labels in an update, of others, and of G's; of both networks; Adam's, whose rates fall to 0 from half of the
# run on; and the average's share that stays in an update.
BATCH, WIDTH, D_RATE, G_RATE, BETAS, AVERAGE = 32, 16, 3e-3, 1e-3, (0.5, 0.99), 0.99
RECIPE = {"batch": BATCH, "width": WIDTH, "lr_d": D_RATE, "lr_g": G_RATE, "betas": BETAS, "average": AVERAGE}
# The baseline: the same network, taught by the labels and nothing else. At so many moments it may stop.
STOPS = 8
KNOWN, EARLY, END = "K + 1 classes", "the labels alone, stopped early", "the labels alone, to the end"


@dataclass(frozen=True)
class Settings:
    """labels: how many images have one, each class as many. seed: draws them, and decides the rest. images: seen without labels."""

    labels: int = 1000
    seed: int = 0
    images: int = 192_000

    @property
    def updates(self) -> int:
        return max(1, self.images // BATCH)


# ---- Losses ----------------------------------------------------------------------------------


def unsupervised_loss(real_logits: Tensor, fake_logits: Tensor) -> Tensor:
    """-E log D(x) - E log(1 - D(G(z))), section 5, with D(x) = Z(x) / (Z(x) + 1) and Z(x) the sum of exp l_k(x).

    It is that of a softmax over K + 1 classes whose last logit, that of fakes, is fixed at 0.
    """
    # log Z is the logit of D: sigmoid(log Z) = Z / (Z + 1).
    return discriminator_loss(real_logits.logsumexp(1), fake_logits.logsumexp(1))


def feature_matching_loss(real: Tensor, fake: Tensor) -> Tensor:
    """|E f(x) - E f(G(z))|^2, section 3.1, over the number of features: what G descends. f: float32 [N, F], of D."""
    return F.mse_loss(fake.mean(0), real.mean(0))


# ---- Networks and updates --------------------------------------------------------------------


class Classifier(nn.Module):
    """DCGAN's discriminator with K logits, and with group norm: batches of labels, images and fakes share no statistics."""

    def __init__(self, spec: ImageSpec) -> None:
        super().__init__()
        layers, wide, wider, side = [], spec.channels, WIDTH, spec.height
        while side > 4:
            layers += [nn.Conv2d(wide, wider, 4, stride=2, padding=1), nn.GroupNorm(8, wider)]
            layers += [nn.LeakyReLU(0.2), nn.Dropout(0.3)]
            wide, wider, side = wider, 2 * wider, side // 2
        self.trunk = nn.Sequential(*layers, nn.Flatten())
        self.head = he(nn.Linear(wide * side * side, spec.classes), gain=1.0)

    def forward(self, image: Tensor) -> Tensor:
        """image: float32 [N, C, H, W] in [-1, 1]. Returns logits."""
        return self.head(self.trunk(image))


def shifted(images: Tensor, rng: torch.Generator) -> Tensor:
    """By up to an eighth of the side, each by its own draw; what comes in is black. images: float32 in [-1, 1]."""
    return augment(images + 1, "translation", rng) - 1


def known(dataset: Dataset, labels: int, seed: int) -> Indices:
    """Rows of the images whose labels are known, of each class as many."""
    return np.flatnonzero(part_of_each(dataset.labels, seed, lambda _: labels // len(dataset.class_names)))


class Learnt(NamedTuple):
    """The average of the classifier's weights, and of its generator's, None without one; the former in eval mode."""

    classifier: nn.Module
    generator: nn.Module | None


def gan_settings() -> GanSettings:
    """Of the generator."""
    return settings_of("dcgan", conditional=False, width=WIDTH)


def learning(dataset: Dataset, rows: Indices, alone: bool, updates: int, seed: int) -> Iterator[Learnt]:
    """What was learnt after each update.

    rows: the images whose labels are known. alone: the classifier learns from these and nothing else, in as many updates.
    """
    settings = gan_settings()
    # Forked, so that the caller's global generator stays as it was.
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        D, G = Classifier(dataset.spec), Generator(settings, dataset.as_one_class().spec)
        learners = [(D, D_RATE)] if alone else [(D, D_RATE), (G, G_RATE)]
        optimisers = [Adam(network.parameters(), rate, BETAS, fused=True) for network, rate in learners]
        schedules = [LambdaLR(one, lambda k: min(1.0, 2 * (1 - k / updates))) for one in optimisers]
        averages = [AveragedModel(one, multi_avg_fn=get_ema_multi_avg_fn(AVERAGE)) for one, _ in learners]
        learnt = Learnt(averages[0].eval().module, None if alone else averages[1].module)
        for k in range(updates):
            rng = draws(seed, k, 0)
            chosen = rows[torch.randint(len(rows), (BATCH,), generator=rng).numpy()]
            seen, labels = to_float(dataset.images[chosen]), torch.from_numpy(dataset.labels[chosen])
            if alone:
                losses = [class_loss(D(shifted(seen, rng)), labels)]
            else:
                others = to_float(dataset.images[dataset.batch_indices(seed, k, BATCH)])
                z, nameless = torch.randn(BATCH, settings.z_dim, generator=rng), torch.zeros(BATCH).long()
                images = torch.cat([seen, others, G(z, nameless)])
                losses = losses_of(D, shifted(images, rng), labels)
            # One pass for both: neither network sees what the other learnt in it.
            for (network, _), loss in zip(learners, losses, strict=True):
                network.zero_grad()
                torch.autograd.backward(loss, inputs=list(network.parameters()), retain_graph=True)
            for step in (*optimisers, *schedules):
                step.step()
            for average, (network, _) in zip(averages, learners, strict=True):
                average.update_parameters(network)
            yield learnt


def losses_of(D: Classifier, images: Tensor, labels: Tensor) -> list[Tensor]:
    """D's and G's. images: [3N, C, H, W], with labels, without, and of G. labels: [N], of the first."""
    features = D.trunk(images)
    known, real, fake = D.head(features).chunk(3)
    _, real_features, fake_features = features.chunk(3)
    matching = feature_matching_loss(real_features.detach(), fake_features)
    # The former is section 5's -E log p(y | x, y < K + 1): the cross-entropy among the K classes.
    return [class_loss(known, labels) + unsupervised_loss(real, fake), matching]


def right(classifier: nn.Module, dataset: Dataset) -> float:
    """The share of the test images that it names right."""
    return float(np.mean(logits_of(classifier, dataset.test_images).argmax(1).numpy() == dataset.test_labels))


@torch.inference_mode()
def logits_of(classifier: nn.Module, images: Pixels) -> Tensor:
    """images: uint8 [N, C, H, W]. Returns logits."""
    return torch.cat([classifier(to_float(images[i : i + 500])) for i in range(0, len(images), 500)])


# ---- The baseline ----------------------------------------------------------------------------


def alone(dataset: Dataset, rows: Indices, updates: int, seed: int) -> dict[str, float]:
    """The share of the test images that it names right, stopped early and to the end.

    A fifth of the labels says when to stop, and then all are learnt from; no test image has a say.
    """
    stops = [round(updates * i / STOPS) for i in range(1, STOPS + 1)]

    def stopped(rows: Indices) -> Iterator[tuple[int, nn.Module]]:
        ways = enumerate(learning(dataset, rows, alone=True, updates=updates, seed=seed), start=1)
        return ((k, learnt.classifier) for k, learnt in ways if k in stops)

    is_held = part_of_each(dataset.labels[rows], seed, lambda count: max(1, count // 5))
    held, labels = dataset.images[rows[is_held]], torch.from_numpy(dataset.labels[rows[is_held]])
    losses = {k: class_loss(logits_of(one, held), labels).item() for k, one in stopped(rows[~is_held])}
    best = min(losses, key=lambda k: losses[k])
    shares = {k: right(one, dataset) for k, one in stopped(rows) if k in (best, updates)}
    return {EARLY: shares[best], END: shares[updates], "stopped_after": best}
