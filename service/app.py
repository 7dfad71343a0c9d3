"""The BentoML service: start-up, drain, and our routes in front."""

import asyncio
import ctypes
import gc
import logging
import os
import signal
import sys
from typing import cast

import bentoml
import uvicorn.config

from service.errors import SettingsError
from service.settings import from_environment, unknown_names

try:
    settings = from_environment()
except SettingsError as error:
    # An exception in the worker would restart it for ever; this ends the parent, before it starts one.
    sys.exit(f"ganserve: {error}")

os.environ.setdefault("BENTOML_DO_NOT_TRACK", "true")

log = logging.getLogger("bentoml.ganserve")

_FLUSH_SECONDS = 0.25  # another worker's answer to /metrics is at most that old


class FrontedService(bentoml.Service):
    """A BentoML service whose own ASGI app stands behind ours."""

    def to_asgi(self, is_main: bool = True):
        # The parent imports this module too, and must not load engines or open metric files.
        from service.models import Models
        from service.web.routes import Front

        # The registry that uvicorn looks up its default in; BentoML has no option for it. Without it all still
        # works, by way of ASGI.
        uvicorn.config.HTTP_PROTOCOLS["auto"] = "service.web.wire:Wire"
        native = frozenset(method.route for method in self.apis.values())
        front = Front(Models(settings), super().to_asgi(is_main), native)
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
    traffic={"timeout": settings.timeout_seconds},
)
class Ganserve:
    """Conditional samples from GAN generators."""

    @bentoml.on_startup
    async def start(self) -> None:
        """Load the models beside the event loop, so that /livez and /readyz answer from the first moment."""
        from service import metrics

        self.front = cast(FrontedService, Ganserve).front
        if bentoml.server_context.worker_index in (None, 1):
            for warning in unknown_names():
                log.warning(warning)
        # uvicorn puts a line together for each request, for a logger that BentoML has silenced.
        logging.getLogger("uvicorn.access").propagate = False
        _end_with_parent()
        self._drain_on_sigterm()
        metrics.ready.set(0)
        self.loading = asyncio.create_task(self._load())
        self.flushing = asyncio.create_task(self._flush())

    async def _flush(self) -> None:
        from service import metrics

        while True:
            await asyncio.sleep(_FLUSH_SECONDS)
            metrics.flush()

    async def _load(self) -> None:
        from service import metrics

        models = self.front.models
        worker = (bentoml.server_context.worker_index or 1) - 1
        await asyncio.to_thread(models.load, worker)
        gc.collect()
        gc.freeze()  # models and modules live for ever; full collections need not look at them
        metrics.ready.set(int(models.all_ready and not self.front.draining))
        if models.all_ready:
            log.info("ready: %s", ", ".join(models))

    def _drain_on_sigterm(self) -> None:
        """SIGTERM: not ready at once, go on answering for the grace period, then let the server stop."""
        stop = signal.getsignal(signal.SIGTERM)
        loop = asyncio.get_running_loop()

        def drain() -> None:
            if self.front.draining:
                return
            from service import metrics

            self.front.draining = True
            metrics.ready.set(0)
            log.info("draining for %g s", settings.drain_seconds)
            if callable(stop):
                loop.call_later(settings.drain_seconds, stop, signal.SIGTERM, None)

        loop.add_signal_handler(signal.SIGTERM, drain)

    @bentoml.on_shutdown
    async def stop(self) -> None:
        """Every accepted request has been answered; end the lanes."""
        from service import metrics

        await self.loading
        self.flushing.cancel()
        if batcher := self.front.models.batcher:
            await asyncio.to_thread(batcher.close)
        metrics.flush()
        await asyncio.to_thread(self.front.spans.close)


def _end_with_parent() -> None:
    """A killed parent would leave workers that hold the port and that nobody stops (Linux only)."""
    if sys.platform == "linux":
        set_parent_death_signal = 1
        ctypes.CDLL(None).prctl(set_parent_death_signal, signal.SIGTERM)
