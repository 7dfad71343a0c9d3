"""Why the parent process ends, in one line, where circus and BentoML have a traceback for it."""

import logging
import math

from service.machine.hardware import memory_limit_bytes, out_of_memory_kills

_NO_BIND = "Could not bind "


class Endings(logging.Filter):
    """For circus's logger: it says in a line of its own where it could not listen."""

    def __init__(self) -> None:
        super().__init__()
        self._address = ""
        self._kills = out_of_memory_kills()

    def filter(self, record: logging.LogRecord) -> bool:
        text = record.getMessage()
        if text.startswith(_NO_BIND):
            self._address = text.removeprefix(_NO_BIND)
        return not text.startswith(_NO_BIND)

    def why(self, error: BaseException) -> str | None:
        """None where this has no better word than the error's own."""
        if isinstance(error, OSError) and self._address:
            return f"can't listen on {self._address}: {error.strerror}. Is another service there? Try another port."
        if isinstance(error, RuntimeError) and "No active process" in str(error):
            return f"the worker has ended, and BentoML replaces none in a container: all of it ends. {self.memory()}"
        return None

    def memory(self) -> str:
        """Whether the kernel has ended a process since the start because the memory limit was met."""
        kills = out_of_memory_kills() - self._kills
        limit = memory_limit_bytes()
        if not kills or math.isinf(limit):
            return "What it said last, or the kernel's log, has the cause."
        return (
            f"memory: the limit of {limit / 2**20:.0f} MB was met, and the kernel has ended {kills} of its processes. Give it "
            "more, or lower GANSERVE_WORKERS, GANSERVE_MAX_LOADED_MB or GANSERVE_MAX_QUEUE_IMAGES; what lies in a /tmp in "
            "memory counts too."
        )


def heed() -> Endings:
    """For the parent and each worker."""
    endings = Endings()
    logging.getLogger("circus").addFilter(endings)
    return endings
