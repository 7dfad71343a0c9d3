"""Pictures straight from a model's file: the engine, the checks and the bits of the service, without HTTP."""

import os
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ganserve.generating.in_order import in_order
from ganserve.generating.plan import Block, Origin, Plan, Refused
from ganserve.generating.writing.formats import Drawn
from ganserve.programs import APP
from service.environment import from_environment
from service.errors import GanserveError
from service.generator import images
from service.generator.document import TRANSLATES
from service.generator.engine import Forward
from service.generator.latents import rows_of
from service.generator.loading import FILE, load, read
from service.generator.origin import provenance
from service.settings import Settings

_AHEAD_PER_THREAD = 2


@dataclass(frozen=True)
class Pictures:
    """uint8 [N, C, H, W]."""

    block: Block
    images: NDArray[np.uint8]
    maker: provenance.Maker | None
    """None: no metadata."""
    truncation: float
    classes: Sequence[str]

    def pixels(self) -> NDArray[np.uint8]:
        return self.images.transpose(0, 2, 3, 1)

    def pngs(self) -> list[bytes]:
        pngs = [images.png(image) for image in self.images]
        if self.maker is None:
            return pngs
        if self.block.texts is None:
            told = provenance.packets(self.maker, self.block.seeds, self.block.labels, self.truncation)
        else:
            told = map(partial(provenance.packet, self.maker), self._requests(self.block.texts))
        return [provenance.embed(png, xmp) for png, xmp in zip(pngs, told, strict=True)]

    def _requests(self, texts: Sequence[str]) -> Iterator[provenance.Told]:
        """What draws each again, as the service writes it."""
        for i, (seed, text) in enumerate(zip(self.block.seeds, texts, strict=True)):
            label = None if self.block.labels is None else self.block.labels[i]
            if not text:
                yield provenance.Told((seed,), None if label is None else (label,), self.truncation)
                continue
            request: dict[str, Any] = {"seed": seed}
            request |= {} if self.truncation == 1 else {"truncation": self.truncation}
            request |= {} if label is None else {"label": self.classes[label]}
            yield provenance.Told(route="/v1/samples", request=request | {"text": text})


class LocalModel:
    """A model in this process, as the service loads it: GANSERVE_ENGINE and the other variables hold here too."""

    def __init__(self, address: str, settings: Settings | None = None) -> None:
        """address: a file, a folder, or a name with or without @version, under GANSERVE_MODELS or shipped.

        settings: those of the environment, if none are given. Raises Refused.
        """
        try:
            self.settings = settings or from_environment()
            path, name, version = find(address, self.settings.models)
            file = read(path, name, version)
            loaded = load(file, self.settings)
        except (GanserveError, OSError) as error:
            raise Refused(f"{address}: {error}") from None
        contract, engine = loaded.contract, loaded.engine
        if contract.source is not None:
            raise Refused(f"{address}: {TRANSLATES}")
        image = contract.image
        self.origin = Origin(
            file.name,
            file.version,
            engine.name,
            engine.precision,
            contract.classes or (),
            contract.slugs if contract.classes else (),
            (image.channels, image.height, image.width),
        )
        self.most_batch = loaded.max_batch
        self.has_truncation = loaded.findings.truncation
        self.engine = engine
        self.contract = contract
        self.files = [path, *(path.with_name(weights.file) for weights in contract.weights)]
        self._maker = provenance.Maker(file.name, file.version, engine.name, engine.precision)

    def label_of(self, name: str) -> int | None:
        """The class of a name, in any case, a slug or an index; None if there is none."""
        label = self.contract.label_of(name)
        if label is None and name.isascii() and name.isdigit() and int(name) < self.contract.class_count:
            return int(name)
        return label

    def require_texts(self, texts: Sequence[str]) -> None:
        """Raises Refused where the model reads none, or not these."""
        try:
            self.contract.seeded(range(len(texts)), 1.0, None, texts=texts)
        except GanserveError as error:
            raise Refused(f"{error}") from None

    def encoded(
        self, plan: Plan, blocks: Iterable[Block], metadata: bool, encode: Callable[[Drawn], Any]
    ) -> Generator[tuple[Block, Any], None, None]:
        """Each block with what `encode` makes of its pictures, in order; both on every core."""
        free: SimpleQueue[Forward] = SimpleQueue()
        for lane in self.engine.lanes:
            free.put(lane)
        # An accelerator must not wait for what is encoded; on CPU a lane is a core.
        threads = len(self.engine.lanes) + (os.cpu_count() or 1) * bool(self.engine.buckets)

        def work(block: Block) -> Any:
            forward = free.get()
            try:
                drawn = self.draw(forward, block, plan.truncation, metadata)
            finally:
                free.put(forward)
            return encode(drawn)

        with closing(in_order(work, blocks, threads, threads * (1 + _AHEAD_PER_THREAD))) as done:
            yield from done

    def draw(self, forward: Forward, block: Block, truncation: float, metadata: bool) -> Pictures:
        """In passes on that lane."""
        drawn = np.empty((len(block.seeds), *self.origin.image), np.uint8)
        for begin in range(0, len(drawn), self.most_batch):
            part = slice(begin, begin + self.most_batch)
            texts = None if block.texts is None else block.texts[part]
            z = rows_of([self.contract.seeded(block.seeds[part], truncation, None, texts=texts)])
            label = None if block.labels is None else np.array(block.labels[part], np.int64)
            drawn[part] = forward(z, label)
        return Pictures(block, drawn, self._maker if metadata else None, truncation, self.origin.classes)


def find(address: str, models: Path) -> tuple[Path, str, str]:
    """A model's file, its name where that is not its folder's, and the version that it must be, if one is asked for."""
    path = Path(address)
    if path.is_file():
        return path, "" if path.name == FILE else path.stem.lower(), ""
    if path.is_dir():
        return path / FILE, path.resolve().name, ""
    name, _, version = address.partition("@")
    for folder in (models, APP / "models"):
        if name and "/" not in name and (found := folder / name / FILE).is_file():
            return found, name, version
    raise Refused(
        f"There is no model '{address}': name a folder with {FILE}, or one of {models} or of the package."
    )
