"""As many images as a client likes, a few at a time: drawn while nobody else waits, and not before the last were taken."""

import asyncio
import logging
import tarfile
import time
from collections import deque
from collections.abc import AsyncGenerator, Callable, Sequence
from functools import partial
from typing import Annotated, Any, Literal

import msgspec
import numpy as np
from msgspec import Meta, Struct
from numpy.typing import NDArray

from service import metrics
from service.drawing.draw import Draw, unsigned
from service.drawing.fields import TEXT, Label, ModelName, Prompt, Seed, Truncation
from service.drawing.mixing import label_index
from service.drawing.sampler import seeds_from
from service.errors import GanserveError, InvalidField, QueueFull, QuotaExceeded, ServiceError
from service.generator.latents import MAX_SEED, Seeded
from service.keys import Charge
from service.registry.model import Model

log = logging.getLogger("bentoml.ganserve.datasets")

_RETRY_SECONDS = 1.0

DatasetFormat = Literal["ndjson", "tar"]
MEDIA_TYPES = {"ndjson": "application/x-ndjson", "tar": "application/x-tar"}


class DatasetRequest(Struct, forbid_unknown_fields=True):
    """What a client may ask for."""

    n: Annotated[
        int, Meta(ge=1, le=MAX_SEED, description="How many images; at most {settings.max_dataset_images}.")
    ]
    seed: Annotated[Seed, Meta(description="Of the first image; image i is that of seed + i.")] = 0
    model: ModelName = None
    label: Annotated[
        Label | Annotated[list[Label], Meta(min_length=1, max_length=1000)] | None,
        Meta(
            description="Class name in any case, its slug, or its index; of a list, image i has entry (seed + i) mod its length. Absent: class (seed + i) mod K."
        ),
    ] = None
    text: Annotated[
        Prompt | Annotated[list[Prompt], Meta(min_length=1, max_length=256)] | None,
        Meta(description=f"{TEXT} Of a list, image i has entry (seed + i) mod its length."),
    ] = None
    truncation: Truncation = 1.0
    format: Annotated[
        DatasetFormat,
        Meta(
            description="`ndjson`: an object per image, `seed`, `label`, `class`, `image`, a PNG in base64, and `text`, if some were asked for; the last line has `end` and `next_seed`. `tar`: per image `SEED.png`, `SEED.cls` and `SEED.txt`, as WebDataset reads them; one that ends early is whole, and has fewer."
        ),
    ] = "ndjson"


class Row(Struct, omit_defaults=True):
    """One image of a stream."""

    seed: int
    label: int | None
    class_name: str | None = msgspec.field(name="class")
    image: bytes = b""
    text: str | None = None


class End(Struct):
    """The last line: `done`, or why there are no more, and the seed to go on with."""

    end: str
    next_seed: int
    detail: str = ""


