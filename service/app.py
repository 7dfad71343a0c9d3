"""The BentoML service: start-up, drain, and our routes in front."""

import asyncio
import atexit
import gc
import logging
import os
import signal
import sys
from dataclasses import replace
from math import ceil, inf
from pathlib import Path
from typing import cast

# Before NumPy is imported, whose BLAS would have every core spin over a product that takes one a third of a millisecond.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import bentoml
import numpy as np
import uvicorn
import uvicorn.config
from bentoml._internal.configuration.containers import BentoMLContainer
from numpy.typing import NDArray

from service.environment import from_environment, unknown_names
from service.errors import SettingsError
from service.generator.file import signed
from service.generator.origin.credentials import credentials_of
from service.keys import keyring
from service.machine import endings, hardware, instance, logs, process
from service.registry import footprint

ends = endings.heed()
logs.configure(ends.why)
try:
    settings = from_environment()
    keys = keyring(settings)
    credentials_of(settings.credentials_certificate, settings.credentials_key)
    signed.check(settings.signing_key)
except SettingsError as error:
    # An exception in the worker would restart it for ever; this ends the parent, before it starts one.
    logs.refuse(f"{error}")
settings = replace(settings, api_keys="")  # the keyring holds no key, and neither should anything else

log = logging.getLogger("bentoml.ganserve")

_FLUSH_SECONDS = 0.25  # another worker's answer to /metrics, or its order, is at most that old
_CLOSING_SECONDS = 5  # from the last answer to the end of the process, at most
_SWITCH_SECONDS = 0.0001
_FEWEST_CORES = 0.5


class FrontedService(bentoml.Service):
    """A BentoML service whose own ASGI app stands behind ours."""

    def to_asgi(self, is_main: bool = True):
        # The parent imports this module too, and must not load engines or open metric files.
        from service.registry.models import Models
        from service.web.front import Front

        # The registry that uvicorn looks up its default in; BentoML has no option for it. Without it all still
        # works, by way of ASGI.
        uvicorn.config.HTTP_PROTOCOLS["auto"] = "service.web.connection.wire:Wire"
        native = frozenset(method.route for method in self.apis.values())
        os.environ.pop("GANSERVE_API_KEYS", None)  # workers take it from the parent, and nobody from them
        front = Front(Models(settings), super().to_asgi(is_main), native, keys, _token())
        self.front = front
        return front


