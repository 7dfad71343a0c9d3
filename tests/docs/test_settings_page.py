"""docs/settings.md has every variable that anything here reads."""

import ast
import re
from pathlib import Path

from service.settings import table

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/settings.md").read_text("utf-8")


def read_by(source: str) -> set[str]:
    """Names that a module looks up in an environment: `environ.get("X")`, `environ["X"]`, `"X" in environ`."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Call(
                func=ast.Attribute(attr="get" | "setdefault" | "pop", value=where),
                args=[ast.Constant(value=name), *_],
            ):
                names = {name}
            case ast.Subscript(value=where, slice=ast.Constant(value=name)):
                names = {name}
            case ast.Compare(
                left=ast.Constant(value=name), ops=[ast.In() | ast.NotIn()], comparators=[where]
            ):
                names = {name}
            case _:
                continue
        if ast.unparse(where).endswith("environ"):
            found |= {name for name in names if isinstance(name, str)}
    return found


def test_the_settings_table_is_that_of_the_code():
    assert table() in PAGE


def test_every_variable_that_the_code_reads_is_on_the_page():
    found = {
        name
        for package in ("service", "ganserve", "training")
        for file in (ROOT / package).rglob("*.py")
        for name in read_by(file.read_text("utf-8"))
    }
    assert {"XDG_CACHE_HOME", "CUDA_VISIBLE_DEVICES", "BENTOML_CONTAINERIZED", "GANSERVE_URL"} <= found
    assert sorted(name for name in found if f"`{name}`" not in PAGE) == []


def test_every_variable_of_make_and_of_the_compose_files_is_on_the_page():
    makefile = (ROOT / "Makefile").read_text("utf-8")
    found = set(re.findall(r"^(?:[\w-]+: )?(\w+) \?=", makefile, re.MULTILINE))
    found |= {name for name in re.findall(r"\$[({](\w+)[)}]", makefile) if name in ("BENCH", "CHAOS", "SOAK")}
    for file in (ROOT / "deploy").glob("compose*.yaml"):
        found |= set(re.findall(r"\$\{(\w+)", file.read_text("utf-8")))
    assert {"PYTHON", "HOST", "IMAGE", "BENCH", "GANSERVE_REPLICAS"} <= found
    assert sorted(name for name in found if f"`{name}`" not in PAGE) == []
