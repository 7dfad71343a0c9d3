"""What the documents name exists, and what exists and clients or operators meet has its place in the documents."""

import importlib.util
import re
from dataclasses import fields

import pytest
from prometheus_client.metrics import MetricWrapperBase

from service import metrics
from service.errors import GanserveError, RequestError, ServiceError
from service.keys import Entry
from service.settings import PREFIX, Settings
from service.web.routes import ROUTES, STATIC
from tests.docs.blocks import PAGES, ROOT, of

TEXTS = {page: (ROOT / page).read_text("utf-8") for page in PAGES if page.endswith(".md")}
CLIENTS = TEXTS["docs/clients.md"]
SETTINGS = TEXTS["docs/settings.md"]
# The changelog tells of what was, too.
TODAY = {page: text for page, text in TEXTS.items() if page != "CHANGELOG.md"}
OTHERS = {"internal_error"}  # of a mistake of ours, which no route means to answer


def code(text: str) -> list[str]:
    """What stands in backticks, and each line of the blocks."""
    blocks = [line for block in of("page.md", text) for line in block.text.splitlines()]
    inline = re.sub(r"(?ms)^ *```.*?^ *```|<!--.*?-->", "", text)
    return [*re.findall(r"`([^`\n]+)`", inline), *blocks]


def rows(text: str, heading: str) -> list[list[str]]:
    """Cells of the table under a heading, without its head."""
    section = text.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    lines = [line for line in section.splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines][2:]


def errors(of: type[GanserveError]) -> set[tuple[str, str]]:
    """Status and code of all errors that a reply can have."""
    found = {(str(of.status), of.code)} if issubclass(of, RequestError | ServiceError) else set()
    return found.union(*map(errors, of.__subclasses__()))


def test_every_error_has_its_row_and_every_row_its_error():
    table = {(status, name.strip("`")) for status, name, *_ in rows(CLIENTS, "Every error")}
    assert {error for error in errors(GanserveError) if error[1] not in OTHERS} | {
        ("503", "no_replica")
    } == table


def test_every_route_has_its_row_and_every_row_its_route():
    table = {tuple(cell.strip("`").split(" ")) for cell, *_ in rows(CLIENTS, "Every route")}
    assert {(route.method, route.path) for route in ROUTES} == table


@pytest.mark.parametrize("page", TODAY)
def test_a_path_that_a_page_names_is_one_of_a_route(page):
    """Exactly, as a part of it that is all of a folder (`/v1/admin/`), or with `...` or `*` for what follows."""
    patterns = [re.escape(re.sub(r"\{\w+\}", "\0", route.path)).replace("\0", "[^/]+") for route in ROUTES]
    patterns += [re.escape(STATIC)]
    known = [route.path for route in ROUTES]

    def exists(path: str) -> bool:
        path = path.partition("?")[0].partition("#")[0]
        if any(re.fullmatch(pattern, path) for pattern in patterns):
            return True
        start = re.split(r"\.\.\.|\*", path)[0].rstrip("/")
        return any(one == start or one.startswith(f"{start}/") for one in known)

    paths = {
        match[1]
        for piece in code(TEXTS[page])
        for match in re.finditer(
            r"(?:^|(?<=POST )|(?<=GET )|(?<=:3000))(/(?:v1|v2|sample|livez|readyz|healthz|metrics|docs|openapi|schema)[^\s'\"`]*)",
            piece,
        )
    }
    assert sorted(path for path in paths if not exists(path)) == []


@pytest.mark.parametrize("page", TODAY)
def test_a_metric_that_a_page_names_exists(page):
    families = [f for m in vars(metrics).values() if isinstance(m, MetricWrapperBase) for f in m.describe()]
    exposed = {
        family.name + end for family in families for end in ("", "_total", "_bucket", "_sum", "_count")
    }
    # nginx' cache has such a name, too; `version_*` stands for several.
    zones = set(re.findall(r"keys_zone=(\w+)", (ROOT / "deploy/nginx/ganserve.conf").read_text()))
    named = {name for piece in code(TEXTS[page]) for name in re.findall(r"\bganserve_[a-z_]+\b", piece)}
    assert sorted(named - exposed - zones) == []


@pytest.mark.parametrize("page", TODAY)
def test_a_variable_that_a_page_names_has_its_row(page):
    named = set(re.findall(r"\bGANSERVE_[A-Z_]+[A-Z]\b", TEXTS[page]))
    assert sorted(name for name in named if f"`{name}`" not in SETTINGS) == []
    assert {PREFIX + setting.name.upper() for setting in fields(Settings)} <= set(
        re.findall(r"`(\w+)`", SETTINGS)
    )


@pytest.mark.parametrize("page", TODAY)
def test_a_program_a_target_and_a_file_that_a_page_names_exist(page):
    pieces = code(TEXTS[page])
    ours = ("service", "training", "ganserve", "benchmarks", "tests")
    modules = {name for piece in pieces for name in re.findall(r"python -m ([\w.]+)", piece)}
    assert (
        sorted(name for name in modules if name.startswith(ours) and not importlib.util.find_spec(name)) == []
    )
    targets = set(re.findall(r"^([\w-]+):(?! *\w+ [?:]?=)", (ROOT / "Makefile").read_text(), re.MULTILINE))
    targets |= set(re.findall(r"^([\w-]+) [\w-]+: \.venv", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = {name for piece in pieces for name in re.findall(r"^make ([a-z][\w-]*)", piece)}
    assert sorted(named - targets - {"image-cuda"}) == []
    folders = "service|training|ganserve|benchmarks|tests|deploy|docs|examples|models"
    files = {
        name
        for piece in pieces
        for name in re.findall(
            rf"^((?:{folders})/[\w/.-]+\.(?:py|md|yaml|yml|json|conf|lua|sh|html))$", piece
        )
    }
    # Of a model that a reader makes.
    assert sorted(name for name in files if not (ROOT / name).exists()) == []


def test_an_option_that_a_page_names_is_one_of_our_programs():
    sources = "\n".join(
        file.read_text("utf-8")
        for folder in ("service", "training", "ganserve", "benchmarks", "tests/docs", "examples")
        for file in (ROOT / folder).rglob("*.py")
    )
    # Of docker, kubectl, podman, uvicorn, tf2onnx, model_signing, Caddy and the like.
    others = {
        "--init",
        "--wait",
        "--selector",
        "--output",
        "--quiet",
        "--keras",
        "--all",
        "--previous",
        "--pid",
        "--no-recreate",
    }
    others |= {"--force-recreate", "--ssl-certfile", "--ssl-keyfile", "--format", "--help", "--no-cache"}
    others |= {"--no-log-prefix", "--timestamp", "--private", "--signature", "--data-binary"}
    others |= {"--nnodes", "--node-rank", "--nproc-per-node", "--master-addr", "--master-port"}
    named = {
        (page, option)
        for page, text in TODAY.items()
        for piece in code(text)
        for option in re.findall(r"(?<![\w-])(--[a-z][a-z-]+)", piece)
    }
    unknown = {
        (page, option)
        for page, option in named
        if f'"{option}' not in sources and f"/{option}" not in sources
    }
    assert sorted(one for one in unknown if one[1] not in others) == []


def test_the_fields_of_a_key_are_those_that_the_example_has():
    (block,) = [
        block for block in of("docs/security.md", TEXTS["docs/security.md"]) if block.language == "toml"
    ]
    assert set(re.findall(r"^(\w+) =", block.text, re.MULTILINE)) == set(Entry.__struct_fields__)
