"""Work flows down: packages import only packages below them, and what a library does has one home.

A new file needs no entry here, a new folder one word. `python -m tests.architecture` prints the folders as they are.
"""

import os
import subprocess
import sys
from graphlib import TopologicalSorter

import pytest

from service.quiet import VARIABLES
from tests.architecture import PACKAGES, ROOT, files, folders, imports, inside, lines, owner

# Top first. What stands on one line does not import each other. A folder within a folder has its own place, or its parent's.
LAYERS = {
    "service": [
        "app preflight drain",
        "web.grpc",
        "admin web",
        "web.connection web.kserve",
        "web.v1 web.clients web.operations web.pages",
        "web.http",
        "drawing",
        "registry",
        "batching",
        "generator.loading",
        "environment generator.engines keys",
        "generator metrics settings signals",
        "metric_files errors",
        "machine quiet",
    ],
    "training": [
        "__main__",
        "research.comparison research.curve research.studies research.theory",
        "commands",
        "captions classification",
        "encoding translation",
        "research export",
        "evaluation",
        "evaluation.quality run presets",
        "data gan",
        "gan.networks device files",
        "processes",
        "settings errors",
    ],
}
HOMES = {
    "bentoml": "service.app service.machine.workers",
    "circus": "service.signals service.machine.workers",
    "tornado": "service.machine.clock",
    "uvicorn": "service.app service.web.connection",
    "httptools": "service.web.connection ganserve.connection",
    "grpc": "service.web.grpc",
    "onnxruntime": "service.generator ganserve.importing",
    "openvino": "service.generator.engines",
    "tokenizers": "service.generator.text",
    "onnx": "service.generator training.export training.encoding training.translation.export training.captions.export ganserve.importing",
    "torch": "training ganserve.importing.torch_module",
    "pyarrow": "ganserve.generating.writing.parquet training.data",
    "ray": "ganserve.generating.cluster",
    "click": "ganserve service.machine.process training.__main__ training.commands training.research",
}
# `generator`: export and import end by loading their file with the code that will serve it. `quiet`: before any library.
SHARED = "generator settings environment errors quiet"
IMPORT = "ganserve.importing.command"
# They need what `serve` brings, once they run; `ganserve generate --url` needs less.
ROOMS, STARTED = (
    [
        "ganserve.importing",
        "ganserve.generating.cluster",
        "ganserve.generating.engine",
        "ganserve.provenance",
    ],
    f"{IMPORT}, ganserve.generating.command, ganserve.provenance.command",
)
MOST_MODULES, MOST_LINES = 12, 280


@pytest.mark.parametrize("package", LAYERS)
def test_a_package_imports_only_packages_below_it(package):
    layer = {f"{package}.{name}": i for i, row in enumerate(LAYERS[package]) for name in row.split()}
    arrows = {module: names for module, names in inside(package).items() if module != package}
    place = {module: owner(module, layer) for module in arrows}
    assert [module for module in arrows if not place[module]] == [], "every folder has its place"
    assert set(layer) == set(place.values()), "what has a place is there"
    upward = [
        (module, other)
        for module, names in arrows.items()
        for other in names
        if place[module] != place[other] and layer[place[other]] <= layer[place[module]]
    ]
    assert upward == []


@pytest.mark.parametrize("package", PACKAGES)
def test_no_file_imports_itself_through_others(package):
    assert list(TopologicalSorter(inside(package)).static_order())


@pytest.mark.parametrize("package", PACKAGES)
def test_a_library_is_imported_at_its_home(package):
    for module, names in imports(package).items():
        for library in {name.split(".")[0] for name in names} & set(HOMES):
            assert owner(module, HOMES[library].split()), f"{module} imports {library}"


@pytest.mark.parametrize("package", [*PACKAGES, "tests"])
def test_no_folder_has_many_modules(package):
    full = {folder: len(modules) for folder, modules in folders(package).items()}
    assert {folder: count for folder, count in full.items() if count > MOST_MODULES} == {}


@pytest.mark.parametrize("package", PACKAGES)
def test_no_module_has_many_lines(package):
    assert [path for path in files(package).values() if lines(path) > MOST_LINES] == []


def test_the_service_runs_without_torch_training_and_the_client():
    others = {"torch", "torchvision", "training", "ganserve", "tests"}
    for module, names in imports("service").items():
        assert not {name.split(".")[0] for name in names} & others, module


def test_the_client_needs_nothing_of_the_service_and_of_training():
    others = {"bentoml", "msgspec", "onnx", "onnxruntime", "service", "torch", "training", "tests"}
    for module, names in imports("ganserve").items():
        if not owner(module, ROOMS):
            assert not {name.split(".")[0] for name in names} & others, module
            # What it knows of `ganserve import` is its options.
            assert {owner(name, inside("ganserve")) for name in names if "importing" in name} <= {IMPORT}, (
                module
            )


def test_the_client_starts_without_what_import_and_generate_need():
    code = f"import sys, ganserve.__main__, {STARTED}; print(*{{name.split('.')[0] for name in sys.modules}})"
    shown = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert not {"bentoml", "msgspec", "onnx", "onnxruntime", "pyarrow", "service", "torch", "training"} & set(
        shown.stdout.split()
    )


@pytest.mark.parametrize("package", ["training", "ganserve.importing", "ganserve.generating"])
def test_who_makes_files_knows_those_of_the_service_and_nothing_of_requests(package):
    shared = [f"service.{name}" for name in SHARED.split()]
    for module, names in imports(package.split(".")[0]).items():
        if owner(module, [package]):
            others = {name for name in names if name.split(".")[0] == "service" and not owner(name, shared)}
            assert others == set(), module


@pytest.mark.parametrize("package", ["service", "training", "benchmarks"])
def test_what_libraries_tell_others_is_turned_off_before_any_is_imported(package):
    code = f"import sys; before = set(sys.modules); import {package}; print(*set(sys.modules) - before)"
    environ = {name: value for name, value in os.environ.items() if name not in VARIABLES}
    shown = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env=environ, capture_output=True, text=True
    )
    assert set(shown.stdout.split()) == {package, "service", "service.quiet", "openvino_telemetry"}
