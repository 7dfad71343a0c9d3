"""Whom a program speaks to, and what it writes: by its system calls, from which no library can hide."""

import re
from ipaddress import ip_address
from pathlib import Path

from tests.needs import program

_CALLS = "connect,sendto,sendmsg,sendmmsg,open,openat,creat,mkdir,mkdirat"
_NAMES_PORT = 53
# Other programs of this machine that look names up for whoever asks.
_RESOLVERS = re.compile(r"/run/(systemd/resolve|avahi-daemon|dbus)/")
_INTERNET = re.compile(
    r'sa_family=AF_INET6?, sin6?_port=htons\((\d+)\).*?inet_(?:addr\(|pton\(AF_INET6, )"([^"]+)"'
)
_OPENED = re.compile(
    r'(?:open|openat|creat|mkdir|mkdirat)\((?:[\w-]+<([^>]*)>, )?"([^"]*)"(?:, ([A-Z_|]+))?.*\) += \d'
)
_WRITING = re.compile(r"O_WRONLY|O_RDWR|O_CREAT")


def arguments(trace: Path) -> list[str]:
    """What stands before a command to have its calls, and those of all that it starts, written to `trace`.

    Stop the command itself: strace takes no SIGTERM.
    """
    strace = program("strace", "strace")
    return [strace, "-f", "--seccomp-bpf", "-y", "-s", "4096", "-o", str(trace), "-e", f"trace={_CALLS}"]


def strangers(trace: Path) -> list[str]:
    """Every call that spoke to another machine, or asked for a name."""
    return [call for call in _calls(trace) if _is_to_a_stranger(call)]


def _is_to_a_stranger(call: str) -> bool:
    if "sa_family=AF_UNIX" in call:
        return bool(_RESOLVERS.search(call))
    return any(
        # Some machines have a resolver of their own that listens on 127.0.0.53.
        int(port) == _NAMES_PORT or not ip_address(address).is_loopback
        for port, address in _INTERNET.findall(call)
    )


def written(trace: Path) -> set[Path]:
    """What was made or opened for writing, but for devices and what the kernel shows as files."""
    found = set[Path]()
    for call in _calls(trace):
        if (opened := _OPENED.match(call)) and (not opened[3] or _WRITING.search(opened[3])):
            found.add(Path(opened[1] or "/", opened[2]))
    return {path for path in found if path.parts[1] not in ("dev", "proc", "sys")}


def _calls(trace: Path) -> list[str]:
    """As strace saw them; those that another thread's interrupted are put together."""
    begun, whole = dict[str, str](), list[str]()
    for line in trace.read_text(errors="replace").splitlines():
        thread, _, call = line.partition(" ")
        call = call.lstrip()
        if call.endswith("<unfinished ...>"):
            begun[thread] = call.removesuffix("<unfinished ...>")
        elif resumed := re.match(r"<\.\.\. \w+ resumed>(.*)", call):
            whole.append(begun.pop(thread, "") + resumed[1])
        else:
            whole.append(call)
    return whole + list(begun.values())
