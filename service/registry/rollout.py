"""A worker's part in what all of them serve: load what is desired, send requests where they are to go, say so.

orders.py changes the desired state. Versions are loaded and checked one after another in a thread, beside the traffic.
"""

import asyncio
import logging
import os
from collections.abc import Iterable
from pathlib import Path

import msgspec

from service.errors import Draining, NotReady, NotShared
from service.generator.engines.choose import prepare
from service.registry import desired_state, versions
from service.registry.desired_state import DesiredModel, DesiredState, Report, VersionState
from service.registry.memory import evict_for, fits
from service.registry.model import Model
from service.registry.models import Canary, Models
from service.registry.versions import Found

log = logging.getLogger("bentoml.ganserve.rollout")


class Rollout:
    """One a worker. All of it runs on the event loop, save what says otherwise."""

    def __init__(self, models: Models, shared: Path | None = None, keeps_files: bool = True) -> None:
        """shared: the folder where workers agree; without it nothing can be changed while they serve.

        keeps_files: whether a worker may start long after the others, when a file may have been replaced.
        """
        self.models = models
        self._keeps_files = keeps_files
        self._shared = shared
        self._problem = "" if shared else "There is no folder that the workers share."
        self._desired: DesiredState | None = None
        self._mark: tuple[int, int] | None = None
        self._worker = 0
        self._has_started = False
        self._loading: asyncio.Task[None] | None = None
        self._waking: dict[Model, asyncio.Task[None]] = {}
        self._one_loads = asyncio.Lock()
        self._has_stopped = False

    async def start(self, worker: int = 0) -> None:
        """Load what gets requests; the other versions come after that, beside it all. Raises nothing.

        worker: which of the workers this is, from 0; GPUs are dealt out by it.
        """
        self._worker = self.models.worker = worker
        try:
            self._desired = await asyncio.to_thread(self._join)
        except (OSError, NotShared, msgspec.MsgspecError) as error:
            self._problem = f"{error}"
            text = "versions can't be changed while this service runs: %s"
            log.warning(text, error, extra={"event": "versions_fixed"})
        self._converge()
        await asyncio.to_thread(prepare, [model.path for model in self._in_order()], self.models.settings)
        while model := _first_loading(self._in_order()):
            await self._load(model)
        self._has_started = True
        self._load_others()

    async def stop(self) -> None:
        """Load no more."""
        self._has_stopped = True
        self._problem = "The service is shutting down."
        tasks = [*self._waking.values()] + ([self._loading] if self._loading else [])
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    async def wake(self, model: Model, seconds: float) -> None:
        """Load a model that is idle, in the place of those that were not asked for longest; wait for it so long.

        Whoever stops waiting stops nobody else's waiting. Raises Draining.
        """
        if self._has_stopped:
            raise Draining("The service is shutting down.")
        if model not in self._waking:
            self._waking[model] = asyncio.create_task(self._load(model, now=True))
            self._waking[model].add_done_callback(lambda _: self._waking.pop(model))
        await asyncio.wait([self._waking[model]], timeout=seconds)

    def follow(self) -> None:
        """Follow the desired state, if it changed. Called several times a second; raises nothing."""
        if self._desired is None or self._shared is None:
            return
        try:
            mark = desired_state.mark(self._shared)
            if mark is None:
                self._put_back(self._shared, self._desired)
                return
            if mark == self._mark:
                return
            now = desired_state.read(self._shared)
        except (OSError, msgspec.MsgspecError) as error:
            log.error("what is wanted can't be read: %s", error, extra={"event": "orders_unread"})
            return
        self._mark = mark
        if now is None or now.change <= self._desired.change:
            return
        if now.reloads != self._desired.reloads:
            self._forget_failed(now)
        self._desired = now
        self._converge()
        if self._has_started:
            self._load_others()

    def _put_back(self, shared: Path, known: DesiredState) -> None:
        """Without the files of that folder the workers could not agree any more. Raises OSError."""
        if desired_state.restore(shared, known):
            log.error("%s was emptied, and is filled again", shared, extra={"event": "orders_emptied"})
        self._converge()

    def folder(self) -> Path:
        """Where the workers agree. Raises NotShared, and NotReady as long as this one does not follow."""
        if self._problem or self._shared is None:
            raise NotShared(self._problem)
        if self._desired is None:
            raise NotReady("This worker is still starting.")
        return self._shared

    def read_again(self) -> tuple[DesiredState, list[str]]:
        """Add what lies in the models folder to the desired state; and, in words, what is more than may be loaded. In a thread.

        Raises OSError.
        """
        found = versions.find(
            self.models.settings.models
        )  # before the lock: other orders need not wait for it
        left_out: list[str] = []

        def edit(before: DesiredState | None) -> DesiredState:
            after, texts = self._merge(before, found)
            left_out.extend(texts)
            return after

        return desired_state.change(self.folder(), edit), left_out

    def _join(self) -> DesiredState:
        """The desired state; the first worker makes it of what lies in the models folder. In a thread.

        Raises OSError, NotShared.
        """
        if self._shared is None:
            raise NotShared(self._problem)

        def first(before: DesiredState | None) -> DesiredState:
            if before is not None:
                return before
            after, left_out = self._merge(None, versions.find(self.models.settings.models))
            for text in left_out:
                log.warning(text, extra={"event": "version_kept"})
            return after

        return desired_state.change(self._shared, first)

    def _merge(
        self, before: DesiredState | None, found: dict[str, list[Found]]
    ) -> tuple[DesiredState, list[str]]:
        failed = {
            name: {one.version for one in ones if one.state == "failed"}
            for name, ones in [*self.models.versions.items()]
        }
        copies = self._shared if self._keeps_files else None
        return versions.merge(before, found, failed, self.models.settings.max_versions, copies)

    def _converge(self) -> None:
        """Bring what is in memory, and where requests go, in line with the desired state; and report it."""
        if self._desired is None or self._shared is None:
            return
        for name, model in self._desired.models.items():
            known = {one.version: one for one in self.models.versions.get(name, ())}
            for version, file in model.versions.items():
                if version not in known:
                    known[version] = self._new(name, version, file)
                    self.models.put(known[version])
            self._direct(known, model)
            for version in known.keys() - model.versions.keys():
                if known[version] is not self.models.get(name):
                    self.models.drop(known[version])
        report = Report(
            os.getpid(), self._desired.change, {name: self._states(name) for name in self.models.versions}
        )
        try:
            desired_state.report(self._shared, report)
        except OSError as error:
            log.error("what this worker serves can't be told: %s", error, extra={"event": "report_unwritten"})

    def _direct(self, known: dict[str, Model], model: DesiredModel) -> None:
        """A version that is not ready gets requests only in the place of one that is not, either."""
        version = known[model.version]
        current = self.models.get(version.name)
        if version.state not in ("ready", "idle") and (current is None or current.state in ("ready", "idle")):
            return
        canary = known.get(model.canary or "")
        if canary is None or canary.state != "ready":
            self.models.direct(version, None)
        else:
            self.models.direct(version, Canary(canary, model.share))

    def _new(self, name: str, version: str, file: str) -> Model:
        assert self._shared is not None
        copies = versions.kept(self._shared, name, version)
        folder = copies if (copies / file).is_file() else self.models.settings.models / name
        model = Model(folder, file, name, version)
        current = self.models.get(name)
        model.on_demand = current is not None and current.on_demand
        return model

    def _states(self, name: str) -> dict[str, VersionState]:
        return {
            one.version: VersionState(one.state, self.models.share(one), one.problem)
            for one in self.models.versions.get(name, ())
        }

    def _in_order(self) -> list[Model]:
        """The default model first: most requests are for it."""
        default = self.models.settings.default_model
        return sorted(self.models.values(), key=lambda one: one.name != default)

    def _forget_failed(self, now: DesiredState) -> None:
        """So that they are loaded again: what was wrong may have been their card, or a want of memory."""
        for name, model in now.models.items():
            for one in [*self.models.versions.get(name, ())]:
                if one.state == "failed" and one.version in model.versions:
                    self.models.drop(one)

    def _load_others(self) -> None:
        if self._loading is None or self._loading.done():
            self._loading = asyncio.create_task(self._load_rest())

    async def _load_rest(self) -> None:
        while True:
            ones = [one for ones in self.models.versions.values() for one in ones]
            if model := _first_loading(ones):
                await self._load(model)
            elif model := next((one for one in ones if one.state == "ready" and one.beside.is_stale), None):
                model.put_beside(await asyncio.to_thread(model.beside_again, self._worker))
            else:
                return

    async def _load(self, model: Model, now: bool = False) -> None:
        """now: others are evicted for it. Else it may be left idle, unless it is one more version, to which an order sends requests."""
        async with self._one_loads:
            if model.state not in ("loading", "idle"):
                return
            alone = self.models.get(model.name, model) is model
            if alone and not now and not fits(self.models, model):
                model.rest()
                text = "model %s is idle until it is asked for: GANSERVE_MAX_LOADED_MB is full"
                log.info(text, model.name, extra={"event": "model_idle", "model": model.name})
            else:
                await evict_for(self.models, model)
                await asyncio.to_thread(model.load, self.models.settings, self._worker)
                if model in self.models.versions[model.name]:  # it may have been retired meanwhile
                    self.models.serve(model)
            self._converge()


def _first_loading(models: Iterable[Model]) -> Model | None:
    return next((model for model in models if model.state == "loading"), None)
