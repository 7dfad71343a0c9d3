"""Work flows down: a file imports only files below it in this list."""

import ast
import os
import subprocess
import sys
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

from service.quiet import VARIABLES

ROOT = Path(__file__).parents[1]
SERVICE = [
    *("app", "preflight", "drain", "signals"),
    "admin",
    "web.wire",
    *("web.routes", "web.openapi", "web.admin_openapi", "web.pages_openapi", "web.pages"),
    *("web.explore_openapi", "web.explore", "web.clients_openapi", "web.openai", "web.bento"),
    *("web.v2_openapi", "web.v2", "web.v2_models", "web.v2_tensors", "web.v2_messages"),
    *(
        "web.described",
        "web.access",
        "web.admin",
        "web.operations",
        "web.addresses",
        "web.cards",
        "web.samples",
        "web.half_closed",
        "web.turns",
        "web.drawing_call",
        "web.bodies",
        "web.limits",
        "web.lingering",
        "web.refusals",
        "web.timeouts",
        "web.trace",
        "web.problems",
        "web.asgi",
    ),
    *("paths", "arithmetic", "series"),
    *("pixels", "prompts"),
    *("orders", "rollout", "room", "versions"),
    *("sampler", "models", "wanted", "model", "trial", "reference", "golden", "watchdog"),
    *("batcher", "lanes", "cores", "admission", "forward_pass", "request_queue"),
    *(
        "engines.choose",
        "engines.race",
        "engines.ort",
        "engines.cuda",
        "engines.ov",
        "engines.fake",
        "engines.lone",
        "engines.engine",
    ),
    *(
        "images",
        "latents",
        "contract",
        "graph",
        "keys",
        "quota",
        "metrics",
        "metric_files",
        "settings",
        "hardware",
        "instance",
        "errors",
        "quiet",
    ),
]
TRAINING = [
    *(
        "__main__",
        "compare",
        "compare_plan",
        "compare_folder",
        "compare_pictures",
        "compare_table",
        "measure",
    ),
    *("studies.command", "studies.discriminator_steps", "studies.inception_score", "studies.truncation"),
    *("studies.latent_space", "studies.study"),
    *("theory.command", "theory.plots", "theory.figures", "theory.rows", "theory.ring"),
    *("theory.gradients", "theory.discriminator", "theory.divergences", "documents"),
    *("export", "evaluate", "precisions", "card", "report", "reference", "generated", "onnx_graph"),
    *("folding", "presets"),
    *("budget", "loop", "rollback", "guard", "board", "samples", "alarms", "watchdogs", "progress"),
    "label_check",
    *("quality.comparison", "quality.judging", "quality.judge", "quality.coverage", "quality.kernel"),
    *("quality.intra_class", "quality.diversity", "quality.parzen"),
    *("quality.frechet", "quality.inception_score", "quality.nearest"),
    *("formats", "idx", "image_folder", "packed", "checkpoint", "step", "state", "device"),
    *("networks.mlp", "networks.dcgan", "networks.autoencoder", "networks.sagan", "networks.residual"),
    *("networks.layers", "dataset", "losses", "penalties", "augment", "ema"),
    *("files", "settings", "errors"),
]
CLIENT = [
    *("__main__", "options", "terminal", "files", "pictures", "programs"),
    *("bench", "connection", "client", "together", "server", "errors", "ctrl_c"),
]
# `model` and `settings`: export ends by loading its file with the code that will serve it. `quiet`: before any library.
SHARED = {"contract", "latents", "golden", "images", "engines", "errors", "model", "settings", "quiet"}


def imports(package: str) -> dict[str, set[str]]:
    """What each module of `package` imports, functions' own imports included."""
    found: dict[str, set[str]] = {}
    for path in sorted((ROOT / package).rglob("*.py")):
        module = ".".join(path.relative_to(ROOT).with_suffix("").parts)
        names = found.setdefault(module.removesuffix(".__init__"), set())
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                names.update(alias.name for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                assert node.level == 0, f"{module}: relative import"
                names.update(f"{node.module}.{alias.name}" for alias in node.names)
    return found


def inside(package: str) -> dict[str, set[str]]:
    """The same, of modules of `package` only, by module."""
    modules = imports(package)

    def owner(name: str) -> str:
        return max((module for module in modules if f"{name}.".startswith(f"{module}.")), key=len, default="")

    return {module: {owner(name) for name in names} - {"", package} for module, names in modules.items()}


@pytest.mark.parametrize(
    ("package", "order"), [("service", SERVICE), ("training", TRAINING), ("ganserve", CLIENT)]
)
def test_a_file_imports_only_files_below_it(package, order):
    modules = inside(package)
    files = {module for module in modules if (ROOT / module.replace(".", "/")).with_suffix(".py").is_file()}
    assert {module.removeprefix(f"{package}.") for module in files} == set(order), (
        "every file has its place in the list"
    )
    place = {f"{package}.{module}": i for i, module in enumerate(order)}
    upward = [
        (file, other) for file in files for other in modules[file] & files if place[other] <= place[file]
    ]
    assert upward == []


@pytest.mark.parametrize("package", ["service", "training", "ganserve"])
def test_no_file_imports_itself_through_others(package):
    assert list(TopologicalSorter(inside(package)).static_order())


def test_the_service_runs_without_torch_training_and_the_client():
    others = {"torch", "torchvision", "training", "ganserve", "tests"}
    for module, names in imports("service").items():
        assert not {name.split(".")[0] for name in names} & others, module


@pytest.mark.parametrize("package", ["service", "training", "benchmarks"])
def test_what_libraries_tell_others_is_turned_off_before_any_is_imported(package):
    code = f"import sys; before = set(sys.modules); import {package}; print(*set(sys.modules) - before)"
    environ = {name: value for name, value in os.environ.items() if name not in VARIABLES}
    shown = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env=environ, capture_output=True, text=True
    )
    assert set(shown.stdout.split()) == {package, "service", "service.quiet", "openvino_telemetry"}


def test_the_client_needs_nothing_of_the_service_and_of_training():
    others = {"bentoml", "msgspec", "onnx", "onnxruntime", "service", "torch", "training", "tests"}
    for module, names in imports("ganserve").items():
        assert not {name.split(".")[0] for name in names} & others, module


def test_training_knows_the_files_of_the_service_and_nothing_of_requests():
    for module, names in imports("training").items():
        parts = {name.split(".")[1] for name in names if name.split(".")[0] == "service"}
        assert parts <= SHARED, module
