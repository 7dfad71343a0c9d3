"""The images to be judged: of a checkpoint, or of an exported file as an engine serves it."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import torch
from numpy.typing import NDArray

from ganserve.client import Client
from ganserve.errors import GanserveError
from service.errors import ContractError, EngineUnavailable
from service.generator.contract import ImageShape, parse, version
from service.generator.engine import Forward
from service.generator.engines.choose import choose
from service.generator.file.inputs import Input, space_of
from service.generator.file.rewired import rewired
from service.generator.latents import Part, Space
from service.generator.loading import FILE as MODEL_FILE
from service.settings import Settings as ServiceSettings
from training.data.dataset import Indices, Pixels, to_uint8
from training.errors import UserError, refused
from training.evaluation.quality.judging import Advance
from training.gan.draws import drawn
from training.run.checkpoint import TrainedGenerator, load_generator


@dataclass(frozen=True)
class Source:
    """A generator, wherever it runs.

    drawn: z of seeds, float32 [N, z_dim].
    classes: the class names; None if it is unconditional.
    origin: what it is and what runs it, in JSON types.
    """

    forward: Forward
    z_dim: int
    classes: tuple[str, ...] | None
    image: ImageShape
    origin: dict[str, Any]
    batch: int
    drawn: Callable[[Sequence[int]], NDArray[np.float32]]

    @property
    def has_classes(self) -> bool:
        """Whether there is anything to tell apart."""
        return len(self.classes or ()) > 1


def open_run(path: Path) -> Source:
    """The averaged generator of a run folder or a checkpoint file, in torch. Raises UserError."""
    trained = load_generator(path)
    spec = trained.spec
    image = ImageShape(spec.channels, spec.height, spec.width)
    origin = {"engine": "torch", "precision": "fp32", "images_seen": trained.images_seen}
    forward, z_dim = torch_forward(trained), trained.settings.z_dim
    return Source(forward, z_dim, trained.class_names, image, origin, 100, partial(drawn, trained.settings))


def open_model(path: Path, engine: str = "auto", precision: str = "auto", threads: int = 0) -> Source:
    """An exported model's folder or .onnx file, on the engine that would serve it. Raises UserError."""
    settings = ServiceSettings(engine=engine, precision=precision, threads=threads)
    path = path / MODEL_FILE if path.is_dir() else path
    with refused(f"{path}", OSError, ContractError, EngineUnavailable):
        file = path.read_bytes()
        contract = parse(file)
        runner = choose(rewired(file, contract), contract, settings, path=path).engine
    classes = None if contract.classes is None else tuple(contract.classes)
    origin = {"engine": runner.name, "precision": runner.precision, "provider": runner.provider}
    origin["version"] = version(file)

    def forward(z: NDArray[np.float32], label: Indices | None) -> Pixels:
        return runner.wide(contract.with_scalars(z, None), label)

    return Source(forward, contract.z_dim, classes, contract.image, origin, runner.max_batch, contract.drawn)


def open_url(url: str, name: str | None) -> Source:
    """A model of a running service, asked by its public API: what its clients get. Raises UserError."""
    with _service(url) as client:
        cards = client.models() if name is None else [client.model(name)]
    card = next((card for card in cards if name is not None or card.get("default")), {})
    if card.get("state") != "ready":
        raise UserError(f"{url}: its model {name or 'of requests that name none'} is not ready")
    address = f"{card['id']}@{card['version']}"

    def forward(z: NDArray[np.float32], label: Indices | None) -> Pixels:
        with _service(url) as client:
            drawn = client.sample(None if label is None else label.tolist(), z=z, model=address)
        return np.ascontiguousarray(drawn.images.transpose(0, 3, 1, 2))

    classes = None if card["classes"] is None else tuple(card["classes"])
    engine = card["engine"]
    origin = {"engine": engine["name"], "precision": engine["precision"], "url": url, "model": address}
    # The client cuts a batch into requests, some of them at a time.
    declares = msgspec.convert(card["inputs"], list[Input])
    space = space_of(declares) or Space((Part(card["z_dim"], "normal", True),), 0)
    return Source(forward, card["z_dim"], classes, ImageShape(**card["image"]), origin, 2000, space.draw)


@contextmanager
def _service(url: str) -> Iterator[Client]:
    with refused(url, GanserveError), Client(url) as client:
        yield client


def torch_forward(trained: TrainedGenerator) -> Forward:
    """The averaged network as an engine would be called: uint8 out, rounded as the exported graph does it.

    What rows have behind z, classes mixed by no weights, is not read.
    """

    @torch.inference_mode()
    def forward(z: NDArray[np.float32], label: Indices | None) -> Pixels:
        # Without classes, the networks were trained with one.
        label = np.zeros(len(z), np.int64) if label is None else label
        z = z[:, : trained.settings.z_dim]
        return to_uint8(trained.generator(torch.from_numpy(z), torch.from_numpy(label)))

    return forward


def images_of(source: Source, count: int, advance: Advance) -> tuple[Pixels, Indices]:
    """Image i is that of seed i and, in a conditional generator, class i mod K: the same whenever asked.

    Returns uint8 [count, C, H, W], and the labels, int64 [count]; all 0 if unconditional.
    """
    labels = np.arange(count) % len(source.classes or "0")
    parts = []
    for start in range(0, count, source.batch):
        stop = min(start + source.batch, count)
        label = labels[start:stop] if source.classes else None
        parts.append(source.forward(source.drawn(range(start, stop)), label))
        advance(stop - start)
    return np.concatenate(parts), labels
