"""Every code block of the documents does what its page says, in the order of the page."""

import re
import sys
from collections import Counter
from functools import cache
from importlib.metadata import distribution

import numpy as np
import pytest
from packaging.requirements import Requirement

from tests.docs import blocks
from tests.docs.blocks import ROOT, Block, Unmarked
from tests.docs.reading import Reader, copy
from tests.system.serving import serving
from tests.training.tiny import write_folder

WITH_BLOCKS = [page for page in blocks.PAGES if blocks.read(page)]


@pytest.fixture(scope="module")
def reader(tmp_path_factory):
    """One service of the shipped models for all pages, started as the README says."""
    folder = tmp_path_factory.mktemp("reader")
    clone = copy(folder)
    write_folder(clone / "my-images", count=480)
    # What `kubectl exec` and `docker exec` find in the image.
    (folder / "bento").mkdir()
    (folder / "bento/src").symlink_to(clone)
    start = ["make", "serve", "PORT={port}"]
    with serving(
        folder / "home",
        folder=clone,
        arguments=start,
        engine="onnxruntime",
        variables={"PYTHONPATH": str(clone)},
    ) as service:
        yield Reader(clone, service)


@pytest.mark.parametrize("page", WITH_BLOCKS)
def test_every_block_of_a_page_does_what_the_page_says(page, reader):
    for block in blocks.read(page):
        if block.mark != "run by":
            reader.do(block)


def test_the_clients_of_four_protocols_give_the_same_sneakers(reader):
    pictures = [
        np.load(reader.array(block))
        for block in blocks.read("docs/clients.md")
        if re.search(r"Sneaker|four sneakers|np.full\(4, 7\)", block.text) and reader.array(block).exists()
    ]
    assert len(pictures) == 4
    assert {picture.size for picture in pictures} == {4 * 28 * 28}
    assert len({picture.tobytes() for picture in pictures}) == 1


@pytest.mark.parametrize(
    "block", [one for one in blocks.every() if one.mark == "run by"], ids=lambda one: one.where
)
def test_who_is_said_to_run_a_block_knows_it(block):
    """A test names the page; another page has the same lines."""
    if block.why.endswith(".md"):
        lines = {line for one in blocks.read(block.why) if one.mark != "run by" for line in commands(one)}
        known = [re.sub(r"(\.venv-dev/bin/)", "", line) for line in commands(block)]
        assert [line for line in known if line not in lines] == []
    else:
        page = block.page.rpartition("/")[2]
        assert any(page in test.read_text("utf-8") for test in (ROOT / "tests").rglob(block.why))


def commands(block: Block) -> list[str]:
    return [line.partition("#")[0].rstrip() for line in block.text.splitlines()]


def test_every_block_has_its_language_and_says_why_if_nobody_runs_it():
    fates = Counter(block.fate for block in blocks.every())
    assert fates["run"] > 20
    assert [block.where for block in blocks.every() if not block.language] == []


@pytest.mark.parametrize(
    "text",
    [
        "```\nmake serve\n```\n",
        "<!-- not run: -->\n```sh\nmake\n```\n",
        "# A\n```sh\n:\n```\n# B\n```text\nx\n```\n",
    ],
    ids=["no language", "no reason", "text that nothing printed"],
)
def test_a_block_that_nobody_runs_and_that_does_not_say_why_is_found(text):
    with pytest.raises(Unmarked):
        assert [block.fate for block in blocks.of("page.md", text)]


@cache
def installed_with(requirement: str) -> frozenset[str]:
    """What pip brings for that, by name."""
    found: set[str] = set()
    todo = [Requirement(requirement)]
    while todo:
        wanted = todo.pop()
        name, extras = wanted.name.lower().replace("_", "-"), ("", *wanted.extras)
        if name in found:
            continue
        found.add(name)
        try:
            needs = map(Requirement, distribution(name).requires or [])
        except ModuleNotFoundError:
            continue
        todo += [
            one
            for one in needs
            if one.marker is None or any(one.marker.evaluate({"extra": extra}) for extra in extras)
        ]
    return frozenset(found)


def test_a_page_says_how_to_install_what_its_programs_import():
    for page in WITH_BLOCKS:
        text = (ROOT / page).read_text("utf-8")
        told = ["ganserve[serve]", *re.findall(r"pip install '?([\w.\[\]-]+)", text)]
        installed = {name for requirement in told for name in installed_with(requirement)}
        for block in blocks.read(page):
            if block.language != "python":
                continue
            for module in re.findall(
                r"^(?:from|import) (.+?)(?: import .*| as .*)?$", block.text, re.MULTILINE
            ):
                for name in module.split(", "):
                    top = name.partition(".")[0]
                    if top not in sys.stdlib_module_names:
                        assert top.replace("_", "-") in installed, (
                            f"{block.where} imports {top}, which the page installs nowhere"
                        )
