"""Workers begin as copies of the parent, which has imported BentoML and the service already: gunicorn calls it preloading.

BentoML starts each as a new Python, which imports the same again: half of the time until it is ready. Linux only, where
fork does no harm to libraries that have no threads yet; not under `--development-mode`, whose code changes.
"""

import asyncio
import atexit
import ctypes
import gc
import os
import signal
import sys
import threading
import warnings
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, NoReturn

from bentoml._internal.utils import circus
from circus import process

NAME = "ganserve-worker"
"""Of each such process, as ps and top have it; its command line is the parent's."""
_WORKER = "_bentoml_impl.worker.service"
_popen: Any = process.Popen


def begin_as_copies() -> None:
    """For the workers that this process, BentoML's parent, is about to start."""
    if sys.platform == "linux":
        process.Popen = _begin  # pyright: ignore[reportAttributeAccessIssue]
        gc.collect()
        gc.freeze()  # a collection in a worker would write to all that it shares with the parent


def let_nobody_else_control(folder: Path) -> None:
    """BentoML's parent takes commands, what its workers run among them, from whoever reaches two ports of 127.0.0.1.

    In place of those: sockets in a folder that only this user can enter.
    """
    arbiter: Any = circus.Arbiter
    begin = arbiter.__init__

    def begin_here(self: Any, watchers: Any, endpoint: str, pubsub_endpoint: str, **options: Any) -> None:
        begin(self, watchers, f"ipc://{folder}/control", f"ipc://{folder}/events", **options)

    arbiter.__init__ = begin_here


def _begin(args: list[str], preexec_fn: Callable[[], None], env: dict[str, str], **options: Any) -> Any:
    """What circus calls to start a process."""
    if args[1:3] != ["-m", _WORKER] or "--development-mode" in args:
        return _popen(args, preexec_fn=preexec_fn, env=env, **options)
    sys.stdout.flush()
    with warnings.catch_warnings():
        # From Python 3.12 on, of fork beside threads. Those here are ZeroMQ's, which no worker calls.
        warnings.simplefilter("ignore", DeprecationWarning)
        # It never comes to what it would execute.
        return _popen(args, preexec_fn=lambda: _work(args, preexec_fn, env), env=env, **options)


def _work(args: list[str], prepare: Callable[[], None], env: dict[str, str]) -> NoReturn:
    """The whole life of a worker, in the child. args: of its command; prepare: circus's own part of it."""
    status = 1
    try:
        prepare()
        _forget_the_parent()
        set_name = 15
        ctypes.CDLL(None).prctl(set_name, NAME.encode())
        os.environ.clear()
        os.environ.update(env)
        sys.argv = [_WORKER, *args[3:]]
        from _bentoml_impl.worker.service import main

        main(args[3:])
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException as error:
        sys.excepthook(type(error), error, error.__traceback__)
    finally:
        # As multiprocessing ends what it has forked: what the parent's frames would do on the way out is not the worker's.
        with suppress(BaseException):
            threading._shutdown()  # pyright: ignore[reportAttributeAccessIssue]
            atexit._run_exitfuncs()
            sys.stdout.flush()
        os._exit(status)


def _forget_the_parent() -> None:
    """What a new Python would not have: descriptors, handlers of signals, an event loop, and modules of the service."""
    for path in list(Path("/proc/self/fd").iterdir()):
        # One of them is that by which the parent hears that the command was executed.
        with suppress(OSError):
            if not os.get_inheritable(int(path.name)):
                os.close(int(path.name))
    signal.set_wakeup_fd(-1)
    for number in signal.valid_signals():
        if callable(signal.getsignal(number)):
            python_s_own = signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL
            signal.signal(number, python_s_own)
    # Python ignores them from its start on; subprocess has undone that. A client that leaves would end the worker.
    for number in (signal.SIGPIPE, signal.SIGXFSZ):
        signal.signal(number, signal.SIG_IGN)
    asyncio._set_running_loop(None)
    asyncio.set_event_loop(None)
    atexit._clear()
    gc.enable()  # subprocess turned it off
    # Imported anew, they have metrics, files and a log of their own; it is the other libraries that take long.
    for name in [name for name in sys.modules if name.partition(".")[0] in ("service", "prometheus_client")]:
        del sys.modules[name]
