"""Where the figures of the documents' prose come from, said beside them where no reader of the page sees it:

    <!-- figures of benchmarks/results/NAME.md
    4,294 = n=1 png, 64 conn. | ganserve 2 workers | images/s
    1.20 = n=1 png, 64 conn. | ganserve 2 workers | images/s over n=1 png, 64 conn. | mosec 2 workers | images/s
    1.35: by hand, with wrk
    -->

Cells of a row, and a column of its table; of a .json file its keys. `#2`: the second number of the cell. `this page` is a file,
too. What comes from no file says what it is.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.docs.blocks import ROOT

_NUMBER = r"-?\d[\d,]*(?:\.\d+)?"
_MARK = re.compile(r"<!-- figures of (.+?)\n(.*?)-->", re.DOTALL)


@dataclass(frozen=True)
class Claim:
    figure: str
    """As the prose has it."""
    source: str
    """A file of the repository."""
    address: str
    """In it; empty for what comes from no file."""
    before: str
    """The section up to the claim."""


def claims(page: str) -> Iterator[Claim]:
    text = (ROOT / page).read_text("utf-8")
    for mark in _MARK.finditer(text):
        source = page if mark[1] == "this page" else mark[1]
        before = without_marks(text[: mark.start()]).rpartition("\n#")[2]
        for line in mark[2].splitlines():
            figure, equals, address = line.partition(" = ")
            if not equals:
                figure, _, what = line.partition(": ")
                assert what, f"{page}: '{line}' says neither an address nor what the figure is"
            yield Claim(figure, source, address, before)


def without_marks(text: str) -> str:
    return re.sub(r"<!--.*?-->", "", text, flags=re.DOTALL)


def of(source: str, address: str) -> float:
    """The number, or quotient of numbers, that is there. Raises LookupError."""
    dividend, over, divisor = address.partition(" over ")
    return _one(source, dividend) / _one(source, divisor) if over else _one(source, dividend)


def _one(source: str, address: str) -> float:
    address, _, which = address.partition(" #")
    path = [part.strip() for part in address.split(" | ")]
    if source.endswith(".json"):
        found = json.loads((ROOT / source).read_text("utf-8"))
        for key in path:
            found = found[int(key) if isinstance(found, list) else key]
        cell = str(found)
    else:
        cell = _cell(ROOT / source, path[:-1], path[-1])
    return float(re.findall(_NUMBER, cell)[int(which or 1) - 1].replace(",", ""))


def _cell(file: Path, row: list[str], column: str) -> str:
    head: list[str] = []
    for line in file.read_text("utf-8").splitlines():
        if not line.startswith("|"):
            head = []
            continue
        cells = [re.sub(r"[`*]", "", cell).strip() for cell in line.strip("|").split(" | ")]
        head = head or cells
        if set(row) <= set(cells) and (
            columns := [i for i, name in enumerate(head) if name.startswith(column)]
        ):
            return cells[columns[0]]
    raise LookupError(f"{file} has no row of {row} with a column '{column}'")


def is_rounded(figure: str, number: float) -> bool:
    """Whether the prose's figure is that number, to as many digits as it gives."""
    digits = len(figure.partition(".")[2])
    return abs(float(figure.replace(",", "")) - number) <= 0.5000001 * 10**-digits


def prose(page: str) -> str:
    """Without programs, tables, code, addresses, and what a program wrote between marks."""
    text = (ROOT / page).read_text("utf-8")
    for other in (
        r"(?ms)^ *```.*?^ *```",
        r"(?s)<!-- figures: .*?<!-- /figures -->",
        r"(?s)<!--.*?-->",
        r"(?m)^\|.*$",
        r"`[^`]*`",
        r"\]\([^)]*\)",
    ):
        text = re.sub(other, "", text)
    return text


def measured(text: str) -> list[str]:
    """Numbers that somebody measured, by their looks: with a point, or in thousands."""
    text = re.sub(r"(Python|arXiv) \d+\.\d+", "", text)
    return re.findall(r"(?<![\w.:-])\d+\.\d+(?![\w.]*\d)|(?<![\w.])\d{1,3}(?:,\d{3})+", text)
