"""What the service says on stderr: lines to read on a terminal, and anywhere else one JSON object per line.

Whoever logs something names the event, and what else there is to find it by: `extra={"event": "ready", "model": ...}`.
Libraries' own lines come the same way, under their logger's name. Standard library only.
"""

import json
import logging
import logging.config
import os
import re
import sys
import threading
import time
import traceback
from collections.abc import Callable
from types import TracebackType
from typing import Any, NoReturn

FIELDS = ("model", "version", "request", "trace", "failure", "threads")
"""Of `extra`, beside `event`. `failure` is what the client was told; `request` is its x-request-id."""

_CONFIGURATION: dict[str, Any] = {
    "version": 1,
    "disable_existing_loggers": False,
    "handlers": {"lines": {"()": "service.machine.logs.handler"}},
    # Nobody but the root has a handler, or a line would come twice.
    "loggers": {
        "bentoml": {"level": "INFO", "handlers": [], "propagate": True},
        "uvicorn.error": {"level": "WARNING", "handlers": [], "propagate": True},
        "circus": {"level": "WARNING", "handlers": [], "propagate": True},
    },
    "root": {"level": "WARNING", "handlers": ["lines"]},
}


def _no_word(error: BaseException) -> str | None:
    return None


_why: Callable[[BaseException], str | None] = _no_word
_log = logging.getLogger("bentoml.ganserve")
# What a terminal would obey.
_STEERS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


def configure(why: Callable[[BaseException], str | None] = _no_word) -> None:
    """For the parent and each worker, as soon as BentoML imports the service; what it was asked for (--debug, --quiet) stays.

    why: what there is to say, in place of a traceback, of an error that ends the process.
    """
    global _why
    _why = why
    asked = logging.getLogger("bentoml").level
    if asked:
        _CONFIGURATION["loggers"]["bentoml"]["level"] = asked
    logging.config.dictConfig(_CONFIGURATION)
    logging.captureWarnings(True)
    sys.excepthook = _uncaught
    threading.excepthook = _uncaught_in_thread


def refuse(text: str) -> NoReturn:
    """End the process, which can't serve, with one line that says why."""
    _log.critical(text, extra={"event": "refused_to_start"})
    sys.exit(1)


def handler() -> logging.Handler:
    """To stderr, in whatever form suits it."""
    one = logging.StreamHandler(sys.stderr)
    one.setFormatter(Plain() if sys.stderr.isatty() else Json())
    one.addFilter(_is_news)
    return one


class _Lines(logging.Formatter):
    """A traceback comes with the first error of its kind only, which is its class and the line that raised it."""

    def __init__(self) -> None:
        super().__init__()
        self._known: set[tuple[str, str]] = set()

    def causes(self, record: logging.LogRecord) -> dict[str, str]:
        """`error`, and `traceback` where it is new; empty without an exception."""
        if not record.exc_info or record.exc_info[1] is None:
            return {}
        kind, error, trace = record.exc_info
        lines = "".join(traceback.format_exception(kind, error, trace))
        found = {"error": "".join(traceback.format_exception_only(kind, error)).strip()}
        origin = (type(error).__qualname__, _where(trace))
        if origin not in self._known:
            self._known.add(origin)  # lines of code: there are not many
            found["traceback"] = lines
        return found


class Json(_Lines):
    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "time": f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(record.created))}.{int(record.msecs):03}Z",
            "level": record.levelname.lower(),
            "event": getattr(record, "event", record.name),
            "message": record.getMessage(),
            "pid": record.process,
        }
        line |= {name: getattr(record, name) for name in FIELDS if hasattr(record, name)}
        return json.dumps(line | self.causes(record))  # ASCII: nothing in it can steer a terminal


class Plain(_Lines):
    def format(self, record: logging.LogRecord) -> str:
        if getattr(record, "event", "") == "refused_to_start":
            return f"ganserve: {record.getMessage()}"
        level = "" if record.levelno == logging.INFO else f"{record.levelname.lower()}: "
        named = ", ".join(f"{name} {getattr(record, name)}" for name in FIELDS[:-1] if hasattr(record, name))
        causes = self.causes(record)
        text = f"{time.strftime('%H:%M:%S', time.localtime(record.created))} {level}{record.getMessage()}"
        text += f" ({named})" if named else ""
        more = causes.get("traceback") or causes.get("error") or getattr(record, "threads", "")
        return _STEERS.sub(lambda found: repr(found[0])[1:-1], f"{text}\n{more}".rstrip())


def threads() -> str:
    """Where every thread of this process is now, for the `threads` of a line."""
    names = {one.ident: one.name for one in threading.enumerate()}
    return "\n".join(
        f"Thread {names.get(ident, ident)}:\n{''.join(traceback.format_stack(frame))}"
        for ident, frame in sys._current_frames().items()  # pyright: ignore[reportPrivateUsage]
    )


def _is_news(record: logging.LogRecord) -> bool:
    """Not what BentoML says beside our own lines: that it starts, and that Ctrl-C ends it."""
    return record.name != "bentoml.serve" or record.levelno > logging.INFO


def _where(trace: TracebackType | None) -> str:
    frames = traceback.extract_tb(trace)
    return f"{frames[-1].filename}:{frames[-1].lineno}" if frames else ""


def _uncaught(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    if issubclass(kind, KeyboardInterrupt):
        return
    if text := _why(error):
        _log.critical(text, extra={"event": "process_ends"})
        return
    _log.critical("this process ends", exc_info=(kind, error, trace), extra={"event": "process_ends"})


def _uncaught_in_thread(args: threading.ExceptHookArgs) -> None:
    if args.exc_value is not None:
        name = args.thread.name if args.thread else os.getpid()
        cause = (args.exc_type, args.exc_value, args.exc_traceback)
        _log.error("thread %s ends", name, exc_info=cause, extra={"event": "thread_ends"})


MOST_TOLD = 600
"""Characters of what files and engines say."""


def one_line(text: str) -> str:
    """Of what files and engines say: no line of theirs may pass for one of the log's, and some say a megabyte."""
    printable = " ".join("".join(one if one.isprintable() else " " for one in text).split())
    return printable if len(printable) <= MOST_TOLD else f"{printable[:MOST_TOLD]}..."
