"""The cores of a Ray cluster: a block is a task, on whatever node has a core for it.

Only pictures travel. Files are written where the command runs, by the same code and in the same order as without a cluster, so the
set, its manifest, and what a killed command goes on from are those of one machine. A task gives the same bits wherever it runs
and however often, so Ray may repeat those whose worker or node died (docs/decisions/ray.md).
"""

import logging
import os
import socket
import sys
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ganserve.errors import one_line
from ganserve.programs import APP

# A worker of Ray imports this module, too, and was not started by `ganserve`, which sees to the path; Ray has put the folder
# there in which the command runs, and service.py may be the user's in that one.
sys.path.insert(0, str(APP))
os.environ["RAY_USAGE_STATS_ENABLED"] = "0"  # before Ray is imported: nobody is told what runs

from ganserve.generating.engine import LocalModel
from ganserve.generating.plan import Block, Plan, Refused
from ganserve.generating.writing.formats import Drawn
from service.settings import Settings

try:
    import ray
    from ray.exceptions import RayError, RayTaskError
except ImportError:
    raise Refused("A cluster needs Ray: pip install 'ganserve[ray]'") from None

_AHEAD_PER_CORE = 4
_FEWEST = 8
"""Tasks that wait where a cluster has no cores yet: by them an autoscaler sees that some are wanted."""
_RETRIES = 20
"""Of a task whose worker or node dies: more than chance asks for, and an end if it is the task that kills them."""
_SECONDS = 10.0


@dataclass(frozen=True)
class Job:
    """What all tasks have in common. files: uint8, which workers of a node share in Ray's memory."""

    files: Mapping[str, NDArray[np.uint8]]
    model: str
    drawn_by: tuple[str, ...]
    settings: Settings
    truncation: float
    metadata: bool
    encode: Callable[[Drawn], Any]


class ClusterModel(LocalModel):
    """A model on every core of a cluster. It is loaded here too, with all its checks: that says what the nodes must draw."""

    def __init__(self, model: str, address: str) -> None:
        """model: as LocalModel takes it. address: auto, the cluster that this machine is a node of, or HOST:PORT of its head.

        Raises Refused.
        """
        _look(address)
        super().__init__(model)
        self._address = address

    def encoded(
        self, plan: Plan, blocks: Iterable[Block], metadata: bool, encode: Callable[[Drawn], Any]
    ) -> Generator[tuple[Block, Any], None, None]:
        """Each block with what `encode` makes of its pictures, in order; both on the cluster. Raises Refused."""
        engine = self.engine
        settings = replace(
            self.settings,
            threads=1,
            engine=engine.name,
            precision=engine.precision,
            engines="",
            signing_key="",
        )
        files = {path.name: np.fromfile(path, np.uint8) for path in self.files}
        job = Job(files, self.origin.model, _drawn_by(self), settings, plan.truncation, metadata, encode)
        # A core is a lane; a GPU is one, too, and has a core beside it.
        gpus = int(engine.provider.startswith("CUDA"))
        begun: deque[tuple[Block, Any]] = deque()
        with _joined(self._address):
            draw = ray.remote(num_cpus=1, num_gpus=gpus, max_retries=_RETRIES)(_drawn)
            common = ray.put(job)
            for block in blocks:
                while len(begun) >= max(
                    _FEWEST, _AHEAD_PER_CORE * int(ray.cluster_resources().get("CPU", 0))
                ):
                    first, task = begun.popleft()
                    yield first, _result(task)
                begun.append((block, draw.remote(common, block)))
            while begun:
                first, task = begun.popleft()
                yield first, _result(task)


def _look(address: str) -> None:
    """Is that an address, and somebody there? Ray itself would try for minutes. Raises Refused."""
    if address == "auto":
        return
    host, _, port = address.rpartition(":")
    if not host or "/" in host or not port.isdecimal() or not 0 < int(port) < 2**16:
        raise Refused(f"--ray {address}: it is auto, or HOST:PORT.")
    try:
        socket.create_connection((host, int(port)), _SECONDS).close()
    except OSError as error:
        raise Refused(f"There is no Ray cluster at {address}: {error.strerror or error}.") from None


@contextmanager
def _joined(address: str) -> Iterator[None]:
    """As a driver of the cluster, until the end of the block: what is begun then is dropped. Raises Refused."""
    # Ray has a thread that prints what befalls the cluster, and stdout is for the command's facts.
    with redirect_stdout(sys.stderr):
        try:
            ray.init(address, log_to_driver=False, logging_level=logging.ERROR)
        except Exception as error:  # it raises all kinds
            raise Refused(f"Ray at {address}: {one_line(str(error))}") from None
        try:
            yield
        finally:
            ray.shutdown()


def _result(task: Any) -> Any:
    """Raises Refused."""
    try:
        return ray.get(task)
    except RayTaskError as error:
        if isinstance(error.cause, Refused):
            raise error.cause from None
        raise Refused(f"A node of the cluster: {one_line(str(error.cause))}") from None
    except RayError as error:
        raise Refused(f"The cluster can't go on: {one_line(str(error))}") from None


_models: dict[tuple[str, ...], LocalModel] = {}
"""Of this worker: Ray keeps workers for a job, so it is one."""


def _drawn(job: Job, block: Block) -> Any:
    """On a node. Raises Refused."""
    if job.drawn_by not in _models:
        _models[job.drawn_by] = _loaded(job)
    model = _models[job.drawn_by]
    return job.encode(model.draw(model.engine.lanes[0], block, job.truncation, job.metadata))


def _loaded(job: Job) -> LocalModel:
    with TemporaryDirectory() as folder:
        place = Path(folder, job.model)
        place.mkdir()
        for name, content in job.files.items():
            content.tofile(place / name)
        model = LocalModel(str(place / next(iter(job.files))), job.settings)
    if (found := _drawn_by(model)) != job.drawn_by:
        raise Refused(
            f"{socket.gethostname()} draws with {' '.join(found[1:])}, and not with {' '.join(job.drawn_by[1:])}: "
            "equal bits need the same of both."
        )
    return model


def _drawn_by(model: LocalModel) -> tuple[str, ...]:
    return model.origin.version, model.engine.name, model.engine.precision, model.engine.provider
