"""Fine-tuning: a run that begins with the weights of another."""

import re
from pathlib import Path

import torch
from torch import Tensor

from training.errors import UserError
from training.gan.state import Origin, State
from training.processes import from_first
from training.run.checkpoint import part, read
from training.settings import ImageSpec, Settings

# What decides which weights there are, beside the images.
SHAPES = (
    *("network", "conditional", "z_dim", "label_dim", "width", "attention", "batch_norm_d"),
    *("auxiliary", "codes", "categories"),
)
# A row for each class; a spectral norm has one such vector, and one that is not.
OF_CLASSES = re.compile(r"(^|\.)(embed|head)\.(?!.*_v$)")


def take_over(state: State, settings: Settings, spec: ImageSpec) -> None:
    """Both networks and the average as the source left them; optimisers and schedules begin anew.

    What is kept per class goes by the class's name; a class that the source did not know begins as the mean of its classes.
    Raises UserError where the networks are others.
    """
    header, tensors = from_first(lambda: read(Path(settings.source)))
    was = header.spec
    if (was.channels, was.height, was.width) != (spec.channels, spec.height, spec.width):
        raise UserError(
            f"--from {settings.source} makes images of {was.width}x{was.height} pixels in {was.channels} channels, "
            f"{spec.dataset} has {spec.width}x{spec.height} in {spec.channels}: `prepare --size` changes pixels, not channels"
        )
    rows = [was.class_names.index(name) if name in was.class_names else None for name in spec.class_names]
    # A discriminative classifier has a row for each class of real images, and one for each of generated ones.
    counts = (was.classes, 2 * was.classes) if settings.auxiliary == "discriminative" else (was.classes,)
    for name, network in (("G", state.G), ("D", state.D), ("average", state.average)):
        weights = {
            key: by_name(tensor, was.classes, rows)
            if OF_CLASSES.search(key) and len(tensor) in counts
            else tensor
            for key, tensor in part(tensors, name).items()
        }
        if shapes(weights) != shapes(network.state_dict()):
            pairs = ((one, getattr(header.settings, one), getattr(settings, one)) for one in SHAPES)
            other = ", ".join(f"{one} ({old}, now {new})" for one, old, new in pairs if old != new)
            raise UserError(f"--from {settings.source} has other networks: {other or 'of another version'}")
        network.load_state_dict(weights)
    kept = tuple(name for name in spec.class_names if name in was.class_names)
    new = tuple(name for name in spec.class_names if name not in was.class_names)
    state.origin = Origin(settings.source, was.dataset, header.images_seen, kept, new)


def said(origin: Origin, settings: Settings) -> str:
    """One line."""
    line = f"It begins with the weights of {origin.run} ({origin.dataset}, {origin.images_seen:,} images)"
    line += f"; classes known there: {', '.join(origin.kept)}" if origin.kept and settings.conditional else ""
    line += f"; at the mean of its classes begin: {', '.join(origin.new)}" if origin.new else ""
    counts = (("D", settings.freeze_d), ("G", settings.freeze_g))
    frozen = [f"{count} of {name}" for name, count in counts if count]
    return line + (f"; frozen layers at the image: {', '.join(frozen)}." if frozen else ".")


def by_name(tensor: Tensor, classes: int, rows: list[int | None]) -> Tensor:
    """tensor: [classes, ...], the source's, or [2 classes, ...]. rows: of each class now, or None. Returns as many for those now."""
    halves = tensor.split(classes)
    return torch.cat(
        [torch.stack([half.mean(dim=0) if row is None else half[row] for row in rows]) for half in halves]
    )


def shapes(weights: dict[str, Tensor]) -> dict[str, torch.Size]:
    return {name: tensor.shape for name, tensor in weights.items()}
