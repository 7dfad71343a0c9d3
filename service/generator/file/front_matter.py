"""What Hugging Face's Hub reads at the head of a model card (huggingface.co/docs/hub/model-cards)."""

import json
import re
from typing import Any

import msgspec
from msgspec import Struct

from service.generator.contract import Contract

_HEAD = re.compile(r"---\n.*?^---\n+", re.MULTILINE | re.DOTALL)
_LICENCE = re.compile(r"^license: \W?([\w.-]+)\W?$", re.MULTILINE)


def front_matter(contract: Contract, licence: str | None) -> str:
    """Licence, tags and what was measured, between lines of dashes; each value as JSON, which YAML reads.

    licence: as the Hub names it, as `cc-by-4.0`.
    """
    kind = "unconditional-image-generation" if contract.source is None else "image-to-image"
    kind = kind if contract.text is None else "text-to-image"
    said: dict[str, Any] = {
        "license": licence or "unknown",
        "library_name": "ganserve",
        "pipeline_tag": kind,
        "tags": ["ganserve", "onnx", "image-generation", *["class-conditional"] * bool(contract.classes)],
    }
    if dataset := contract.training.get("dataset"):
        said["datasets"] = [str(dataset)]
    if metrics := _metrics(contract.quality):
        task = {"type": kind}
        of = {"type": str(dataset or "unknown"), "name": str(dataset or "unknown")}
        said["model-index"] = [
            {"name": contract.name, "results": [{"task": task, "dataset": of, "metrics": metrics}]}
        ]
    lines = [f"{name}: {json.dumps(value, ensure_ascii=False)}" for name, value in said.items()]
    return "---\n" + "\n".join(lines) + "\n---\n\n"


def with_front_matter(card: str, contract: Contract, licence: str | None) -> str:
    """The card with this head in the place of its own, if it has one; a licence that its own states stays."""
    own = _HEAD.match(card)
    stated = _LICENCE.search(own[0]) if own else None
    body = card[own.end() :] if own else card
    return front_matter(contract, stated[1] if stated and stated[1] != "unknown" else licence) + body


class _Figure(Struct):
    value: float


class _Verdict(Struct):
    judge: dict[str, Any]
    figures: dict[str, _Figure]


def _metrics(quality: dict[str, Any]) -> list[dict[str, Any]]:
    """A figure each, as every judge found it; what is of another's making has none."""
    try:
        verdicts = msgspec.convert(quality.get("verdicts", []), list[_Verdict])
    except msgspec.ValidationError:
        return []
    return [
        {
            "type": name,
            "value": round(figure.value, 4),
            "name": f"{name}, judge {verdict.judge.get('architecture')}",
        }
        for verdict in verdicts
        for name, figure in verdict.figures.items()
    ]
