"""A file that is no ONNX: what it is instead, by its name or by how it begins, and the way from there."""

import io
import re
import zipfile
from pathlib import Path

from ganserve.importing.surgery.wishes import Fault
from service.generator.file.reading import is_pointer

_TORCH = {".pt", ".pth", ".ckpt", ".safetensors", ".bin", ".pkl"}
_KERAS = {".h5", ".hdf5", ".keras", ".tflite", ".pb"}
_TORCH_BEGINS = re.compile(rb"PK\x03\x04|\x80[\x02-\x05]|.{8}\{\s*\"", re.DOTALL)
_KERAS_BEGINS = re.compile(rb"\x89HDF|.{4}TFL3", re.DOTALL)
_PACKED = (b"\x1f\x8b", b"BZh", b"\xfd7zXZ", b"7z\xbc\xaf", b"Rar!", b"\x28\xb5\x2f\xfd")
_TAR, _TAR_AT = b"ustar", 257


def by_name(path: Path) -> Fault | None:
    """Without a look into it, which may be gigabytes; None where the name says nothing."""
    if path.suffix.lower() in _TORCH:
        return _torch(path)
    return _keras(path) if path.suffix.lower() in _KERAS else None


def by_content(path: Path, content: bytes, error: Exception) -> Fault:
    """error: what protobuf said of it."""
    name = path.name
    if is_pointer(content):
        return Fault(
            f"{name} is a pointer of Git LFS, not the file.", "`git lfs pull`, in its clone, gets it."
        )
    if content.startswith(b"PK") and (found := _zip(path, content)):
        return found
    if content.startswith(_PACKED) or content[_TAR_AT:].startswith(_TAR):
        return Fault(f"{name} is packed.", "Unpack it, and give the file or folder that is in it.")
    if content[4:].startswith(b"ORTM"):
        return Fault(f"{name} is in ONNX Runtime's own format.", "Give the .onnx file that it was made of.")
    if (text := content[:1000].lstrip().lower()).startswith(b"<"):
        if b"<net" in text:
            return Fault(f"{name} is in OpenVINO's format.", "Give the .onnx file that it was made of.")
        return Fault(f"{name} is a web page.", "Download the file itself: what a page about it links to.")
    if _KERAS_BEGINS.match(content):
        return _keras(path)
    if _TORCH_BEGINS.match(content):
        return _torch(path)
    mend = "Give a .onnx file. If it is one, it was cut short: copy it again."
    return Fault(f"{name} is not an ONNX file: {error}.", mend)


def in_folder(folder: Path) -> Fault:
    """Of a folder without an ONNX file."""
    if (folder / "saved_model.pb").is_file():
        return Fault(
            f"{folder} is a SavedModel of TensorFlow.", _converted("saved-model", folder, folder.name)
        )
    keras = sorted(file for file in folder.iterdir() if file.suffix.lower() in _KERAS)
    if keras:
        return Fault(f"{folder} holds no ONNX file.", _converted("keras", keras[0], keras[0].stem))
    held = ", ".join(sorted(file.name for file in folder.iterdir())[:8]) or "nothing"
    return Fault(
        f"{folder} holds no ONNX file, but {held}.",
        "--torch package.module:factory makes one of weights; else give the folder of the .onnx file",
    )


def _zip(path: Path, content: bytes) -> Fault | None:
    try:
        names = zipfile.ZipFile(io.BytesIO(content)).namelist()
    except (zipfile.BadZipFile, ValueError, OSError):
        return None
    if any(name.endswith("/data.pkl") for name in names):
        return _torch(path)
    if any(name.endswith(".weights.h5") for name in names):
        return _keras(path)
    inside = [name for name in names if name.endswith(".onnx")]
    held = f", of {inside[0]}" if inside else ""
    return Fault(
        f"{path.name} is a zip archive{held}.", "Unpack it, and give the file or folder that is in it."
    )


def _torch(path: Path) -> Fault:
    return Fault(f"{path.name} is not ONNX.", f"--torch package.module:factory --weights {path}")


def _keras(path: Path) -> Fault:
    return Fault(f"{path.name} is not ONNX.", _converted("keras", path, path.stem))


def _converted(kind: str, path: Path, stem: str) -> str:
    output = path.parent / f"{stem}.onnx"
    return f"python -m tf2onnx.convert --{kind} {path} --output {output} (pip install tf2onnx)"
