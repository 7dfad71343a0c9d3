from training.gan.networks import build_generator
from training.settings import ImageSpec, Settings


def test_shipped_size_is_what_the_card_says() -> None:
    """Under 4 MB as float32, and cheap enough to train and serve on one core."""
    spec = ImageSpec("fashion-mnist", 1, 28, 28, tuple("0123456789"))
    parameters = sum(p.numel() for p in build_generator(Settings(), spec).parameters())
    assert parameters * 4 < 2.5e6
