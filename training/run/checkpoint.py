"""A run's whole state in one safetensors file, written atomically; and what others read from it."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import msgspec
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from training.errors import UserError, refused
from training.files import write_atomically
from training.gan.ema import settle_batch_norm
from training.gan.networks import build_generator
from training.gan.networks.auxiliary import Bidirectional
from training.gan.networks.encoder import Encoder
from training.gan.state import Origin, State
from training.processes import from_first, rank
from training.settings import ImageSpec, Settings

FILE_NAME = "checkpoint.safetensors"


@dataclass(frozen=True)
class Header:
    """What a checkpoint says in words, beside its tensors; another command's runs have a header with a name of their own."""

    file_name: ClassVar[str] = FILE_NAME
    format: ClassVar[int | str] = 1
    command: ClassVar[str] = "train"

    settings: Settings
    spec: ImageSpec
    images_seen: int = 0
    data_fingerprint: int | None = None
    """Of the images trained on; see Dataset.fingerprint."""
    origin: Origin | None = None

    @property
    def choices(self) -> dict[str, Any]:
        """What makes it this run and no other, beside its images; a longer or shorter one goes on from the same state."""
        return {name: value for name, value in asdict(self.settings).items() if name != "images"}


AnyHeader = TypeVar("AnyHeader", bound=Header)


@dataclass(frozen=True)
class TrainedGenerator:
    """A generator to evaluate, export or sample from, and all that is known of it.

    generator: the averaged weights in eval mode, on the CPU, float32, needing no gradient:
        (z float32 [N, z_dim], label int64 [N]) -> float32 [N, C, H, W] in [-1, 1].
    images_seen: real images that the discriminator had seen.
    """

    generator: nn.Module
    settings: Settings
    spec: ImageSpec
    images_seen: int
    encoder: Encoder | None = None
    """That was trained with it (BiGAN), in eval mode, too."""
    origin: Origin | None = None
    """Of a run that began with another's weights."""

    @property
    def class_names(self) -> tuple[str, ...] | None:
        """Those that it can be asked for; None if it is unconditional."""
        return self.spec.class_names if self.settings.conditional else None


def load_generator(path: Path) -> TrainedGenerator:
    """The averaged generator of a run, ready for use. path: a run folder, or a checkpoint file.

    Batch norm's statistics are measured here, a second or two; loading twice gives the same network.
    Raises UserError when there is no checkpoint, or it is damaged or of another version.
    """
    header, tensors = read(path)
    generator = build_generator(header.settings, header.spec)
    generator.load_state_dict(part(tensors, "average"))
    generator.requires_grad_(False)
    encoder = None
    if isinstance(generator, Bidirectional):
        generator, encoder = generator.G, generator.encoder.eval()
    settle_batch_norm(generator, header.settings, header.spec)
    seen = header.images_seen
    return TrainedGenerator(generator, header.settings, header.spec, seen, encoder, header.origin)


def save_state(run: Path, header: Header, state: State, file_name: str = "") -> None:
    """Replace the run's checkpoint; killed at any moment, it leaves the old one or the new one.

    Of several processes, whose states are the same, the first one does so.
    """
    if rank() > 0:
        return
    tensors: dict[str, Tensor] = {}
    for name, module in (("G", state.G), ("D", state.D), ("average", state.average)):
        tensors |= {
            f"{name}.{key}": value.detach().contiguous() for key, value in module.state_dict().items()
        }
    for name, optimiser in (("optimiser_g", state.optimiser_g), ("optimiser_d", state.optimiser_d)):
        for index, values in optimiser.state_dict()["state"].items():
            tensors |= {f"{name}.{index}.{key}": value.contiguous() for key, value in values.items()}
    tensors["balance"] = state.balance
    tensors["low_look"] = torch.tensor(state.low_look)
    tensors["rollbacks"] = torch.tensor(state.rollbacks)
    words = json.dumps({"torch": torch.__version__, "format": header.format, **asdict(header)})
    write_atomically(run / (file_name or header.file_name), save(tensors, metadata={"ganserve": words}))


