"""Figures in documents: written by the program that measured them, between markers that a reader does not see."""

import io
import json
import math
import os
import platform
import re
from pathlib import Path
from typing import Any

import torch
from matplotlib.figure import Figure
from PIL import Image

from training.errors import UserError
from training.files import write_atomically


def filled(text: str, blocks: dict[str, str]) -> str:
    """The document with these blocks, each between `<!-- figures: NAME -->` and `<!-- /figures -->`.

    Raises UserError where a block has no place in the document, or more than one.
    """
    for name, block in blocks.items():
        place = re.compile(rf"(<!-- figures: {re.escape(name)} -->\n).*?(<!-- /figures -->)", re.DOTALL)
        text, places = place.subn(lambda found, block=block: f"{found[1]}\n{block}\n\n{found[2]}", text)
        if places != 1:
            raise UserError(f"the document has {places} places '<!-- figures: {name} -->'; it must have one")
    return text


def fill_document(file: Path, blocks: dict[str, str]) -> None:
    """The same in the file. Raises UserError."""
    write_atomically(file, filled(file.read_text("utf-8"), blocks).encode())


def number(value: float) -> str:
    """Four digits, enough to tell a figure from its bound: `0.00026`, `-1.386`, `∞`."""
    if math.isinf(value):
        return "∞" if value > 0 else "-∞"
    return f"{value:.4g}" if abs(value) < 1e4 else f"{value:,.0f}"


def save_json(file: Path, document: dict[str, Any]) -> None:
    """Raises UserError."""
    write_atomically(file, (json.dumps(document, indent=1, ensure_ascii=False) + "\n").encode())


def save_picture(figure: Figure, file: Path, dpi: int = 100) -> None:
    """As a PNG of 64 colours, which is half as large. Raises UserError."""
    drawn, small = io.BytesIO(), io.BytesIO()
    figure.savefig(drawn, dpi=dpi)
    Image.open(drawn).convert("RGB").quantize(64).save(small, "PNG", optimize=True)
    write_atomically(file, small.getvalue())


def machine() -> str:
    """What computed a figure: `AMD EPYC, 1 thread, torch 2.9.0`."""
    cpu = Path("/proc/cpuinfo")
    names = re.findall(r"^model name\s*: (.*)$", cpu.read_text() if cpu.exists() else "", re.MULTILINE)
    threads = torch.get_num_threads()
    return f"{names[0] if names else platform.machine()}, {threads} of {os.cpu_count()} CPU threads, torch {torch.__version__}"
