"""The models under a folder, by name, and the versions of each."""

import hashlib
import logging
import random
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from service import metrics
from service.batching.batcher import Batcher
from service.errors import InvalidField, NotReady, UnknownModel
from service.generator.file.reading import has_text_name, is_there
from service.generator.loading import FILE
from service.machine.cores import Cores
from service.machine.hardware import available_cpus
from service.registry import desired_state
from service.registry.model import Model
from service.settings import Settings

log = logging.getLogger("bentoml.ganserve.models")


class Canary(NamedTuple):
    """A version that is tried on a share of the requests that name no version; above 0, below 1."""

    model: Model
    share: float


class Models(Mapping[str, Model]):
    """All models under a folder, by name: of each the version that gets the requests that name none.

    A model may have further versions, under `name@version`; rollout.py brings and takes them. What changes here
    changes on the event loop, where requests find their model and are queued without a pause between.
    """

    def __init__(self, settings: Settings) -> None:
        """Raises nothing for a bad model; `problem` says why there is none at all."""
        self.settings = settings
        self.worker = 0
        """Which of the workers this is, from 0."""
        self.started = False
        """Whether all workers have been ready, once; one that is started again later is not waited for."""
        self.problem = ""
        try:
            found = sorted(folders(settings.models))
        except OSError as error:
            found = []
            self.problem = f"GANSERVE_MODELS: {error}"
        if not found and not self.problem:
            self.problem = f"No */{FILE} under {settings.models.resolve()} (GANSERVE_MODELS)."
        if self.problem:
            log.error(self.problem, extra={"event": "no_models"})
        self._models = {folder.name: Model(folder) for folder in found}
        self.versions = {name: [model] for name, model in self._models.items()}
        """Every version by name, loading and failed ones too. To be read; `put` and `drop` change it."""
        self._canaries: dict[str, Canary] = {}
        self.batcher: Batcher | None = None

    def load(self, worker: int = 0) -> None:
        """Load every model, one after another; each serves as soon as it is ready."""
        for model in self._models.values():
            model.load(self.settings, worker)
            self.serve(model)

    def serve(self, model: Model) -> None:
        """Take requests for a model from now on, if it was loaded."""
        if model.state == "failed":
            return
        if self.batcher is None:
            engine = model.engine
            lanes = len(engine.lanes)
            # On CPU a lane is a core, and encodes what it computed; an accelerator must not wait for that.
            encode_threads = available_cpus() if engine.buckets else 0
            self.batcher = Batcher(
                lanes,
                self.settings.max_queue_images,
                encode_threads,
                most_request_images=self.settings.max_images_per_request,
                max_wait_seconds=self.settings.max_wait_seconds,
                cores=Cores(available_cpus(), self.settings.workers, self.worker, desired_state.folder()),
            )
        model.serve(self.batcher)
        unchecked, contract = model.loaded.unchecked, model.contract
        image = contract.image
        # At the start every worker loads all models: one says so.
        level = logging.DEBUG if self.worker and not model.on_demand else logging.INFO
        log.log(
            level,
            "model %s@%s ready in %.2f s: %s, %dx%dx%d, %.1f MB; %s; %s; %s%s",
            model.name,
            model.version,
            model.load_seconds,
            "no classes" if contract.classes is None else f"{contract.class_count} classes",
            *(image.height, image.width, image.channels, model.file_bytes / 1e6),
            "its card names this file" if model.verified else "unverified, no card names its SHA-256",
            model.loaded.engine.reason.rstrip("."),
            model.loaded.findings,
            f"; not checked: {unchecked}" if unchecked else "",
            extra={"event": "model_ready", "model": model.name, "version": model.version},
        )

    @property
    def all_ready(self) -> bool:
        """Whether every model is ready, save those that are loaded on demand; and there is one."""
        return bool(self._models) and all(
            model.state == "ready" or model.on_demand for model in self._models.values()
        )

    def find(self, address: str | None) -> Model:
        """The model `name`, or `name@version`; without an address, the default one.

        Raises UnknownModel, listing what there is; NotReady, saying why there is none at all, or that versions are
        not known yet.
        """
        if address is None:
            return self.default
        name, at, wanted = address.partition("@")
        model = self._models.get(name)
        if model is None:
            raise UnknownModel(
                f"There is no model '{name[:64]}'; there are: {', '.join(self._models) or 'none'}."
            )
        if not at or (wanted and wanted == model.version):
            return model
        for other in self.versions[name]:
            if wanted and wanted == other.version:
                return other
        if model.state == "loading" and not model.version:
            model.require_ready()
        versions = ", ".join(other.version for other in self.versions[name])
        raise UnknownModel(f"Model {name} has version {versions or 'none'}, not '{wanted[:64]}'.")

    def pick(
        self, address: str | None, seed: int | None, fits: Callable[[Model], bool] | None = None
    ) -> Model:
        """As `find`; where no version is named, the canary gets its share. fits: see `fitting`, where no model is named.

        The same seed goes the same way on every worker and replica, so that its image does not change from one
        request to the next; a larger share takes more seeds, and gives none back. seed: None is chance's.
        """
        model = self.find(address) if address is not None or fits is None else self.fitting(fits)
        canary = self._canaries.get(model.name)
        if canary is None or (address is not None and "@" in address):
            return model
        return canary.model if _place(canary.model.version, seed) < canary.share else model

    def fitting(self, fits: Callable[[Model], bool]) -> Model:
        """The default model; where it does not fit, the only one in memory that does; where none does, the default one.

        Raises InvalidField, naming them, where there are several; NotReady.
        """
        default = self.default
        if default.state != "ready" or fits(default):
            return default
        others = [model for model in self._models.values() if model.state == "ready" and fits(model)]
        if len(others) > 1:
            raise InvalidField(
                "model",
                f"Name a model: the default one, {default.name}, cannot do this; those that can are {', '.join(model.name for model in others)}.",
            )
        return others[0] if others else default

    def share(self, model: Model) -> float:
        """Of the requests that name no version."""
        canary = self._canaries.get(model.name)
        if canary is not None and canary.model is model:
            return canary.share
        if self._models.get(model.name) is not model:
            return 0.0
        return 1.0 if canary is None else 1.0 - canary.share

    def put(self, model: Model) -> None:
        """Add a version; requests that name none do not meet it."""
        self.versions.setdefault(model.name, []).append(model)

    def direct(self, model: Model, canary: Canary | None) -> None:
        """Send the requests that name no version to `model`, and to its canary, if there is one."""
        self.problem = ""
        self._models[model.name] = model
        self._models = dict(sorted(self._models.items()))  # the default may be the first by name
        self._canaries.pop(model.name, None)
        if canary is not None:
            self._canaries[model.name] = canary
        for one in self.versions[model.name]:
            if one.version:
                metrics.traffic_share.labels(one.name, one.version).set(self.share(one))

    def drop(self, model: Model) -> None:
        """Take a version away that gets no requests by its name alone."""
        self.versions[model.name].remove(model)
        model.end()

    def unload(self, model: Model) -> None:
        """Take a model out of memory until it is asked for again; it has one version."""
        self.versions[model.name] = [model.idle_copy()]
        self._models[model.name] = self.versions[model.name][0]
        model.end()
        log.info(
            *("model %s@%s is idle: others needed its place", model.name, model.version),
            extra={"event": "model_idle", "model": model.name, "version": model.version},
        )

    @property
    def default(self) -> Model:
        """The model of requests that name none. Raises NotReady where there is none."""
        if not self._models:
            raise NotReady(self.problem)
        return self._models.get(self.settings.default_model) or next(iter(self._models.values()))

    def __getitem__(self, name: str) -> Model:
        return self._models[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._models)

    def __len__(self) -> int:
        return len(self._models)


def folders(root: Path) -> list[Path]:
    """The folders of models under `root`; what keeps one from being read is told when it is. Raises OSError for `root`."""
    found = []
    for folder in root.iterdir():
        if not is_there(folder / FILE):
            continue
        if has_text_name(folder):
            found.append(folder)
        else:
            log.error("%r is passed over: its name is no text", folder)
    return found


def _place(version: str, seed: int | None) -> float:
    """Where on [0, 1) a request stands: by its seed, else anywhere. Uniform, and another for each version."""
    if seed is None:
        return random.random()
    return int.from_bytes(hashlib.blake2b(f"{version}/{seed}".encode(), digest_size=6).digest()) / 2**48
