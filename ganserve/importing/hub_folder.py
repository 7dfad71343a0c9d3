"""A folder as Hugging Face's Hub has it: weights or an ONNX file, config.json, and a README with front matter."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from ganserve.importing.surgery.wishes import Fault, Refused

_WEIGHTS = ("*.safetensors", "*.pt", "*.pth", "*.bin", "*.ckpt")


@dataclass(frozen=True)
class HubFolder:
    """onnx, weights: the one file of that kind, if there is one. config: for the factory. tokenizer: its tokenizer.json. about, licence: for the card."""

    onnx: Path | None = None
    weights: Path | None = None
    config: Mapping[str, Any] = field(default_factory=dict)
    tokenizer: Path | None = None
    about: str | None = None
    licence: str | None = None


def look_into(folder: Path) -> HubFolder:
    """Raises Refused: several files could be meant, or config.json is not JSON."""
    onnx = _only([*folder.glob("*.onnx"), *folder.glob("onnx/*.onnx")])
    # Where weights come in several forms, the first form is safe to read.
    weights = next(filter(None, (_only(list(folder.glob(form))) for form in _WEIGHTS)), None)
    config: Any = {}
    if (folder / "config.json").is_file():
        try:
            config = json.loads((folder / "config.json").read_text("utf-8"))
        except ValueError as error:
            raise Refused([Fault(f"{folder / 'config.json'} is not JSON: {error}.", "Mend it.")]) from error
    front = _front_matter(folder / "README.md")
    licence = front.get("license")
    return HubFolder(
        onnx,
        weights,
        config if isinstance(config, dict) else {},
        _only([*folder.glob("tokenizer.json"), *folder.glob("tokenizer/tokenizer.json")]),
        _about(front),
        licence if isinstance(licence, str) else None,
    )


def _only(files: list[Path]) -> Path | None:
    if len(files) > 1:
        shown = ", ".join(sorted(str(file) for file in files))
        raise Refused([Fault(f"Several files could be meant: {shown}.", "Give the file itself.")])
    return files[0] if files else None


def _front_matter(readme: Path) -> dict[str, Any]:
    """Of a model card; empty where it has none."""
    text = readme.read_text("utf-8", "replace") if readme.is_file() else ""
    if not text.startswith("---"):
        return {}
    try:
        front = yaml.safe_load(text.split("\n---", 1)[0].removeprefix("---"))
    except yaml.YAMLError:  # for people; what can't be read is not stated
        return {}
    return front if isinstance(front, dict) else {}


def _about(said: Mapping[str, Any]) -> str | None:
    """What the front matter says of licence and data; None where it says nothing."""
    rows = {"Licence": said.get("license_name") or said.get("license"), "Data": said.get("datasets")}
    shown = {
        name: ", ".join(map(str, value)) if isinstance(value, list) else str(value)
        for name, value in rows.items()
        if value
    }
    return (
        "; ".join(f"{name}: {value}" for name, value in shown.items()) + ", as its README says."
        if shown
        else None
    )
