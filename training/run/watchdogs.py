"""What goes wrong between two networks that train against each other, told by figures that a run reads anyway.

Each has a name, a sign, and what to try. A sign must last before it is a warning: in the first updates of
every sound run one network is far ahead of the other for a while.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

from training.gan.losses import FLOW
from training.settings import Settings

# TensorBoard's names and means over some updates.
Figures = dict[str, float]

# Norm of G's gradient. Sound runs are above 0.03 where D can tell, and the minimax loss, whose
# gradient carries D(G(z)) as a factor, comes below this where D gives every fake less than about 0.001.
LEAST_GRADIENT = 1e-3
# D's loss where it cannot tell real from fake. All of these are 0 where it is sure of every image.
UNDECIDED = {
    "minimax": 2 * math.log(2),
    "non_saturating": 2 * math.log(2),
    "least_squares": 1 / 4,
    "hinge": 2.0,
    "relativistic": math.log(2),
}
# D is saturated below this share of UNDECIDED: with a sigmoid D(x) is 0.98 and D(G(z)) 0.02. In sound runs gan's D is the surest, with 0.18 once.
SATURATED = 0.03
# BEGAN: generated images' error over real ones'. Its equilibrium is balance_gamma, at most 1.
REJECTED = 2.0
# Sound runs stay below 20 and below 100. A critic's loss is a distance in units of its own: see `diverging`.
MOST_LOSS, MOST_GRADIENT = 100.0, 1e4


def vanishing(settings: Settings, figures: Figures) -> bool:
    """G's gradient is all but 0 while D tells real from fake (Goodfellow et al. 2014, section 3).

    Where D cannot tell, it is 0 at the optimum, and in the first updates of an MLP of small weights. A flow has no D.
    """
    if settings.loss == FLOW:
        return False
    undecided = figures["loss/D"] > UNDECIDED.get(settings.loss, math.inf) / 2
    return figures["gradient/G"] < LEAST_GRADIENT and not undecided


def saturated(settings: Settings, figures: Figures) -> bool:
    """D is sure of every image, and learns no more (Arjovsky and Bottou 2017, arXiv 1701.04862, section 2).

    Never of a Wasserstein critic, which is trained to its optimum. BEGAN's D has won where it reconstructs real images only.
    """
    if settings.loss == "began":
        return figures["D(G(z))"] > REJECTED * figures["D(x)"]
    return settings.loss != FLOW and figures["loss/D"] < SATURATED * UNDECIDED.get(settings.loss, -math.inf)


def diverging(settings: Settings, figures: Figures) -> bool:
    """Losses or gradients grow out of all proportion: NaN is next. A Wasserstein critic's loss has no scale."""
    gradients, losses = ([figures.get(f"{name}/{of}", 0.0) for of in "DG"] for name in ("gradient", "loss"))
    return max(gradients) > MOST_GRADIENT or (
        settings.loss != "wasserstein" and max(map(abs, losses)) > MOST_LOSS
    )


# ---- What to try: settings that this very run may have -----------------------------------------


def slower(settings: Settings) -> str:
    return f"half the learning rates (--set lr_g={settings.lr_g / 2:g} --set lr_d={settings.lr_d / 2:g})"


def slower_discriminator(settings: Settings) -> str:
    fewer = " and fewer of its updates (--set d_steps=1)" if settings.d_steps > 1 else ""
    return f"a slower discriminator (--set lr_d={settings.lr_d / 4:g}){fewer}"


def smoother_discriminator(settings: Settings) -> str:
    """A penalty on its slope, by which its gradient reaches G (Mescheder et al. 2018, arXiv 1801.04406). "" where there is none."""
    if settings.loss == FLOW:
        return ""
    if settings.loss == "began":
        return f"a balance that follows faster (--set balance_rate={settings.balance_rate * 3:g})"
    if settings.loss == "wasserstein":
        weight = 2 * settings.gp_weight or 10
        return f"a stronger gradient penalty (--set weight_clip=0 --set gp_weight={weight:g} --set batch_norm_d=false)"
    strength = max(5 * settings.r1_gamma, 1)
    apart = " --set batch_norm_d=false" if settings.batch_norm_d else ""
    return f"a larger R1 strength (--set r1_gamma={strength:g} --set r1_gamma_end={strength:g}{apart})"


def no_saturating_loss(settings: Settings) -> str:
    if settings.loss == "minimax":
        return "the loss whose gradient stays (--set loss=non_saturating)"
    return slower_discriminator(settings)


Remedies = tuple[Callable[[Settings], str] | str, ...]


def few_images(settings: Settings) -> str:
    augment = "for fewer than about 10,000 training images, --augment brightness,translation,cutout"
    return "" if settings.loss == FLOW else augment


def remedy(remedies: Remedies, settings: Settings) -> str:
    """`Try A, B, or C, each with a new --run.`"""
    *most, last = filter(None, (one if isinstance(one, str) else one(settings) for one in remedies))
    return f"Try {', or '.join([', '.join(most), last] if most else [last])}, each with a new --run."


DIVERGENCE: Remedies = (slower, smoother_discriminator, "--precision fp32")
COLLAPSE: Remedies = (smoother_discriminator, slower, few_images)


class Watchdog(NamedTuple):
    name: str
    sign: Callable[[Settings, Figures], bool]
    says: str
    remedies: Remedies
    patience: int = 100
    """Updates of G over which every reading has the sign."""


WATCHDOGS = (
    Watchdog(
        "vanishing gradient",
        vanishing,
        "the generator's gradient is all but 0, so that it no longer learns",
        (no_saturating_loss, smoother_discriminator),
    ),
    Watchdog(
        "saturated discriminator",
        saturated,
        "the discriminator is sure of every image, so that it teaches the generator little",
        (slower_discriminator, smoother_discriminator, few_images),
    ),
    # Shorter, because it is a matter of a few updates.
    Watchdog("divergence", diverging, "losses or gradients grow out of all proportion", DIVERGENCE, 30),
)


class Watch:
    """Which signs have lasted, and so are warnings; one is told once, until its sign has gone."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.since: dict[str, int] = {}
        self.warned: set[str] = set()

    def read(self, figures: Figures, images_seen: int) -> dict[str, str]:
        """figures: loss, gradient and output of both networks. Returns new warnings, name -> what it is and what to try."""
        new: dict[str, str] = {}
        for dog in WATCHDOGS:
            if not dog.sign(self.settings, figures):
                self.since.pop(dog.name, None)
                self.warned.discard(dog.name)
                continue
            lasted = images_seen - self.since.setdefault(dog.name, images_seen)
            if dog.name not in self.warned and lasted >= dog.patience * images_an_update(self.settings):
                self.warned.add(dog.name)
                new[dog.name] = f"{dog.says}. {remedy(dog.remedies, self.settings)}"
        return new

    def set(self, name: str, on: bool) -> bool:
        """The same for a sign that was judged elsewhere. Returns whether the warning is new."""
        new = on and name not in self.warned
        (self.warned.add if on else self.warned.discard)(name)
        return new

    def scalars(self) -> Figures:
        """1 while a warning lasts, for TensorBoard."""
        names = [*(dog.name for dog in WATCHDOGS), "mode collapse"]
        return {f"watchdog/{name}": float(name in self.warned) for name in names}


def images_an_update(settings: Settings) -> int:
    """Real images that D sees for each update of G."""
    return settings.batch * settings.d_steps
