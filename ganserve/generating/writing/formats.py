"""The formats of a set, as loaders read them. Encoding happens on many threads, writing on one, in the order of the seeds.

The same plan gives the same bytes: nothing has a date, and no entry depends on when it was made.
"""

import hashlib
import io
import os
import tarfile
import zipfile
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ganserve.generating.plan import Block, Origin, Refused, Shard

EPOCH = (1980, 1, 1, 0, 0, 0)  # ZIP's own


class Drawn(Protocol):
    """The pictures of a block; whoever needs pixels or PNGs asks for them, and only then are they made."""

    @property
    def block(self) -> Block: ...

    def pixels(self) -> NDArray[np.uint8]:
        """uint8 [N, H, W, C]."""
        ...

    def pngs(self) -> list[bytes]: ...


class Writer(Protocol):
    """One shard that is being written."""

    def add(self, encoded: Any) -> None: ...

    def close(self) -> dict[str, Any]:
        """It is whole, and has its name from now on. Returns what the manifest says of it."""
        ...

    def abandon(self) -> None: ...


class Format(Protocol):
    name: str
    root: Path
    """What the files' names in the manifest are relative to."""

    def encode(self, drawn: Drawn) -> Any:
        """On any thread."""
        ...

    def begin(self, shard: Shard) -> Writer: ...

    def pictures(self, entry: dict[str, Any], seeds: Sequence[int]) -> dict[int, NDArray[np.uint8]]:
        """Of a shard that is whole: uint8 [H, W, C] by seed. Raises Refused, OSError."""
        ...


class HashedFile(io.RawIOBase):
    """A file that is written from its beginning to its end, and hashed meanwhile; it has its name once it is whole."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._part = path.with_name(f".{path.name}.part")
        self._file = self._part.open("wb")
        self._hash = hashlib.sha256()
        self._bytes = 0

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        with memoryview(data) as view:
            flat = view.cast("B") if view.nbytes else view
            self._hash.update(flat)
            self._file.write(flat)
            self._bytes += view.nbytes
            return view.nbytes

    def tell(self) -> int:
        return self._bytes

    def keep(self, root: Path, shard: Shard) -> dict[str, Any]:
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
        self._part.replace(self.path)
        return entry_of(str(self.path.relative_to(root)), shard, self._bytes, self._hash.hexdigest())

    def abandon(self) -> None:
        with suppress(OSError):  # what it still had to write finds the disk as full as before
            self._file.close()
        self._part.unlink(missing_ok=True)


def entry_of(file: str, shard: Shard, size: int, sha256: str) -> dict[str, Any]:
    """A shard, as the manifest has it."""
    seeds = [shard.seeds[0], shard.seeds[-1]]
    return {"file": file, "seeds": seeds, "images": len(shard.seeds), "bytes": size, "sha256": sha256}


def shard_path(out: Path, number: int, count: int) -> Path:
    """`set.tar`, or of several `set-00000-of-00012.tar`, as the Hub and WebDataset number them."""
    return out if count == 1 else out.with_name(f"{out.stem}-{number:05}-of-{count:05}{out.suffix}")


class Tar:
    """WebDataset: of each image `SEED.png`; in a conditional model `SEED.cls`, the index of its class; and `SEED.txt`, where it has a text."""

    name = "tar"

    def __init__(self, out: Path, shards: int) -> None:
        self.root = out.parent
        self._out, self._count = out, shards

    def encode(self, drawn: Drawn) -> bytes:
        block, parts = drawn.block, []
        for i, png in enumerate(drawn.pngs()):
            parts += _member(f"{block.seeds[i]:016}.png", png)
            if block.labels is not None:
                parts += _member(f"{block.seeds[i]:016}.cls", b"%d" % block.labels[i])
            if block.texts is not None:
                parts += _member(f"{block.seeds[i]:016}.txt", block.texts[i].encode())
        return b"".join(parts)

    def begin(self, shard: Shard) -> "_TarWriter":
        return _TarWriter(self.root, shard, shard_path(self._out, shard.number, self._count))

    def pictures(self, entry: dict[str, Any], seeds: Sequence[int]) -> dict[int, NDArray[np.uint8]]:
        wanted = {f"{seed:016}.png": seed for seed in seeds}
        found = {}
        with tarfile.open(self.root / entry["file"]) as archive:
            for member in archive:
                if member.name in wanted and (content := archive.extractfile(member)):
                    found[wanted[member.name]] = decoded(content.read())
        return found


class _TarWriter:
    def __init__(self, root: Path, shard: Shard, path: Path) -> None:
        self._root, self._shard, self._file = root, shard, HashedFile(path)

    def add(self, encoded: bytes) -> None:
        self._file.write(encoded)

    def close(self) -> dict[str, Any]:
        self._file.write(bytes(-self._file.tell() % tarfile.RECORDSIZE or tarfile.RECORDSIZE))
        return self._file.keep(self._root, self._shard)

    def abandon(self) -> None:
        self._file.abandon()


def _member(name: str, content: bytes) -> tuple[bytes, bytes, bytes]:
    # tarfile puts a head together in 20 microseconds, a seventh of what a small generator takes for the picture.
    named, size = name.encode("ascii"), b"%011o" % len(content)
    checksum = b"%06o" % (_SUM + sum(named) + sum(size))
    head = b"".join((named.ljust(100, b"\0"), _MODE, size, _TIME, checksum, _KIND))
    return head, content, bytes(-len(content) % tarfile.BLOCKSIZE)


_HEAD = tarfile.TarInfo("").tobuf(tarfile.USTAR_FORMAT)[: tarfile.BLOCKSIZE]
_MODE, _TIME, _KIND = _HEAD[100:124], _HEAD[135:148], _HEAD[154:]
_SUM = sum(_MODE) + sum(_TIME) + sum(_KIND[2:]) + 8 * ord(" ")
"""Of a head without name and size; the checksum counts as eight blanks."""


class Npz:
    """NumPy's: images uint8 [N, H, W, C], labels int64 [N] in a conditional model, texts [N] where there are some, seeds int64 [N]; not compressed."""

    name = "npz"

    def __init__(self, out: Path, shards: int, origin: Origin) -> None:
        self.root = out.parent
        self._out, self._count, self._origin = out, shards, origin

    def encode(self, drawn: Drawn) -> tuple[NDArray[np.uint8], list[int] | None, list[str] | None]:
        return np.ascontiguousarray(drawn.pixels()), drawn.block.labels, drawn.block.texts

    def begin(self, shard: Shard) -> "_NpzWriter":
        path = shard_path(self._out, shard.number, self._count)
        return _NpzWriter(self.root, shard, path, self._origin.image)

    def pictures(self, entry: dict[str, Any], seeds: Sequence[int]) -> dict[int, NDArray[np.uint8]]:
        with np.load(self.root / entry["file"], allow_pickle=False) as arrays:
            images, first = arrays["images"], entry["seeds"][0]
            return {seed: images[seed - first] for seed in seeds}


