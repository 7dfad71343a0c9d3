"""The quality watch: each model's own images, a few at a time and at low priority, in the eyes of a judge beside its file."""

import asyncio
import logging
import time
from math import nan

import numpy as np
from numpy.typing import NDArray

from service import metrics
from service.batching.request_queue import Timing
from service.errors import GanserveError
from service.generator.quality import statistics
from service.generator.quality.reference import read, watch_of
from service.generator.quality.statistics import Seen
from service.registry.model import Model
from service.registry.models import Models
from service.settings import Settings

log = logging.getLogger("bentoml.ganserve.watch")

_SECONDS = 1.0
"""Until it looks again for models to watch, or after what was refused."""
_PASS_SECONDS = 0.005  # of a pass, while requests come: as rare as these are, few of those wait for one
_EFFORT = 32  # of a byte of pixels, as Request has it: a lane has better to do than this
_FIRST_SEED = 2**48  # none of those that the limits were made of
_PARTS = 8  # of a window; after each its figures are told


class Window:
    """The last images of a version, in its judge's eyes."""

    def __init__(self, model: Model) -> None:
        """Reads the file beside the model. Raises ContractError, OSError, and what ONNX Runtime raises."""
        self.model = model
        self._judge, self.reference = read(watch_of(model.path).read_bytes(), model.contract)
        self._real, self._unit = self.reference.real, self.reference.unit
        self._parts: list[Seen] = []
        self.images = 0
        self._untold = 0
        self.seconds = 0.0
        """That the last look took, figures included."""
        self.next_seed = _FIRST_SEED
        for name, figure in self.reference.figures.items():
            labels = model.name, model.version, name
            metrics.quality_floor.labels(*labels).set(figure.floor)
            metrics.quality_limit.labels(*labels).set(figure.limit)

    def look(self, labels: list[int] | None, images: NDArray[np.uint8]) -> None:
        """images: uint8 [N, C, H, W]. On any thread, one at a time."""
        begun = time.monotonic()
        self._parts.append(self._judge(images, None if labels is None else np.array(labels, np.int64)))
        self.images += len(images)
        self._untold += len(images)
        size = self.reference.images
        while self.images - len(self._parts[0].features) >= size:
            self.images -= len(self._parts.pop(0).features)
        if self.images >= size and self._untold * _PARTS >= size:
            self._untold = 0
            self._tell(statistics.figures(self._real, self._unit, _joined(self._parts, size)))
        self.seconds = time.monotonic() - begun

    def end(self) -> None:
        """The version is not served any more."""
        self._tell(dict.fromkeys(self.reference.figures, nan))

    def _tell(self, figures: dict[str, float]) -> None:
        for name, value in figures.items():
            gauge = metrics.quality_distance if name == statistics.DISTANCE else metrics.quality_ratio
            gauge.labels(self.model.name, self.model.version, name).set(value)


class Watch:
    """Of one worker, as its device may be the one that is broken. On the event loop."""

    def __init__(self, models: Models, share: float, seconds: float) -> None:
        """share: of one lane's time, above 0, that all of it may take. seconds: that a pass may take, waiting included."""
        self._models = models
        self._share = share
        self._pass_seconds = seconds
        self._windows: dict[Model, Window | None] = {}
        """None: there is nothing to watch that version by."""

    async def run(self) -> None:
        """For ever."""
        while True:
            try:
                windows = await self._find()
                for window in windows:
                    await asyncio.sleep(await self._look(window) * (1 / self._share - 1))
                if not windows:
                    await asyncio.sleep(_SECONDS)
            except GanserveError:  # as to anybody's request: too much waits, or it drains
                await asyncio.sleep(_SECONDS)

    async def _find(self) -> list[Window]:
        """Of all versions that serve; whoever is idle is left so."""
        serving = [one for ones in self._models.versions.values() for one in ones if one.state == "ready"]
        for gone in self._windows.keys() - set(serving):
            if window := self._windows.pop(gone):
                window.end()
        for model in serving:
            if model not in self._windows:
                self._windows[model] = await asyncio.to_thread(_window, model)
        return [window for window in self._windows.values() if window]

    async def _look(self, window: Window) -> float:
        """One pass. Returns the seconds that it took of a lane, and of who judged it. Raises GanserveError."""
        model = window.model
        batcher, contract = model.batcher, model.contract
        turn = await batcher.background_turn(model.line)
        begun = time.monotonic()
        try:
            if model.state != "ready":  # it was taken away while its turn was waited for
                return 0.0
            line, timing = model.line, Timing()
            seeds = range(
                window.next_seed,
                window.next_seed + min(line.queue.max_piece, max(turn, line.images_within(_PASS_SECONDS))),
            )
            window.next_seed = seeds.stop
            count = contract.class_count
            labels = [seed % count for seed in seeds] if count else None
            z = contract.seeded(seeds, 1.0, None)

            def finish(images: NDArray[np.uint8]) -> None:
                # One class only is nothing to recognise: its judge was taught to see something else.
                window.look(labels if count > 1 else None, images)

            deadline = begun + self._pass_seconds
            await batcher.submit(line, z, labels, deadline, finish, timing, _EFFORT, background=True)
        except GanserveError:
            raise
        except Exception:
            log.exception("model %s is not watched any more", model.name, extra={"event": "watch_failed"})
            window.end()
            self._windows[model] = None
            return 0.0
        finally:
            batcher.background.release(begun)
        seconds = timing.forward_seconds + window.seconds
        metrics.quality_seconds.labels(model.name).inc(seconds)
        return seconds


async def watch(models: Models, settings: Settings) -> None:
    """For ever, or not at all where no share is set."""
    if settings.watch_share:
        await Watch(models, settings.watch_share, settings.timeout_seconds).run()


def _window(model: Model) -> Window | None:
    """In a thread."""
    if model.contract.source is not None:
        return None  # what it makes hangs on the pictures that it is given
    try:
        window = Window(model)
    except FileNotFoundError:
        return None
    except Exception as error:  # an engine may raise anything on a file that it can't run
        text = "model %s@%s is not watched: %s: %s"
        extra = {"event": "watch_failed", "model": model.name}
        log.error(text, model.name, model.version, watch_of(model.path).name, error, extra=extra)
        return None
    log.info(
        "model %s@%s is watched", model.name, model.version, extra={"event": "watched", "model": model.name}
    )
    return window


def _joined(parts: list[Seen], most: int) -> Seen:
    """The last `most` images of them."""
    labels = [part.labels for part in parts if part.labels is not None]
    return Seen(
        np.concatenate([part.features.astype(np.float32, copy=False) for part in parts])[-most:],
        np.concatenate([part.found for part in parts])[-most:],
        np.concatenate(labels)[-most:] if labels else None,
    )
