"""The image as containers of podman: what only a real one shows. Skipped where nobody may start any."""

import io
import json

import numpy as np
import pytest

from benchmarks.image import layers
from service.generator.contract import parse
from service.generator.latents import latents
from tests.deploy.podman import containers, pods
from tests.system.serving import ROOT
from tests.waiting import wait_until

MODEL = ROOT / "models/fashion-mnist/generator.onnx"


FEW = ("--env=GANSERVE_ENGINE=onnxruntime", "--env=GANSERVE_MAX_LOADED_MB=20")
"""One model of twelve: the others would take their time, and tell no more."""
WITHOUT_RIGHTS = {"CapEff": "0" * 16, "NoNewPrivs": "1", "Seccomp": "2"}
DRAIN = "GANSERVE_DRAIN_SECONDS"


def drawn(seed: int, label: int) -> np.ndarray:
    """What the file gives, without any of the service."""
    import onnxruntime

    session = onnxruntime.InferenceSession(MODEL, providers=["CPUExecutionProvider"])
    z = latents([seed], parse(MODEL.read_bytes()).z_dim)
    (image,) = session.run(None, {"z": z, "label": np.array([label], np.int64)})
    return np.asarray(image)


def test_it_serves_and_stops_with_no_rights_and_what_compose_gives_it(engine):
    with containers.ready(engine, *FEW) as one:
        reply = one.post("/v1/samples", seed=5, label=7, format="npy")
        assert (reply.status_code, reply.headers["ganserve-model"]) == (200, "fashion-mnist")
        image = np.load(io.BytesIO(reply.content))
        assert np.array_equal(image.transpose(0, 3, 1, 2), drawn(5, 7))
        written = engine.run("exec", one.name, "touch", "/app/x", "/home/bentoml/x", "/x")
        assert written.stderr.count("Read-only file system") == 3
        assert engine.check("exec", one.name, "cat", "/proc/1/status").count("CapEff:\t0000000000000000") == 1
        assert one.stop() < 30
        assert engine.state(one.name)["ExitCode"] == 0


def test_two_builds_of_one_commit_have_the_same_layer_of_service_and_models(engine, tmp_path):
    """The times of files apart, which `--timestamp 0` has alike. Podman takes the packages' layer from its cache."""
    again = f"{containers.IMAGE.partition(':')[0]}:again"
    containers.build(engine, tmp_path / "image", again)
    try:
        one, other = (
            containers.contents(engine, image, "home/bentoml/bento") for image in (containers.IMAGE, again)
        )
    finally:
        engine.check("image", "rm", again)
    assert {path for path, file in one.items() if other.get(path) != file} == set()
    assert one.keys() == other.keys() >= {"bento.yaml", "src/service/app.py", "src/service/__pycache__"}


def test_what_it_weighs_is_told_by_layer(engine):
    found = layers("podman", containers.IMAGE)
    (packages,) = [megabytes for megabytes, made in found if "/app/.venv" in made and "COPY" in made]
    told = int(engine.check("inspect", "--format", "{{.Size}}", containers.IMAGE)) / 1e6
    assert 100 < packages < sum(megabytes for megabytes, _ in found) == pytest.approx(told, rel=0.1)


def test_with_one_cpu_there_is_one_worker(engine):
    with containers.ready(engine, "--env=GANSERVE_ENGINE=fake", cpus=1) as one:
        assert engine.check("top", one.name, "comm").count("ganserve-worker") == 1


def test_where_memory_is_too_little_it_says_so_before_it_loads_anything(engine):
    with containers.running(engine, cpus=1, memory="350m") as one:
        wait_until(lambda: not engine.state(one.name)["Running"], seconds=120)
        state, said = engine.state(one.name), engine.said(one.name)
    assert (state["ExitCode"], state["OOMKilled"]) == (1, False)
    # Before it BentoML says which bento it has.
    (line,) = [line for line in map(json.loads, said.splitlines()) if line["level"] != "info"]
    assert line["message"].startswith("memory: this container may have 350 MB")


def test_without_a_tmp_and_with_a_full_one_it_says_so_in_one_line(engine):
    for tmp in ([], ["/tmp:size=100k"]):
        with containers.running(engine, tmp=tmp) as one:
            wait_until(lambda one=one: not engine.state(one.name)["Running"], seconds=60)
            state, said = engine.state(one.name), engine.said(one.name)
        (line,) = map(json.loads, said.splitlines())
        assert (state["ExitCode"], line["event"]) == (1, "refused_to_start")
        assert line["message"].startswith("/tmp can not be written or has no megabyte left")


def test_a_pod_starts_hangs_and_ends_within_its_manifests_numbers(engine, tmp_path):
    spec = pods.deployment()
    startup, ready = (pods.Probe.of(spec, kind) for kind in ("startup", "readiness"))
    with containers.started(engine, [*pods.options(spec, tmp_path / "tmp"), *FEW]) as one:
        startup.asks(one, True, most=startup.failures)
        ready.asks(one, True)
        status = engine.check("exec", one.name, "cat", "/proc/1/status")
        user = "\t".join([str(spec["securityContext"]["runAsUser"])] * 4)
        told = WITHOUT_RIGHTS | {"Uid": user}
        assert all(f"{name}:\t{value}\n" in status for name, value in told.items())
        written = engine.run("exec", one.name, "touch", "/app/x", "/home/bentoml/x", "/x", "/tmp/x")
        assert written.stderr.count("Read-only file system") == 3
        for pod in (spec, pods.predictor()):  # KServe's
            for kind in ("startup", "liveness", "readiness"):
                assert pods.Probe.of(pod, kind).succeeds(one), kind

        engine.check("pause", one.name)
        assert ready.asks(one, False) < 5
        engine.check("unpause", one.name)
        ready.asks(one, True)

        end = pods.end(one, spec)
    drain = next(float(v["value"]) for v in spec["containers"][0]["env"] if v["name"] == DRAIN)
    assert end.unready < drain - 5, "every balancer has time to see it"
    assert drain <= end.answered < end.over < spec["terminationGracePeriodSeconds"]
    assert end.status == 0
