"""Golden samples: do the pictures of this engine equal those of the network that was trained?"""

from collections.abc import Sequence

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from service.errors import WRITE, ContractError
from service.generator.contract import Contract, GoldenSample
from service.generator.engine import Forward
from service.generator.images import decode, png
from service.generator.latents import latents


class Tolerance(Struct, frozen=True):
    """Bounds in uint8 levels (0 to 255) on the absolute difference to the golden samples."""

    max: float
    p99: float
    mean: float


# fp32 engines round differently, by one level at most. Lower precisions move a few pixels far
# (max 17 seen in bf16 at p99 3 and mean 0.22), so there the maximum says little and is left free.
TOLERANCES = {
    "fp32": Tolerance(max=1, p99=1, mean=0.1),
    "tf32": Tolerance(max=255, p99=3, mean=0.25),
    "fp16": Tolerance(max=255, p99=3, mean=0.25),
    "bf16": Tolerance(max=255, p99=8, mean=0.75),
}


class GoldenErrors(Struct, frozen=True):
    """Absolute difference to the golden samples, in uint8 levels, over all pixels of all samples."""

    samples: int
    max: float
    p99: float
    mean: float

    def excess(self, precision: str) -> str | None:
        """What exceeds the tolerance of `precision`, in words; None if nothing does."""
        bounds = TOLERANCES[precision]
        over = [
            f"{statistic} {value:.3g} (allowed {bound:.3g})"
            for statistic, value, bound in (
                ("max", self.max, bounds.max),
                ("p99", self.p99, bounds.p99),
                ("mean", self.mean, bounds.mean),
            )
            if value > bound
        ]
        return f"golden samples differ in {precision}, in grey levels: {', '.join(over)}" if over else None


def make(
    forward: Forward,
    z_dim: int,
    seeds: Sequence[int],
    labels: Sequence[int] | None,
    rows: NDArray[np.float32] | None = None,
    texts: Sequence[str] | None = None,
) -> list[GoldenSample]:
    """Golden samples of `forward`, which should be the PyTorch EMA network, one a seed.

    rows: what it takes of each seed, where that is more than a standard normal z; texts: those that are in them.
    """
    label = None if labels is None else np.array(labels, np.int64)
    images = forward(latents(seeds, z_dim) if rows is None else rows, label)
    return [
        GoldenSample(
            seed=seed,
            label=None if labels is None else labels[i],
            png=png(images[i]),
            text=texts[i] if texts else "",
        )
        for i, seed in enumerate(seeds)
    ]


def compare(contract: Contract, forward: Forward) -> GoldenErrors | None:
    """How far `forward` is from the golden samples, in one pass over all; None if the file has none.

    Raises ContractError if a golden sample is not an image of the contract's shape.
    """
    samples = contract.golden
    if not samples:
        return None
    shape = (contract.image.channels, contract.image.height, contract.image.width)
    want = [decode(sample.png) for sample in samples]
    if any(image.shape != shape for image in want):
        raise ContractError(f"a golden sample does not have the shape {shape}", WRITE)
    label = None if contract.classes is None else np.array([sample.label for sample in samples], np.int64)
    texts = None if contract.text is None else [sample.text for sample in samples]
    got = forward(contract.rows([sample.seed for sample in samples], texts), label)
    return difference(got, np.stack(want))


def difference(got: NDArray[np.uint8], want: NDArray[np.uint8]) -> GoldenErrors:
    """got, want: uint8 [N, C, H, W]. Returns statistics of |got - want|."""
    levels = np.abs(got.astype(np.int16) - want)
    return GoldenErrors(
        samples=len(got),
        max=float(levels.max()),
        p99=float(np.percentile(levels, 99)),
        mean=float(levels.mean()),
    )