@bentoml.service(
    name="ganserve",
    service_class=FrontedService,
    workers=settings.workers,
    # Our metrics and routes stand in front; BentoML's would cost time and count nothing.
    metrics={"enabled": False},
    logging={"access": {"enabled": False}},
    tracing={"excluded_urls": [".*"]},
    # Of `sample` only, which keeps its deadline itself, and says so better.
    traffic={"timeout": settings.timeout_seconds + 1},
)
class Ganserve:
    """Conditional samples from GAN generators."""

    @bentoml.on_deployment
    @staticmethod
    def begin() -> None:
        """In the parent, before it starts a worker."""
        from service.machine import workers

        # The parent of a bento's workers is in a folder above theirs, which has another `models`.
        models = Path(__file__).parents[1] / settings.models
        if text := footprint.shortage(replace(settings, models=models)):
            logs.refuse(text)
        if settings.grpc_port and settings.grpc_port == process.told_port():
            logs.refuse(f"GANSERVE_GRPC_PORT is {settings.grpc_port}: that is the port of HTTP.")
        if settings.grpc_port and process.is_taken(settings.grpc_port):
            logs.refuse(f"GANSERVE_GRPC_PORT is {settings.grpc_port}: somebody listens there already.")
        if (cores := hardware.quota()) < _FEWEST_CORES:
            text = "this container may use %g CPUs: with less than %g it may take minutes to start, and be taken for dead"
            log.warning(text, cores, _FEWEST_CORES, extra={"event": "few_cpus"})
        try:
            folder = instance.make(Path(BentoMLContainer.bentoml_home.get()))
        except OSError as error:
            logs.refuse(f"no folder for what its workers share: {error}")
        atexit.register(instance.remove, folder)
        workers.let_nobody_else_control(folder)
        workers.begin_as_copies()

    @bentoml.api
    async def sample(
        self,
        ctx: bentoml.Context,
        model: str | None = None,
        # BentoML's schema knows the first of the types only; every label can be text.
        label: str | int | dict[str, float] | None = None,
        n: int = 1,
        seed: int | None = None,
        truncation: float = 1.0,
        timeout: float | None = None,
        scalars: dict[str, float | list[float]] | None = None,
        text: str | None = None,
    ) -> NDArray[np.uint8]:
        """n images as an array uint8 [n, height, width, channels], channels 1 (grey), 3 (RGB) or 4 (RGBA).

        The fields are those of POST /v1/samples. Without a label, image i has class (seed + i) mod K; without
        a seed one is drawn, which the reply's ganserve-seeds header names.
        """
        from starlette.responses import Response

        from service.drawing.sampler import SampleRequest
        from service.web.clients import bento

        asked = SampleRequest(model, label, n, seed, None, truncation, scalars, text=text, timeout=timeout)
        reply = await bento.sample(ctx.request.scope[bento.CALL], asked)
        ctx.response.status_code = reply.status  # or it would be 200
        # The array's JSON, made off the event loop; BentoML would make it on it.
        return cast(NDArray[np.uint8], Response(reply.body, reply.status, reply.headers, reply.media_type))

    @bentoml.on_deployment
    @staticmethod
    def before_workers() -> None:
        """In the parent process."""
        from service import signals
        from service.machine import clock

        clock.steady()
        signals.heed()

    @bentoml.on_startup
    async def start(self) -> None:
        """Load the models beside the event loop, so that /livez and /readyz answer from the first moment."""
        from service import metrics

        self.front = cast(FrontedService, Ganserve).front
        is_first = bentoml.server_context.worker_index in (None, 1)
        if is_first:
            for warning in unknown_names():
                log.warning(warning, extra={"event": "unknown_setting"})
            names = "none, every route is open but orders" if keys is None else ", ".join(keys.names)
            log.info("API keys: %s", names, extra={"event": "keys"})
        # uvicorn puts a line together for each request, for a logger that BentoML has silenced.
        logging.getLogger("uvicorn.access").propagate = False
        process.end_with_parent()
        process.allow_many_connections()
        self._watch()
        self._drain_on_signals()
        if is_first:
            where = " and ".join(process.urls(self.https, settings.grpc_port))
            text = "listening on %s: / is the page, /docs the API, /metrics for Prometheus"
            log.info(text, where, extra={"event": "listening"})
        metrics.ready.set(0)
        metrics.watchdog_ends.set(instance.ends())
        self.grpc = None
        if settings.grpc_port:
            from service.web.grpc.server import GrpcServer

            hosts = sorted({host for host, _ in process.listening()})
            self.grpc = GrpcServer(self.front, settings.grpc_port, hosts)
            await self.grpc.start()
        self.loading = asyncio.create_task(self._load())
        self.flushing = asyncio.create_task(self._flush())

    async def _flush(self) -> None:
        from service import metrics

        irreplaceable = settings.workers > 1 and "BENTOML_CONTAINERIZED" in os.environ
        while True:
            await asyncio.sleep(_FLUSH_SECONDS)
            self.front.rollout.follow()
            metrics.ready.set(int(self.front.models.all_ready and not self.front.draining))
            await asyncio.to_thread(metrics.flush)  # a disk may be slow
            if irreplaceable and not self.front.draining and metrics.a_worker_died():
                text = "a worker has died, and BentoML replaces none in a container: all of it ends. %s"
                log.error(text, ends.memory(), extra={"event": "worker_died"})
                process.end_all()

    async def _load(self) -> None:
        from service import metrics
        from service.drawing.watch import watch

        models = self.front.models
        await self.front.rollout.start((bentoml.server_context.worker_index or 1) - 1)
        # A lane whose pass is over waits for the interpreter that long, while the event loop computes.
        sys.setswitchinterval(_SWITCH_SECONDS)
        gc.collect()
        gc.freeze()  # models and modules live for ever; full collections need not look at them
        metrics.ready.set(int(models.all_ready and not self.front.draining))
        if models.all_ready:
            log.info("ready: %s", ", ".join(models), extra={"event": "ready"})
        self.watching = asyncio.create_task(watch(models, settings))

    def _watch(self) -> None:
        from service.batching.watchdog import Watchdog

        models = self.front.models
        self.watchdog = Watchdog(
            settings.watchdog_seconds or inf,
            asyncio.get_running_loop(),
            lambda: models.batcher.passes() if models.batcher else [],
        )
        self.watchdog.start()

    def _drain_on_signals(self) -> None:
        """SIGTERM, and SIGHUP of a terminal that closes: be not ready, answer for the grace period, let the server stop."""
        stop = signal.getsignal(signal.SIGTERM)
        loop = asyncio.get_running_loop()
        grace, longest = settings.drain_seconds, settings.timeout_seconds
        server = getattr(stop, "__self__", None)
        self.https = isinstance(server, uvicorn.Server) and server.config.is_ssl
        # BentoML has this as an option of its command line only. By default uvicorn waits for every client.
        if isinstance(server, uvicorn.Server) and server.config.timeout_graceful_shutdown is None:
            server.config.timeout_graceful_shutdown = ceil(longest) + 1

        def drain() -> None:
            if self.ending:
                return
            self.ending = True
            self.front.stop_being_ready()
            log.info("draining for %g s", grace, extra={"event": "draining"})
            self.watchdog.end_within(grace + longest + _CLOSING_SECONDS)
            if callable(stop):
                loop.call_later(grace, stop, signal.SIGTERM, None)

        self.ending = False
        self.front.end = process.end_all
        loop.add_signal_handler(signal.SIGTERM, drain)
        if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # as nohup has it
            loop.add_signal_handler(signal.SIGHUP, drain)

    @bentoml.on_shutdown
    async def stop(self) -> None:
        """Every accepted request has been answered; end the lanes."""
        from service import metrics

        if self.grpc is not None:
            await self.grpc.stop(settings.timeout_seconds)
        await self.loading
        self.flushing.cancel()
        self.watching.cancel()
        await self.front.rollout.stop()
        if batcher := self.front.models.batcher:
            await asyncio.to_thread(batcher.close)
        metrics.flush()
        await asyncio.to_thread(self.front.spans.close)


def _token() -> str | None:
    """What orders may be given with, or None."""
    try:
        return instance.join()
    except OSError as error:
        log.error("orders need an API key: %s", error, extra={"event": "no_token"})
        return None
