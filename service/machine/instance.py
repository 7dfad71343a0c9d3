"""What one running service writes: a folder that its workers share, and that nobody else has a part in.

    /tmp/ganserve-UID/      its user's alone; in $TMPDIR where /tmp can't be written
        k3v9x0/             one service's: made by the parent before its workers, removed when it ends
            token           what its user gives orders with
            metrics/        metric_files.py
            desired/        desired_state.py; the copies of model files in it are a link to a folder where more room is
        127.0.0.1:3000      a link to the service that listens there
        127.0.0.1:3000.ended    a byte for each process of a service there that its watchdog has ended

Every process of a service holds a lock on its folder. What nobody holds was left by one that was killed, and the next to
start takes it away.
"""

import fcntl
import os
import secrets
import shutil
import socket
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from ipaddress import ip_address
from pathlib import Path

import psutil

VARIABLE = "_GANSERVE_INSTANCE"
"""Of the environment of workers: their folder."""
_TOKEN, _LARGE = "token", "desired/files"
_locks: list[int] = []
_ended: Path | None = None


def folder() -> Path | None:
    """This service's, in its workers; None where nobody made one."""
    path = os.environ.get(VARIABLE)
    return Path(path) if path else None


def make(home: Path) -> Path:
    """The folder of a service that starts: for the parent, whose workers inherit its name. Raises OSError.

    home: where large files may lie; /tmp may be in memory.
    """
    base = _base()
    with _alone(base):
        _sweep(base)
        path = Path(tempfile.mkdtemp(prefix="", dir=base))
        _hold(path)
    (path / "metrics").mkdir()
    (path / "desired").mkdir()
    with suppress(OSError):
        (path / _LARGE).symlink_to(tempfile.mkdtemp(prefix="ganserve-", dir=home))
    (path / _TOKEN).touch(mode=0o600)
    (path / _TOKEN).write_text(secrets.token_urlsafe(32))
    os.environ[VARIABLE] = str(path)
    return path


def join() -> str | None:
    """For a worker: hold the folder, say in it where this process listens, and return the token.

    None where there is no folder. Raises OSError.
    """
    global _ended
    path = folder()
    if path is None:
        return None
    _hold(path)
    for connection in psutil.Process().net_connections("inet"):
        if connection.status == psutil.CONN_LISTEN:
            link = path.parent / _address(*connection.laddr)
            new = link.with_name(f"{link.name}.{os.getpid()}.new")
            new.symlink_to(path.name)
            new.replace(link)
            _ended = link.with_name(f"{link.name}.ended")
    return token(path)


def note_end() -> None:
    """That the watchdog ends this process. It outlives the service: nobody could ask that any more."""
    if _ended is not None:
        with suppress(OSError), _ended.open("ab", buffering=0) as file:
            file.write(b".")


def ends() -> int:
    """How often that was noted at this address."""
    try:
        return _ended.stat().st_size if _ended else 0
    except OSError:
        return 0


def remove(path: Path) -> None:
    """For the parent, when all its workers have ended."""
    if (path / _LARGE).is_symlink():
        shutil.rmtree((path / _LARGE).resolve(), ignore_errors=True)
    shutil.rmtree(path, ignore_errors=True)
    _unlink_dangling(path.parent)


def token(path: Path) -> str:
    """What its user gives the service of that folder orders with. Raises OSError."""
    return (path / _TOKEN).read_text()


def find(host: str, port: int) -> tuple[str, Path] | None:
    """IP address and folder of this user's service that answers there, on this machine; None where there is none.

    Its token is for that address alone: a name may have others, where somebody else listens.
    Raises OSError for a name that nobody knows.
    """
    for *_, address in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM):
        ip = str(address[0])
        if not _is_here(ip):
            continue
        everywhere = ["::"] if ":" in ip else ["0.0.0.0", "::"]
        for base in filter(_is_own, _bases()):
            for name in (ip, *everywhere):
                if (link := base / _address(name, port)).is_dir():
                    return ip, link.resolve()
    return None


def _bases() -> list[Path]:
    """Where the folders of this user's services are looked for. First what does not depend on the environment."""
    return [Path(root) / f"ganserve-{os.getuid()}" for root in dict.fromkeys(("/tmp", tempfile.gettempdir()))]


def _base() -> Path:
    for base in _bases():
        try:
            base.mkdir(mode=0o700)
        except FileExistsError:
            pass
        except OSError:
            continue
        if _is_own(base) and os.access(base, os.W_OK):
            return base
    # Another user has taken the names. All works but orders, which nobody finds the token for.
    return Path(tempfile.mkdtemp(prefix="ganserve-"))


def _is_own(base: Path) -> bool:
    """Whether nobody else can have put anything there."""
    try:
        status = base.lstat()
    except OSError:
        return False
    return stat.S_ISDIR(status.st_mode) and status.st_uid == os.getuid() and not status.st_mode & 0o077


def _is_here(ip: str) -> bool:
    """Whether an IP address is one of this machine."""
    if ip_address(ip.partition("%")[0]).is_loopback:
        return True
    return any(ip == one.address for ones in psutil.net_if_addrs().values() for one in ones)


def _address(ip: str, port: int) -> str:
    return f"[{ip}]:{port}" if ":" in ip else f"{ip}:{port}"


@contextmanager
def _alone(base: Path) -> Iterator[None]:
    """While no other service makes its folder, or sweeps."""
    with (base / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _hold(path: Path) -> None:
    """Until this process ends. What is locked, and all in it, systemd-tmpfiles leaves alone, however old it is."""
    for one in (path, path.parent):
        descriptor = os.open(one, os.O_RDONLY | os.O_DIRECTORY)
        fcntl.flock(descriptor, fcntl.LOCK_SH)
        _locks.append(descriptor)


def _sweep(base: Path) -> None:
    """Take away what killed services left."""
    for path in [*base.iterdir()]:
        if path.is_symlink() or not path.is_dir():
            continue
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            remove(path)
        except BlockingIOError:
            pass
        finally:
            os.close(descriptor)
    _unlink_dangling(base)


def _unlink_dangling(base: Path) -> None:
    for link in base.iterdir():
        if link.is_symlink() and not link.exists():
            link.unlink(missing_ok=True)
