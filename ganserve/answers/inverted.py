"""Pictures on their way to a server, and what its encoder found in them."""

import base64
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Picture = bytes | str | PathLike[str] | Image.Image | NDArray[np.uint8]
"""A file's bytes or path, a Pillow image, or an array uint8 [H, W] or [H, W, C]."""

_MOST_STEPS = 64  # of all pictures of a request


@dataclass(frozen=True, eq=False)
class Inversions:
    """z of N pictures. `Client.sample(z=found.z, label=found.labels)` draws `images` again."""

    z: NDArray[np.float32]
    """float32 [N, z_dim]."""
    labels: list[str] | None
    """N class names: what the encoder takes the pictures for, or what was said; None for an unconditional model."""
    probabilities: NDArray[np.float64] | None
    """float64 [N], that the encoder gives for `labels`."""
    errors: NDArray[np.float64]
    """float64 [N]: mean absolute difference between picture and reconstruction, in grey levels, 0 to 255."""
    images: NDArray[np.uint8]
    """The reconstructions, uint8 [N, H, W, C]."""
    model: str
    version: str


def parts(
    pictures: Picture | Sequence[Picture], label: Any, size: int, steps: int = 0
) -> Iterator[dict[str, Any]]:
    """The requests for pictures, `size` in each: their `images`, and `label` if there is one, which may be a list with one for each.

    steps: of refinement, for which a request has fewer pictures. Raises what `_files_of` raises.
    """
    if steps > 0:
        size = min(size, max(1, _MOST_STEPS // steps))
    files = _files_of(pictures)
    is_listed = isinstance(label, list) and len(label) == len(
        files
    )  # else it is left whole, for the server to say so
    for begin in range(0, max(1, len(files)), size):
        part = slice(begin, begin + size)
        images = [base64.b64encode(file).decode() for file in files[part]]
        of_label = {} if label is None else {"label": label[part] if is_listed else label}
        yield {"images": images} | of_label | ({"steps": steps} if steps else {})


def _files_of(pictures: Picture | Sequence[Picture]) -> list[bytes]:
    """PNG, JPEG or WebP files of pictures, or of one. Raises OSError, and ValueError for what is no picture."""
    if isinstance(pictures, bytes | str | PathLike | Image.Image):
        return [_file_of(pictures)]
    if isinstance(pictures, np.ndarray) and (
        pictures.ndim == 2 or (pictures.ndim == 3 and pictures.shape[2] <= 4)
    ):
        return [_file_of(pictures)]
    return [_file_of(one) for one in pictures]


def _file_of(picture: Picture) -> bytes:
    if isinstance(picture, bytes):
        return picture
    if isinstance(picture, str | PathLike):
        return Path(picture).read_bytes()
    if not isinstance(picture, Image.Image):
        array = np.asarray(picture)
        if array.dtype != np.uint8 or array.ndim not in (2, 3):
            raise ValueError(
                f"a picture is {array.dtype} {list(array.shape)}: it must be uint8 [H, W] or [H, W, C]."
            )
        picture = Image.fromarray(array[..., 0] if array.shape[2:] == (1,) else array)
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    return buffer.getvalue()


def read(replies: Sequence[Any], model: str, version: str) -> Inversions:
    """What some replies of one version hold together. Raises LookupError, TypeError, ValueError, AttributeError and OSError where that is none."""
    found = [one for reply in replies for one in reply["images"]]
    labels = [one.get("label") for one in found]
    are_labelled = None not in labels
    return Inversions(
        np.array([one["z"] for one in found], np.float32),
        labels if are_labelled else None,
        np.array([one["probability"] for one in found], np.float64) if are_labelled else None,
        np.array([one["error"] for one in found], np.float64),
        np.stack([_pixels(base64.b64decode(one["reconstruction"])) for one in found]),
        model,
        version,
    )


def _pixels(file: bytes) -> NDArray[np.uint8]:
    with Image.open(io.BytesIO(file), formats=["PNG"]) as image:
        return np.atleast_3d(np.asarray(image))
