"""What a run of `translate` is asked for."""

from dataclasses import dataclass

CLASSES = "classes"


@dataclass(frozen=True)
class Settings:
    """What a run learns and how long. Lengths in real images seen, as in training/settings.py."""

    rule: str = "edges"
    source: str = ""
    """Of rule `classes`: the class whose pictures go in; and that, as one of which they come out."""
    target: str = ""
    seed: int = 0
    """Decides the first weights and the order of the images; nothing else is drawn."""
    images: int = 100_000
    batch: int = 16
    width: int = 24
    """Channels of both networks at half resolution."""
    l1_weight: float = 100.0
    """lambda of pix2pix's Eq. 4, theirs; of pairs."""
    cycle_weight: float = 10.0
    """lambda of CycleGAN's Eq. 3, theirs; without pairs."""
    identity_weight: float = 5.0
    """Of a picture that is of the target already (section 5.2 there): half of lambda, theirs."""
    adversarial: bool = True
    """False: L1 alone, what the discriminator's part is to be compared with."""
    lr: float = 5e-4
    """Of both networks, over the first half of the run; then it falls linearly to 0. Theirs is 2e-4 at batches of 1."""
    ema_half_life: float = 5000.0
    """As in training/settings.py; at most a tenth of the images seen so far."""

    @property
    def unpaired(self) -> bool:
        return self.rule == CLASSES