def go_on(folder: Path, header: Header, state: State) -> bool:
    """Puts the folder's checkpoint into the new state of a run, where it has one, and says so.

    Raises UserError: it is of a run with other settings, or on other images.
    """
    there = (folder / header.file_name).exists
    if not (found := from_first(lambda: read(folder, type(header)) if there() else None)):
        return False
    before, tensors = found
    was, now = before.choices, header.choices
    if differing := [f"{name} ({was[name]}, now {now[name]})" for name in now if was[name] != now[name]]:
        raise UserError(
            f"{folder} holds a run with other settings: {', '.join(differing)}. Give another --run."
        )
    if before.spec != header.spec or before.data_fingerprint not in (None, header.data_fingerprint):
        raise UserError(
            f"{folder} holds a run on other images ({before.spec.dataset}): give the same --data, or another --run."
        )
    restore(tensors, state)
    state.images_seen, state.origin = before.images_seen, before.origin
    return True


def restore(tensors: dict[str, Tensor], state: State) -> None:
    """Put a checkpoint's tensors into a new state of the same settings."""
    for name, module in (("G", state.G), ("D", state.D), ("average", state.average)):
        module.load_state_dict(part(tensors, name))
    if "balance" in tensors:  # not in checkpoints from before BEGAN
        state.balance = tensors["balance"].to(state.balance.device)
    if "rollbacks" in tensors:  # not in checkpoints from before there were any
        state.low_look, state.rollbacks = bool(tensors["low_look"]), int(tensors["rollbacks"])
    for name, optimiser in (("optimiser_g", state.optimiser_g), ("optimiser_d", state.optimiser_d)):
        document = optimiser.state_dict()
        parameters = optimiser.param_groups[0]["params"]
        values: dict[int, dict[str, Tensor]] = {}
        for key, tensor in part(tensors, name).items():
            index, _, field = key.partition(".")
            # In the parameter's own memory order, which the file does not keep: the fused Adam
            # walks both by stride, and another order would end in other low bits.
            like = parameters[int(index)]
            if field != "step":
                tensor = torch.empty_like(like, requires_grad=False).copy_(tensor)
            values.setdefault(int(index), {})[field] = tensor
        optimiser.load_state_dict(document | {"state": values})


def read(path: Path, kind: type[AnyHeader] = Header) -> tuple[AnyHeader, dict[str, Tensor]]:
    """A checkpoint's header and tensors, on the CPU. path: a run folder, or a checkpoint file.

    Raises UserError when there is none, or it is damaged, of another kind or of another version.
    """
    file = path / kind.file_name if path.is_dir() else path
    if not file.is_file():
        raise UserError(
            f"no checkpoint at {file}: give a run folder in which `{kind.command}` has written {kind.file_name}"
        )
    unread = refused(f"{file} cannot be read as a checkpoint", OSError, SafetensorError, ValueError)
    with unread, safe_open(file, framework="pt") as opened:
        words: dict[str, Any] = json.loads((opened.metadata() or {}).get("ganserve", "{}"))
        names = opened.keys()
        tensors = {name: opened.get_tensor(name) for name in names}
    if words.get("format") != kind.format:
        raise UserError(f"{file} is not a checkpoint of this version of ganserve (format {kind.format})")
    with refused(f"{file} is of another version of ganserve", ValueError, msgspec.ValidationError):
        header = msgspec.convert(words, kind)
        if unknown := sorted(set(words["settings"]) - set(asdict(header.settings))):
            raise ValueError(f"settings unknown to this version of ganserve: {', '.join(unknown)}")
    return header, tensors


def part(tensors: dict[str, Tensor], name: str) -> dict[str, Tensor]:
    prefix = f"{name}."
    return {key.removeprefix(prefix): tensor for key, tensor in tensors.items() if key.startswith(prefix)}
