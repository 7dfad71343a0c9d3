"""Does a server do the work that is measured? Its answers against those of the engine, asked directly.

python -m benchmarks.comparison.same_answer FILE PRECISION URL    ends with a message and status 1 if not
"""

import io
import json
import sys
import urllib.request
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from service.generator.contract import Contract, parse
from service.generator.engines.ort import OrtEngine
from service.generator.golden import TOLERANCES
from service.generator.images import decode
from service.generator.latents import latents

SEED, LABEL, N = 2026, 3, 16


def expected(file: bytes, contract: Contract) -> NDArray[np.uint8]:
    """uint8 [N, C, H, W] in fp32: what every server has to draw for SEED and LABEL."""
    engine = OrtEngine(file, contract, cuda=False, precision="fp32", threads=1)
    return engine.wide(latents(range(SEED, SEED + N), contract.z_dim), np.full(N, LABEL, np.int64))


def ask(url: str, n: int, format: str) -> bytes:
    """The body of one answer."""
    fields = json.dumps({"label": LABEL, "n": n, "seed": SEED, "format": format}).encode()
    request = urllib.request.Request(f"{url}/v1/samples", fields, {"content-type": "application/json"})
    with urllib.request.urlopen(request, timeout=60) as reply:
        return reply.read()


def difference(want: NDArray[np.uint8], png: bytes, npy: bytes, precision: str) -> str | None:
    """What is wrong with a PNG of the first image and an npy of all, in words; None if nothing is."""
    many = np.load(io.BytesIO(npy), allow_pickle=False).transpose(0, 3, 1, 2)
    for name, pixels, wanted in (("png", decode(png), want[0]), ("npy", many, want)):
        if pixels.shape != wanted.shape or pixels.dtype != np.uint8:
            return f"{name}: {pixels.dtype} {pixels.shape} instead of uint8 {wanted.shape}"
        levels = np.abs(pixels.astype(int) - wanted)
        allowed = TOLERANCES[precision]
        if (
            levels.max() > allowed.max
            or np.quantile(levels, 0.99) > allowed.p99
            or levels.mean() > allowed.mean
        ):
            return f"{name}: pixels differ by up to {levels.max()} levels, {levels.mean():.3g} on average"
    return None


if __name__ == "__main__":
    content = Path(sys.argv[1]).read_bytes()
    pictures = expected(content, parse(content))
    sys.exit(difference(pictures, ask(sys.argv[3], 1, "png"), ask(sys.argv[3], N, "npy"), sys.argv[2]))
