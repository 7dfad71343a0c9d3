"""Every code block of the documents, and what becomes of it: `python -m tests.docs.blocks` prints the list.

A block without a mark is run as it stands. A comment in front of it, which no reader of the page sees, says otherwise:

    <!-- run:                           it is run, with these words in the place of those
    make test => make -n test
    then: test -s grid.png              and afterwards this holds, in the block's own language
    -->
    <!-- not run: it needs a cluster    why; what is said below it is run in its place, as above
    -->
    <!-- run by: test_keys.py -->       a test that reads the page does it

A block of json or text behind one that is run is what that one prints; `...` in it stands for anything.
"""

import re
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = [
    "README.md",
    *("CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md"),
    *sorted(str(page.relative_to(ROOT)) for page in (ROOT / "docs").rglob("*.md")),
    *sorted(str(page.relative_to(ROOT)) for page in (ROOT / "deploy").rglob("*.md")),
    *sorted(str(page.relative_to(ROOT)) for page in (ROOT / "examples").glob("*.py")),
    *sorted(str(page.relative_to(ROOT)) for page in (ROOT / "models").glob("*/README.md")),
]
OF_CARDS = "run by", "test_cards.py"
"""The mark of a model card's blocks: whoever exports a model has no use for one in his own card."""
PROGRAMS = ("sh", "python")
PARSED = ("json", "toml", "yaml", "nginx")
_FENCE = re.compile(
    r"(?:^<!-- (?P<mark>run by|run|not run):(?P<said>.*?)-->\n\n?)?^```(?P<language>\w*)\n(?P<text>.*?)^```$",
    re.DOTALL | re.MULTILINE,
)


class Unmarked(Exception):
    """A block that nobody runs, and that does not say why; or a mark that says nothing."""


@dataclass
class Block:
    page: str
    line: int
    language: str
    text: str
    mark: str = ""
    """`run`, `not run`, `run by`, or nothing."""
    why: str = ""
    instead: list[tuple[str, str]] = field(default_factory=list)
    """Words of the block, and those in their place."""
    then: list[str] = field(default_factory=list)
    prints: "Block | None" = None
    """What stands behind it as what it prints."""
    is_printed: bool = False

    @property
    def where(self) -> str:
        return f"{self.page}:{self.line}"

    @property
    def fate(self) -> str:
        """`run`, `checked` (as far as it goes, and why no further), or `not run`. Raises Unmarked."""
        if self.mark in ("run", "run by") or self.is_printed:
            return "run"
        if self.mark == "not run":
            if not self.why:
                raise Unmarked(f"{self.where} does not say why it is not run")
            return "checked" if self.instead or self.then or self.language in PARSED else "not run"
        if self.language in PROGRAMS:
            return "run"
        if self.language in PARSED:
            return "checked"
        raise Unmarked(
            f"{self.where} is a block of '{self.language}', which nobody runs, and does not say why"
        )

    @property
    def script(self) -> str:
        """What is run of it."""
        text = self.text
        for old, new in self.instead:
            if old not in text:
                raise Unmarked(f"'{old}' is not in the block at {self.where}")
            text = text.replace(old, new)
        # What is not run is nothing but what stands in its place.
        if self.mark == "not run":
            text = "".join(f"{new}\n" for _, new in self.instead)
        return text + "".join(f"{line}\n" for line in self.then)


def of(page: str, text: str) -> list[Block]:
    """The blocks of a page, in its order."""
    if page.endswith(".py"):
        return _of_docstring(page, text)
    found: list[Block] = []
    end = 0
    for match in _FENCE.finditer(text):
        block = Block(
            page,
            text[: match.start("text")].count("\n"),
            match["language"],
            match["text"],
            *(
                _read_mark(*OF_CARDS)
                if page.startswith("models/")
                else _read_mark(match["mark"] or "", (match["said"] or "").strip())
            ),
        )
        # Words may stand between, but no heading.
        before = text[end : match.start()]
        if block.language in ("json", "text") and not block.mark and found and "\n#" not in before:
            found[-1].prints = block
            block.is_printed = True
        found.append(block)
        end = match.end()
    return found


def _read_mark(mark: str, said: str) -> tuple[str, str, list[tuple[str, str]], list[str]]:
    lines = [line.strip() for line in said.splitlines()]
    instead = [(old, new) for old, arrow, new in (line.partition(" => ") for line in lines) if arrow]
    then = [line.removeprefix("then: ") for line in lines if line.startswith("then: ")]
    why = [line for line in lines if " => " not in line and not line.startswith("then: ")]
    return mark, " ".join(why), instead, then


def _of_docstring(page: str, text: str) -> list[Block]:
    """The commands of a program's own docstring: lines that are set in by four."""
    docstring = re.match(r'"""(.*?)"""', text, re.DOTALL)
    lines = docstring[1].splitlines() if docstring else []
    commands = [(number, line.strip()) for number, line in enumerate(lines, 1) if line.startswith("    ")]
    # Each asks localhost:3000 unless it is told otherwise.
    return [
        Block(page, number, "sh", f"{command}\n", "run", "", [(command, f"{command} --url $URL")])
        for number, command in commands
    ]


def read(page: str) -> list[Block]:
    return of(page, (ROOT / page).read_text("utf-8"))


def every() -> list[Block]:
    return [block for page in PAGES for block in read(page)]


def main() -> None:
    found = every()
    for block in found:
        words = block.text.split("\n")[0] if block.mark == "" else f"{block.mark}: {block.why}".strip(": ")
        print(f"{block.fate:8} {block.where:34} {block.language:7} {words[:100]}")
    counts = {fate: sum(block.fate == fate for block in found) for fate in ("run", "checked", "not run")}
    print(", ".join(f"{count} {fate}" for fate, count in counts.items()))


if __name__ == "__main__":
    main()
