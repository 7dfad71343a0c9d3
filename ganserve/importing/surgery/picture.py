"""From what a foreign graph gives to uint8 images: in NumPy, and the same as nodes; and finding out what it gives."""

import math
from dataclasses import dataclass
from itertools import accumulate
from operator import mul

import numpy as np
import onnx
from numpy.typing import NDArray

from ganserve.importing.surgery.levels import ends, find_range
from ganserve.importing.surgery.nodes import Nodes, Signature
from ganserve.importing.surgery.wishes import Fault, Wishes

LAYOUTS = ("nchw", "nhwc")
MOST_PIXELS = 4096
"""A side has; the service takes no more."""
MOST_NUMBERS = 4 * MOST_PIXELS**2
_FEWEST_NUMBERS = 16

NOT_FINITE = Fault(
    "The graph gives NaN or infinity.",
    "Look at --constant and --law; else its weights are damaged, or trained to nothing.",
)


@dataclass(frozen=True)
class Picture:
    """What the graph's output is. shape: of one image there, in its own layout; channels: 1, 3, or 4 with alpha last."""

    output: Signature
    shape: tuple[int, ...]
    layout: str
    channels: int
    height: int
    width: int
    range: str

    @property
    def _axes(self) -> tuple[int, ...]:
        if self.layout == "nchw":
            return self.channels, self.height, self.width
        return self.height, self.width, self.channels

    def levels(self, raw: NDArray) -> NDArray[np.uint8]:
        """raw: [N, *shape]. Returns uint8 [N, C, H, W]."""
        x = raw.reshape(len(raw), *self._axes)
        x = x if self.layout == "nchw" else x.transpose(0, 3, 1, 2)
        low, high = ends(self.range)
        if x.dtype == np.uint8 and (low, high) == (0, 255):
            return np.ascontiguousarray(x)
        x = (x.astype(np.float32) - np.float32(low)) * np.float32(255 / (high - low))
        return np.rint(x).clip(0, 255).astype(np.uint8)

    def add_to(self, nodes: Nodes, raw: str) -> None:
        """The same as nodes, from the tensor `raw` to `image`."""
        x = nodes.add("Reshape", raw, nodes.integers(-1, *self._axes))
        if self.layout == "nhwc":
            x = nodes.add("Transpose", x, perm=[0, 3, 1, 2])
        low, high = ends(self.range)
        if self.output.dtype == np.uint8 and (low, high) == (0, 255):
            nodes.add("Identity", x, out="image")
            return
        x = nodes.cast(x, np.dtype(np.float32), self.output.dtype)
        if low:
            x = nodes.add("Sub", x, nodes.constant(low))
        if high - low != 255:
            x = nodes.add("Mul", x, nodes.constant(255 / (high - low)))
        zero, most = nodes.constant(0), nodes.constant(255)
        x = nodes.add("Clip", nodes.add("Round", x), zero, most)
        nodes.add("Cast", x, out="image", to=onnx.TensorProto.UINT8)


def find_picture(
    graph: onnx.GraphProto, output: Signature, shape: tuple[int, ...], raw: NDArray | None, wishes: Wishes
) -> Picture | list[Fault]:
    """shape: of one image's output. raw: some images as the graph gives them, if it ran."""
    faults: list[Fault] = []
    axes = _axes(shape, wishes)
    if isinstance(axes, Fault):
        faults.append(axes)
    range_ = find_range(graph, output, raw, wishes)
    if isinstance(range_, Fault):
        faults.append(range_)
    if raw is not None and not np.isfinite(raw.astype(np.float64)).all():
        faults.append(NOT_FINITE)
    if isinstance(axes, Fault) or isinstance(range_, Fault) or faults:
        return faults
    layout, (channels, height, width) = axes
    return Picture(output, shape, layout, channels, height, width, range_)


def _axes(shape: tuple[int, ...], wishes: Wishes) -> tuple[str, tuple[int, int, int]] | Fault:
    """Layout, and channels, height and width."""
    shown = "x".join(map(str, shape))
    size = math.prod(shape)
    if wishes.image is not None:
        channels, height, width = wishes.image
        if channels not in (1, 3, 4):
            return Fault(
                f"--image {channels}x{height}x{width}: an image has 1, 3 or 4 channels.", "--image 3x64x64"
            )
        if channels * height * width != size or min(wishes.image) < 1:
            return Fault(
                f"--image {channels}x{height}x{width} has {channels * height * width} numbers, and the graph gives {size}.",
                "--image CHANNELSxHEIGHTxWIDTH",
            )
        # Where axes were joined, as in flat outputs, all that are left end where one of the image does.
        orders = {"nchw": (channels, height, width), "nhwc": (height, width, channels)}
        fits = [
            one for one, axes in orders.items() if {*accumulate(shape, mul)} <= {1, *accumulate(axes, mul)}
        ]
        fits = [one for one in fits if wishes.layout in (None, one)]
        if not fits:
            return Fault(
                f"An image comes as {shown} numbers, of which --image {channels}x{height}x{width} would make another picture.",
                "--image as the axes are, or none; --output NAME, if another output holds the images",
            )
        layout = fits[0] if len(fits) == 1 or channels == 1 or len(shape) < 3 else _layout(shape)
        if layout is None:
            return _which_layout(shown)
        if max(height, width) > MOST_PIXELS:
            return _too_large(width, height)
        return layout, wishes.image
    if len(shape) == 1 and size < _FEWEST_NUMBERS:
        return Fault(
            f"An image comes as {size} number{'s' if size > 1 else ''}, which is none: of a discriminator or a classifier?",
            "--output NAME, where another output holds the images; else give the generator's own file",
        )
    if len(shape) == 1:
        side = math.isqrt(size)
        if side * side == size:
            return "nchw", (1, side, side)
        third = math.isqrt(size // 3)
        return Fault(
            f"An image comes as {size} numbers: of what height and width, and are its colours planes or pixels?",
            f"--image 3x{third or 64}x{third or 64} --layout nchw",
        )
    if len(shape) == 2:
        return "nchw", (1, *shape)
    if len(shape) != 3:
        sides = [axis for axis in shape if axis > 1]
        example = "x".join(map(str, sides)) if len(sides) == 3 and sides[0] in (3, 4) else "3x64x64"
        return Fault(
            f"An image comes as {shown} numbers, which is none.",
            f"--image {example}, if these are its channels, height and width; --output NAME, if another output holds the images",
        )
    layout = wishes.layout or _layout(shape)
    if layout is None:
        return _which_layout(shown)
    channels, height, width = shape if layout == "nchw" else (shape[2], shape[0], shape[1])
    if channels not in (1, 3, 4):
        return Fault(
            f"An image comes as {shown} numbers; of these axes none, or not that of --layout, is 1 (grey), 3 (RGB) or 4 (RGBA).",
            "--output, if another holds the images; else export again with 1 or 3 channels",
        )
    if max(height, width) > MOST_PIXELS:
        return _too_large(width, height)
    return layout, (channels, height, width)


def _layout(shape: tuple[int, ...]) -> str | None:
    """None: either."""
    first, last = shape[0] in (1, 3, 4), shape[-1] in (1, 3, 4)
    return None if first and last else "nhwc" if last else "nchw"


def _too_large(width: int, height: int) -> Fault:
    return Fault(
        f"Images of {width}x{height}: the service has up to {MOST_PIXELS}.", "Export a smaller size."
    )


def _which_layout(shown: str) -> Fault:
    return Fault(
        f"An image comes as {shown} numbers: which axis holds the colours?", "--layout nchw (or nhwc)"
    )
