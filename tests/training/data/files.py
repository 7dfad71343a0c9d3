"""Data sets of every layout that people have, small, as their makers write them."""

import csv
import gzip
import io
import json
import pickle
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
from PIL import Image

from tests.training.tiny import stripes

IMAGES, LABELS = stripes(24, 32, 3, 3)
NAMES = ("bird", "cat", "dog")


def png(index: int) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(IMAGES[index]).save(buffer, "PNG")
    return buffer.getvalue()


def tree(suffix: str = ".png") -> dict[str, bytes]:
    return {f"{NAMES[label]}/{i:03}{suffix}": png(i) for i, label in enumerate(LABELS)}


def in_folder(path: Path, files: dict[str, bytes]) -> Path:
    for name, content in files.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(content)
    return path


def in_zip(path: Path, files: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return path


def in_tar(path: Path, files: dict[str, bytes]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w:gz" if path.suffix == ".gz" else "w") as archive:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return path


def stylegan(labels: bool = True) -> dict[str, bytes]:
    names = [f"{i // 10:05}/img{i:08}.png" for i in range(len(LABELS))]
    rows = [[name, int(label)] for name, label in zip(names, LABELS, strict=True)]
    document = json.dumps({"labels": rows if labels else None}).encode()
    return {name: png(i) for i, name in enumerate(names)} | {"dataset.json": document}


def samples(start: int, stop: int) -> dict[str, bytes]:
    """WebDataset's."""
    return {
        f"{i:06}.{kind}": content
        for i in range(start, stop)
        for kind, content in (("png", png(i)), ("cls", b"%d" % LABELS[i]))
    }


def shards(path: Path) -> Path:
    in_tar(path / "set-train-000000.tar", samples(0, 9))
    in_tar(path / "set-train-000001.tar", samples(9, 18))
    in_tar(path / "set-test-000000.tar", samples(18, 24))
    return path


def table(path: Path) -> Path:
    text = io.StringIO()
    rows = csv.writer(text)
    rows.writerow(["id", "breed"])
    rows.writerows([f"{i:03}", NAMES[label]] for i, label in enumerate(LABELS))
    files = {f"{i:03}.png": png(i) for i in range(len(LABELS))}
    return in_folder(path, files | {"labels.csv": text.getvalue().encode()})


def idx(path: Path, form: str, labels: np.ndarray = LABELS, packed: bool = False) -> Path:
    """form: of a file's name, `emnist-letters-{split}-{part}-idx{dimensions}-ubyte`."""
    path.mkdir()
    for split, names in (("train", slice(0, 18)), ("test", slice(18, 24))):
        for part, array in (("images", IMAGES[names, 2:30, 2:30, 0]), ("labels", labels[names])):
            head = bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">u4").tobytes()
            name = form.format(split=split, part=part, dimensions=array.ndim)
            content = head + array.astype(np.uint8).tobytes()
            (path / (name + ".gz" * packed)).write_bytes(gzip.compress(content) if packed else content)
    return path


def cifar_pickles(path: Path) -> Path:
    path.mkdir()
    flat = IMAGES.transpose(0, 3, 1, 2).reshape(24, -1)
    for i in range(5):
        write_pickle(path / f"data_batch_{i + 1}", flat[i * 4 : i * 4 + 4], LABELS[i * 4 : i * 4 + 4])
    write_pickle(path / "test_batch", flat[20:], LABELS[20:])
    names = {b"label_names": [name.encode() for name in NAMES], b"num_vis": 3072}
    (path / "batches.meta").write_bytes(pickle.dumps(names, 2))
    return path


def write_pickle(path: Path, images: np.ndarray, labels: np.ndarray) -> None:
    batch = {b"data": images, b"labels": labels.tolist(), b"batch_label": b"a batch"}
    path.write_bytes(pickle.dumps(batch, 2))


def cifar_binaries(path: Path) -> Path:
    path.mkdir()
    rows = np.concatenate([LABELS[:, None], IMAGES.transpose(0, 3, 1, 2).reshape(24, -1)], axis=1)
    for i in range(5):
        (path / f"data_batch_{i + 1}.bin").write_bytes(rows[i * 4 : i * 4 + 4].tobytes())
    (path / "test_batch.bin").write_bytes(rows[20:].tobytes())
    (path / "batches.meta.txt").write_text("\n".join(NAMES) + "\n\n")
    return path


def parquet(path: Path, pyarrow: ModuleType, write: Callable[..., None]) -> Path:
    """As `datasets` writes it: `Image` and `ClassLabel` in the schema's metadata."""
    path.mkdir()
    features = {"image": {"_type": "Image"}, "label": {"names": list(NAMES), "_type": "ClassLabel"}}
    metadata = {b"huggingface": json.dumps({"info": {"features": features}}).encode()}
    for split, rows in (("train", range(18)), ("test", range(18, 24))):
        cells = [{"bytes": png(i), "path": f"{i}.png"} for i in rows]
        columns = pyarrow.table({"image": cells, "label": [int(LABELS[i]) for i in rows]})
        write(columns.replace_schema_metadata(metadata), path / f"{split}-00000-of-00001.parquet")
    return path
