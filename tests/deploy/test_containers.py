"""The image as containers of podman: what only a real one shows. Skipped where nobody may start any."""

import io
import json

import numpy as np
import pytest

from service.generator.contract import parse
from service.generator.latents import latents
from tests.deploy import containers
from tests.system.serving import ROOT
from tests.waiting import wait_until

MODEL = ROOT / "models/fashion-mnist/generator.onnx"


@pytest.fixture(scope="module")
def engine(tmp_path_factory):
    folder = tmp_path_factory.mktemp("containers")
    one = containers.podman(folder)
    containers.build(one, folder / "image")
    return one


def drawn(seed: int, label: int) -> np.ndarray:
    """What the file gives, without any of the service."""
    import onnxruntime

    session = onnxruntime.InferenceSession(MODEL, providers=["CPUExecutionProvider"])
    z = latents([seed], parse(MODEL.read_bytes()).z_dim)
    (image,) = session.run(None, {"z": z, "label": np.array([label], np.int64)})
    return np.asarray(image)


def test_it_serves_and_stops_with_no_rights_and_what_compose_gives_it(engine):
    # One model of twelve: the others would take their time, and tell no more.
    few = ("--env=GANSERVE_ENGINE=onnxruntime", "--env=GANSERVE_MAX_LOADED_MB=20")
    with containers.ready(engine, *few) as one:
        reply = one.post("/v1/samples", seed=5, label=7, format="npy")
        assert (reply.status_code, reply.headers["ganserve-model"]) == (200, "fashion-mnist")
        image = np.load(io.BytesIO(reply.content))
        assert np.array_equal(image.transpose(0, 3, 1, 2), drawn(5, 7))
        written = engine.run("exec", one.name, "touch", "/app/x", "/home/bentoml/x", "/x")
        assert written.stderr.count("Read-only file system") == 3
        assert engine.check("exec", one.name, "cat", "/proc/1/status").count("CapEff:\t0000000000000000") == 1
        assert one.stop() < 30
        assert engine.state(one.name)["ExitCode"] == 0


def test_with_one_cpu_there_is_one_worker(engine):
    with containers.ready(engine, "--env=GANSERVE_ENGINE=fake", cpus=1) as one:
        assert engine.check("top", one.name, "args").count("_bentoml_impl.worker.service") == 1


def test_where_memory_is_too_little_it_says_so_before_it_loads_anything(engine):
    with containers.running(engine, cpus=1, memory="350m") as one:
        wait_until(lambda: not engine.state(one.name)["Running"], seconds=120)
        state, said = engine.state(one.name), engine.said(one.name)
    assert (state["ExitCode"], state["OOMKilled"]) == (1, False)
    # Before it BentoML says which bento it has.
    (line,) = [line for line in map(json.loads, said.splitlines()) if line["level"] != "info"]
    assert line["message"].startswith("memory: this container may have 350 MB")