class _NpzWriter:
    def __init__(self, root: Path, shard: Shard, path: Path, image: tuple[int, int, int]) -> None:
        self._root, self._shard, self._file = root, shard, HashedFile(path)
        self._zip = zipfile.ZipFile(self._file, "w")
        channels, height, width = image
        self._images = self._zip.open(zipfile.ZipInfo("images.npy", EPOCH), "w", force_zip64=True)
        head = {"descr": "|u1", "fortran_order": False, "shape": (len(shard.seeds), height, width, channels)}
        np.lib.format.write_array_header_1_0(self._images, head)
        self._labels: list[int] = []
        self._texts: list[str] = []

    def add(self, encoded: tuple[NDArray[np.uint8], list[int] | None, list[str] | None]) -> None:
        images, labels, texts = encoded
        self._images.write(images.data)
        self._labels += labels or []
        self._texts += texts or []

    def close(self) -> dict[str, Any]:
        self._images.close()
        arrays = {"labels": np.array(self._labels, np.int64)} if self._labels else {}
        arrays |= {"texts": np.array(self._texts)} if self._texts else {}
        for name, array in (arrays | {"seeds": np.array(self._shard.seeds, np.int64)}).items():
            content = io.BytesIO()
            np.save(content, array, allow_pickle=False)
            self._zip.writestr(zipfile.ZipInfo(f"{name}.npy", EPOCH), content.getvalue())
        self._zip.close()
        return self._file.keep(self._root, self._shard)

    def abandon(self) -> None:
        self._file.abandon()  # first, so that what the archive still writes when it is let go has no effect
        self._zip.fp = None


def decoded(png: bytes) -> NDArray[np.uint8]:
    """uint8 [H, W, C]. Raises Refused."""
    from PIL import Image

    try:
        with Image.open(io.BytesIO(png)) as image:
            pixels = np.asarray(image if image.mode in ("L", "RGBA") else image.convert("RGB"))
    except (OSError, ValueError) as error:
        raise Refused(f"A picture can't be read: {error}.") from None
    return np.atleast_3d(pixels)
