"""Every relative link and anchor of the documents leads somewhere."""

import re
from pathlib import Path
from urllib.parse import unquote

import pytest

ROOT = Path(__file__).parents[2]
# What git keeps, and no environment's own documents.
DOCUMENTS = sorted(
    {
        *ROOT.glob("*.md"),
        *(ROOT / "docs").rglob("*.md"),
        *(ROOT / "deploy").rglob("*.md"),
        *(ROOT / "models").glob("*/README.md"),
        *(ROOT / "benchmarks/results").glob("*.md"),
    }
)


def prose(text: str) -> str:
    """Without programs and code, in which brackets are none of Markdown's."""
    text = re.sub(r"^ *```.*?^ *```", "", text, flags=re.DOTALL | re.MULTILINE)
    return re.sub(r"(`+)[^`].*?\1(?!`)", lambda code: "" if "](" in code[0] else code[0], text)


def links(text: str) -> list[str]:
    return re.findall(r"\]\(([^)\s]+)\)", prose(text))


def anchors(text: str) -> set[str]:
    """Of a page's headings, as GitHub makes them."""
    found: set[str] = set()
    for heading in re.findall(r"^#{1,6} +(.*?) *#*$", prose(text), re.MULTILINE):
        shown = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", heading).replace("`", "").replace("*", "")
        slug = re.sub(r"[^\w\- ]", "", shown.lower()).replace(" ", "-")
        number = 0
        while (name := slug if number == 0 else f"{slug}-{number}") in found:
            number += 1
        found.add(name)
    return found


def leads_nowhere(document: Path, link: str) -> bool:
    file, _, anchor = unquote(link).partition("#")
    target = document if not file else (document.parent / file).resolve()
    if not target.exists() or not target.is_relative_to(ROOT):
        return True
    return bool(anchor) and (target.suffix != ".md" or anchor not in anchors(target.read_text("utf-8")))


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda document: str(document.relative_to(ROOT)))
def test_every_link_of_a_document_leads_somewhere(document):
    relative = [
        link for link in links(document.read_text("utf-8")) if not re.match(r"[a-z]+:", link, re.IGNORECASE)
    ]
    assert [link for link in relative if leads_nowhere(document, link)] == []


def test_links_and_anchors_are_read_as_github_reads_them():
    text = "# A `b` *c*: d's\n\n## A\n\n## A\n\n```\n[x](no)\n# none\n```\n\n[one](x.md#a) `[two](y)` ![three](z.png)\n"
    assert anchors(text) == {"a-b-c-ds", "a", "a-1"}
    assert links(text) == ["x.md#a", "z.png"]


def test_the_index_names_every_page():
    index = ROOT / "docs/README.md"
    named = {(index.parent / link.partition("#")[0]).resolve() for link in links(index.read_text("utf-8"))}
    pages = {page for page in (ROOT / "docs").rglob("*.md") if page != index}
    assert pages - named == set()


def test_pages_that_the_code_names_exist():
    named = {
        (file.relative_to(ROOT), page)
        for folder in ("service", "training", "ganserve", "benchmarks", "deploy", "tests")
        for file in (ROOT / folder).rglob("*")
        if file.suffix in (".py", ".yml", ".yaml", ".conf", ".json", ".j2")
        and file != Path(__file__)
        and not any(part.startswith(".") for part in file.relative_to(ROOT).parts)
        for page in re.findall(r"\bdocs/[\w/.-]+\.(?:md|json|png|svg)\b", file.read_text("utf-8"))
    }
    assert len(named) > 10
    assert [(str(file), page) for file, page in sorted(named) if not (ROOT / page).exists()] == []
