"""What an operator orders while the service runs: read the models folder again, direct requests, retire a version.

An order to any worker changes the desired state; every worker notices within a quarter of a second; the order returns when
all have done it. No order outlives the service: when all of it starts anew, `generator.onnx` gets the requests.
"""

import asyncio
import logging
import time
from collections.abc import Callable
from typing import Annotated, TypeVar

import msgspec
from msgspec import Meta, Struct

from service.errors import InvalidField, NotShared, UnknownModel, VersionRefused, WorkersLate
from service.registry import desired_state, versions
from service.registry.desired_state import DesiredModel, DesiredState, Report, VersionState
from service.registry.rollout import Rollout

log = logging.getLogger("bentoml.ganserve.orders")

T = TypeVar("T")

_LOOK_SECONDS = 0.05  # from one look at the workers' reports to the next


class State(Struct):
    """What all workers are to serve, and what each of them serves."""

    wanted: Annotated[DesiredState, Meta(description="What all workers are to serve.")]
    workers: Annotated[list[Report], Meta(description="What each of them serves.")]


async def state(rollout: Rollout) -> State:
    """Raises NotShared, NotReady."""
    folder = rollout.folder()

    def both() -> State:
        return State(desired_state.read(folder) or DesiredState(), desired_state.reports(folder))

    return await _in_thread(both)


async def reload(rollout: Rollout, seconds: float) -> State:
    """Load models and versions that are new in the folder, and try again what failed, within so many seconds.

    Requests go where they went; but a model that could not be served gets its generator.onnx.
    Raises VersionRefused, naming the files that failed, when all others are loaded; WorkersLate; NotShared, NotReady.
    """
    now, left_out = await _in_thread(rollout.read_again)
    log.info("change %d: the models folder was read", now.change, extra={"event": "models_read"})

    def has_loaded(report: Report) -> bool:
        return all(one.state != "loading" for model in report.models.values() for one in model.values())

    after = await _done(rollout, now, has_loaded, seconds)
    failed = {
        f"{name}@{version} ({now.models[name].versions[version]}): {one.problem}."
        for report in after.workers
        for name, model in report.models.items()
        for version, one in model.items()
        if one.state == "failed" and name in now.models and version in now.models[name].versions
    }
    if failed or left_out:
        raise VersionRefused(" ".join(["Not everything is served:", *sorted(failed), *left_out]))
    return after


async def direct(rollout: Rollout, name: str, version: str, share: float, seconds: float) -> State:
    """Send a share, 0 to 1, of the requests that name no version of a model to this one, on every worker.

    1: all of them, and there is no canary any more; else it is the canary, and 0 ends that.
    Raises UnknownModel, InvalidField and VersionRefused, with nothing changed; WorkersLate; NotShared, NotReady.
    """
    folder = rollout.folder()

    def edit(before: DesiredState | None) -> DesiredState:
        after, model = _known(before, name, version)
        for report in desired_state.reports(folder):
            one = report.models.get(name, {}).get(version, VersionState("loading", 0))
            if one.state != "ready":
                why = f": {one.problem}" if one.problem else ""
                raise VersionRefused(f"{name}@{version} is {one.state} on worker {report.pid}{why}.")
        if version == model.version and share < 1:
            raise InvalidField(
                "share", f"{version} gets what no canary gets: name the canary, or give 1, which ends it."
            )
        if share == 1:
            model.version, model.canary, model.share = version, None, 0.0
        elif share > 0:
            model.canary, model.share = version, share
        elif model.canary == version:
            model.canary, model.share = None, 0.0
        return after

    now = await _in_thread(lambda: desired_state.change(folder, edit))
    model = now.models[name]
    log.info(
        *(
            "change %d: %s gets %s, canary %s at %g",
            now.change,
            model.version,
            name,
            model.canary,
            model.share,
        ),
        extra={"event": "traffic_directed", "model": name, "version": model.version},
    )
    shares = {model.version: 1 - model.share} | ({model.canary: model.share} if model.canary else {})

    def has_directed(report: Report) -> bool:
        got = {version: one.share for version, one in report.models.get(name, {}).items() if one.share}
        return got == shares or report.change > now.change

    return await _done(rollout, now, has_directed, seconds)


async def retire(rollout: Rollout, name: str, version: str, seconds: float) -> State:
    """Take a version out of memory on every worker, once the requests that it got are answered.

    A reload brings it back, as long as its file is there.
    Raises UnknownModel, and VersionRefused if it gets requests, with nothing changed; WorkersLate; NotShared, NotReady.
    """
    folder = rollout.folder()

    def edit(before: DesiredState | None) -> DesiredState:
        after, model = _known(before, name, version)
        if version in (model.version, model.canary):
            raise VersionRefused(f"{name}@{version} gets requests: direct them to another version first.")
        del model.versions[version]
        return after

    now = await _in_thread(lambda: desired_state.change(folder, edit))
    log.info(
        *("change %d: %s@%s is retired", now.change, name, version),
        extra={"event": "version_retired", "model": name, "version": version},
    )

    def has_let_go(report: Report) -> bool:
        return version not in report.models.get(name, {}) or report.change > now.change

    after = await _done(rollout, now, has_let_go, seconds)
    await asyncio.to_thread(versions.forget, folder, name, version)
    return after


def _known(before: DesiredState | None, name: str, version: str) -> tuple[DesiredState, DesiredModel]:
    """A copy to change, and the model in it. Raises UnknownModel."""
    after = DesiredState() if before is None else before.copy()
    model = after.models.get(name)
    if model is None:
        raise UnknownModel(
            f"There is no model '{name[:64]}'; there are: {', '.join(after.models) or 'none'}."
        )
    if version not in model.versions:
        raise UnknownModel(
            f"Model {name} has the versions {', '.join(model.versions)}, not '{version[:64]}'. New files are read by "
            "POST /v1/admin/reload."
        )
    return after, model


async def _in_thread(work: Callable[[], T]) -> T:
    """Raises NotShared, and what `work` raises that is no OSError."""
    try:
        return await asyncio.to_thread(work)
    except (OSError, msgspec.MsgspecError) as error:
        raise NotShared(f"The folder that the workers share, or that of the models: {error}") from error


async def _done(
    rollout: Rollout, now: DesiredState, is_done: Callable[[Report], bool], seconds: float
) -> State:
    """The state once every worker has come to this change, and has done it. Raises WorkersLate."""
    rollout.follow()
    workers, end = rollout.models.settings.workers, time.monotonic() + seconds
    while True:
        reports = (await state(rollout)).workers
        late = [f"worker {one.pid} is late" for one in reports if one.change < now.change or not is_done(one)]
        if len(reports) < workers:
            late.append(f"of {workers} workers there are {len(reports)}")
        if not late:
            return State(now, reports)
        if time.monotonic() > end:
            raise WorkersLate(
                f"Not all workers have done it within {seconds:g} seconds: {', '.join(late)}. It stays wanted: they do "
                "it as soon as they can, and GET /v1/admin/models shows it."
            )
        await asyncio.sleep(_LOOK_SECONDS)
