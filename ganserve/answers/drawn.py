"""Images that a server drew."""

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class Samples:
    """Images, and where each can be asked for again."""

    images: NDArray[np.uint8]
    """uint8 [N, H, W, C], C 1 (grey), 3 (RGB) or 4 (RGBA)."""
    labels: NDArray[np.int64] | None
    """int64 [N], indexes into the `classes` of the model's card, of several the heaviest; None for an unconditional model."""
    seeds: NDArray[np.int64] | None
    """int64 [N]; None where z was given."""
    model: str
    version: str


@dataclass(frozen=True, eq=False)
class Frames:
    """The images of a way between points, uint8 [N, H, W, C]."""

    images: NDArray[np.uint8]
    model: str
    version: str


def pixels(body: bytes) -> NDArray[np.uint8]:
    """uint8 [N, H, W, C]. Raises ValueError, EOFError and OSError where a body, as npy, holds no images."""
    images = np.load(io.BytesIO(body), allow_pickle=False)
    if not isinstance(images, np.ndarray) or images.ndim != 4 or images.dtype != np.uint8:
        raise ValueError("not uint8 [N, H, W, C]")
    return images


def told(headers: Mapping[str, str], n: int) -> tuple[NDArray[np.int64] | None, NDArray[np.int64] | None]:
    """Labels and seeds of n images, each int64 [n], as a reply's headers tell them. Raises ValueError where they can't be read."""
    first, _, _ = headers.get("ganserve-seeds", "").partition("-")
    listed = [int(text) for text in headers.get("ganserve-labels", "").split(",") if text]
    labels = np.broadcast_to(np.array(listed, np.int64), n).copy() if listed else None
    return labels, int(first) + np.arange(n) if first else None


def joined(pieces: Sequence[Samples]) -> Samples:
    """Of one version, in their order."""
    labels = [piece.labels for piece in pieces if piece.labels is not None]
    seeds = [piece.seeds for piece in pieces if piece.seeds is not None]
    return Samples(
        np.concatenate([piece.images for piece in pieces]),
        np.concatenate(labels) if labels else None,
        np.concatenate(seeds) if seeds else None,
        pieces[0].model,
        pieces[0].version,
    )
