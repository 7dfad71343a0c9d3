"""What the figures were measured on, and whether anything else ran there."""

import os
import platform
import re
import resource
import subprocess
import time
from importlib import metadata
from typing import Any

import psutil

from benchmarks.comparison.environments import PEERS
from benchmarks.server.servers import ROOT
from service.machine.hardware import available_cpus, cpu_name

OTHER_CORES = 0.15
"""More than this many cores' worth of other processes (or of stolen time) spoils a measurement."""

_OURS = ("onnxruntime", "onnxruntime-gpu", "openvino", "bentoml", "uvloop", "httptools", "numpy", "pillow")


def facts() -> dict[str, Any]:
    """Machine, versions and load average, for the record."""
    return {
        "cpu": cpu_name(),
        "cores": available_cpus(),
        "memory_gb": round(psutil.virtual_memory().total / 1e9, 1),
        "system": f"{platform.system()} {platform.release()}",
        "load_average": [round(load, 2) for load in os.getloadavg()],
        "commit": _output("git", "-C", str(ROOT), "describe", "--always", "--dirty"),
        "versions": versions(),
    }


def versions() -> dict[str, str]:
    """Of ganserve's own environment, of the peers as their files pin them, and of the load generator."""
    found = {"python": platform.python_version()}
    for name in _OURS:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    for file in sorted(PEERS.glob("*.txt")):
        pins = re.findall(r"^([\w-]+)(?:\[.*?\])?==(\S+)$", file.read_text(), re.MULTILINE)
        found |= {f"{file.stem} peer: {name}": version for name, version in pins}
    wrk = re.search(r"wrk \S*?([\d.]+)", _output("wrk", "-v"))
    return found | {"wrk": wrk[1] if wrk else "unknown"}


def busy_seconds() -> float:
    """CPU seconds spent in processes since the machine's start, all cores together; stolen time included.

    Not interrupts: the kernel does its network work there, which is the measured servers' own.
    """
    times = psutil.cpu_times()
    return times.user + getattr(times, "nice", 0.0) + times.system + getattr(times, "steal", 0.0)


def own_seconds() -> float:
    """CPU seconds of this process and of the children that ended, wrk among them."""
    usages = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def busy_cores(seconds: float = 3) -> float:
    """How many cores' worth of processes run now, while this one waits."""
    before, begun = busy_seconds(), time.monotonic()
    time.sleep(seconds)
    return (busy_seconds() - before) / (time.monotonic() - begun)


def _output(*command: str) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True)
    except OSError:
        return "unknown"
    return (done.stdout or done.stderr).strip() or "unknown"
