"""This process, its parent, and what the kernel allows it."""

import ctypes
import os
import resource
import signal
import socket
import sys
from contextlib import suppress

import click
import psutil

_parent = os.getppid()


def end_all() -> None:
    """As the orchestrator would: BentoML's parent process hands SIGTERM on to every worker, and then ends with 0."""
    if os.getppid() == _parent:  # else it is gone, and the workers are draining
        os.kill(_parent, signal.SIGTERM)


def allow_many_connections() -> None:
    """As many as the administrator allows at all; the usual 1,024 are soon used up by clients that do nothing."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(ValueError, OSError):  # macOS takes no `unlimited` here
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def end_with_parent() -> None:
    """A killed parent would leave workers that hold the port and that nobody stops (Linux only)."""
    if sys.platform == "linux":
        set_parent_death_signal = 1
        ctypes.CDLL(None).prctl(set_parent_death_signal, signal.SIGTERM)


def listening() -> list[tuple[str, int]]:
    """The IP addresses and ports that this process listens on."""
    connections = psutil.Process().net_connections("inet")
    return sorted({(one.laddr.ip, one.laddr.port) for one in connections if one.status == psutil.CONN_LISTEN})


def urls(https: bool, other_port: int) -> list[str]:
    """Where this process answers HTTP. other_port: where it listens for something else."""
    hosts = [(f"[{ip}]" if ":" in ip else ip, port) for ip, port in listening() if port != other_port]
    return [f"http{'s' * https}://{host}:{port}" for host, port in hosts]


def told_port() -> int | None:
    """HTTP's, as `bentoml serve` was told, which tells nobody before it listens; None where something else serves."""
    context = click.get_current_context(silent=True)
    return context.params.get("port") if context else None


def is_taken(port: int) -> bool:
    """Whether somebody listens on that port of this machine already."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("", port))
        except OSError:
            return True
    return False