class Dataset:
    """A request that was understood: what is to be drawn, with nothing left to decide."""

    def __init__(self, asked: DatasetRequest, model: Model, most_images: int) -> None:
        """Raises InvalidField, naming the field and what is allowed."""
        contract = model.contract
        contract.require_seeds()
        model.require_truncation(asked.truncation)
        if asked.n > most_images:
            raise InvalidField("n", f"n is {asked.n}; this server gives at most {most_images} in one stream.")
        self.seeds = seeds_from(asked.seed, asked.n)
        self.model = model
        self.asked = asked
        given = [] if asked.label is None else asked.label if isinstance(asked.label, list) else [asked.label]
        self.labels = [label_index(label, contract) for label in given] or list(range(contract.class_count))
        self.texts = [asked.text] if isinstance(asked.text, str) else asked.text
        self._seeded(range(1 if self.texts is None else len(self.texts)))

    def labels_of(self, seeds: range) -> list[int] | None:
        count = len(self.labels)
        return [self.labels[seed % count] for seed in seeds] if count else None

    def texts_of(self, seeds: range) -> list[str] | None:
        return None if self.texts is None else [self.texts[seed % len(self.texts)] for seed in seeds]

    def _seeded(self, seeds: range) -> Seeded:
        """Raises InvalidField where the model does not read the texts."""
        contract, truncation = self.model.contract, self.asked.truncation
        return contract.seeded(seeds, truncation, None, texts=self.texts_of(seeds))

    async def parts(
        self, charge: Charge | None, is_draining: Callable[[], bool], seconds: float
    ) -> AsyncGenerator[bytes, None]:
        """The body. What is computed and not taken is a pass per lane at most.

        seconds: that a pass may take, waiting included.
        """
        model, begun, end = self.model, self.seeds.start, None
        under_way: deque[tuple[range, asyncio.Task[bytes]]] = deque()
        lanes = len(model.engine.lanes)
        given = self.seeds.start
        try:
            while given < self.seeds.stop:
                while end is None and begun < self.seeds.stop and len(under_way) < lanes:
                    if is_draining():
                        end = End("draining", begun)
                        break
                    try:
                        model.require_ready()
                        turn = min(await model.batcher.background_turn(model.line), self.seeds.stop - begun)
                    except GanserveError as error:
                        end = _end_of(error, begun)
                        break
                    try:
                        if charge is not None:
                            charge.take_more(turn, time.monotonic())
                    except QuotaExceeded:
                        model.batcher.background.release(time.monotonic())
                        await asyncio.sleep(_RETRY_SECONDS)
                        continue
                    seeds = range(begun, begun + turn)
                    under_way.append((seeds, self._start(seeds, seconds)))
                    begun += turn
                if not under_way:
                    break
                seeds, task = under_way.popleft()
                try:
                    part = await task
                except QueueFull:
                    await asyncio.sleep(_RETRY_SECONDS)
                    model.batcher.background.reserve()
                    under_way.appendleft((seeds, self._start(seeds, seconds)))
                    continue
                except GanserveError as error:
                    end = _end_of(error, given)
                    break
                given = seeds.stop
                yield part
        except Exception as error:  # the head was sent: this is the one way left to say so
            log.exception("a stream of %s broke off", model.name)
            end = _end_of(error, given)
        finally:
            for _, task in under_way:
                task.cancel()
        yield self._last(end or End("done", self.seeds.stop))

    def _start(self, seeds: range, seconds: float) -> asyncio.Task[bytes]:
        """A pass that was reserved."""
        model, labels, begun = self.model, self.labels_of(seeds), time.monotonic()
        z = self._seeded(seeds)
        finish = partial(self._encode, seeds, labels)
        batcher = model.batcher

        async def work() -> bytes:
            model.require_ready()  # it may have been taken away since its turn was waited for
            return await batcher.submit(model.line, z, labels, begun + seconds, finish, background=True)

        task = asyncio.create_task(work())
        task.add_done_callback(lambda _: batcher.background.release(begun))
        return task

    def _encode(self, seeds: range, labels: Sequence[int] | None, pixels: NDArray[np.uint8]) -> bytes:
        begun = time.monotonic()
        texts = self.texts_of(seeds)
        draw = Draw(
            self.model, seeds, None if labels is None else list(labels), self._seeded(seeds), texts=texts
        )
        of_one = _member if self.asked.format == "tar" else self._line
        parts = []
        for i, seed in enumerate(seeds):
            label = None if labels is None else labels[i]
            text = None if texts is None else texts[i]
            parts.append(of_one(seed, label, text, unsigned(draw.alone(i), "png", pixels[i])))
        encoded = b"".join(parts)
        metrics.child(metrics.encode_seconds, self.asked.format).observe(time.monotonic() - begun)
        return encoded

    def _line(self, seed: int, label: int | None, text: str | None, png: bytes) -> bytes:
        classes = self.model.contract.classes
        name = None if label is None or classes is None else classes[label]
        return msgspec.json.encode(Row(seed, label, name, png, text)) + b"\n"

    def _last(self, end: End) -> bytes:
        if self.asked.format == "tar":
            return bytes(2 * tarfile.BLOCKSIZE)
        return msgspec.json.encode(end) + b"\n"


def _end_of(error: Exception, seed: int) -> End:
    text = f"{error}" if isinstance(error, GanserveError) else ServiceError.title
    return End(getattr(error, "code", ServiceError.code), seed, text)


def _member(seed: int, label: int | None, text: str | None, png: bytes) -> bytes:
    files = [("png", png)]
    files += [] if label is None else [("cls", b"%d" % label)]
    files += [] if text is None else [("txt", text.encode())]
    parts: list[Any] = []
    for suffix, content in files:
        member = tarfile.TarInfo(f"{seed:016}.{suffix}")
        member.size = len(content)
        parts += (member.tobuf(tarfile.USTAR_FORMAT), content, bytes(-len(content) % tarfile.BLOCKSIZE))
    return b"".join(parts)
