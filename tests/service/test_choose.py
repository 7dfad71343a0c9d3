import importlib.util

import pytest

from service.engines import choose as chooser
from service.engines import ort
from service.engines.choose import available_cpus, choose, cpu_threads
from service.errors import EngineUnavailable
from service.settings import Settings
from tests.generators import Tiny


def chosen(**settings):
    tiny = Tiny(golden_samples=0)
    return choose(tiny.file(), tiny.contract(), Settings(**settings))


@pytest.fixture
def no_gpu(monkeypatch):
    monkeypatch.setattr(ort, "has_cuda", lambda: False)


@pytest.mark.usefixtures("no_gpu")
def test_auto_takes_openvino_on_a_cpu_and_says_why():
    engine = chosen(threads=2)
    assert (engine.name, engine.precision, engine.provider) == ("openvino", "fp32", "CPU")
    assert "2 streams" in engine.reason


@pytest.mark.usefixtures("no_gpu")
def test_auto_takes_onnxruntime_where_openvino_is_not_installed(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert chosen(threads=1).name == "onnxruntime"


@pytest.mark.usefixtures("no_gpu")
@pytest.mark.parametrize("name", ["onnxruntime", "openvino", "fake"])
def test_an_engine_asked_for_by_name_is_the_one_that_serves(name):
    engine = chosen(engine=name, threads=3)
    assert engine.name == name
    assert len(engine.lanes) == 3


def test_an_engine_that_is_not_installed_is_an_error_and_no_fall_back(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(EngineUnavailable, match="openvino, which is not installed"):
        chosen(engine="openvino")


@pytest.mark.usefixtures("no_gpu")
@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_a_precision_that_onnxruntime_does_not_have_is_an_error(precision):
    with pytest.raises(EngineUnavailable, match=precision):
        chosen(engine="onnxruntime", precision=precision)


def test_a_gpu_that_is_listed_but_not_given_is_an_error_and_no_fall_back(monkeypatch):
    # The session's fall-back to CPU is silent: here CUDA is asked for and no session can get it.
    monkeypatch.setattr(ort, "has_cuda", lambda: True)
    monkeypatch.setattr(ort.ort, "preload_dlls", lambda: None)

    class OnlyCpu:
        def __init__(self, *_args, **_kwargs):
            pass

        def get_providers(self):
            return ["CPUExecutionProvider"]

    monkeypatch.setattr(ort.ort, "InferenceSession", OnlyCpu)
    with pytest.raises(EngineUnavailable, match="CPUExecutionProvider instead of CUDAExecutionProvider"):
        chosen(engine="auto")


def test_no_visible_device_means_no_cuda(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert not ort.has_cuda()


def test_workers_share_the_cores_and_each_has_one(monkeypatch):
    monkeypatch.setattr(chooser, "available_cpus", lambda: 8)
    assert [cpu_threads(workers) for workers in (1, 2, 3, 8, 16)] == [8, 4, 2, 1, 1]


@pytest.mark.parametrize(
    ("files", "cores"),
    [
        ({}, 64),
        ({"cpu.max": "max 100000"}, 64),
        ({"cpu.max": "200000 100000"}, 2),
        ({"cpu.max": "150000 100000"}, 2),
        ({"cpu.max": "10000 100000"}, 1),
        ({"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"}, 64),
        ({"cpu/cpu.cfs_quota_us": "300000\n", "cpu/cpu.cfs_period_us": "100000\n"}, 3),
        ({"cpu.max": "9900000 100000"}, 64),
    ],
)
def test_cores_are_counted_by_the_cgroup_and_not_by_the_host(tmp_path, monkeypatch, files, cores):
    monkeypatch.setattr(chooser.os, "sched_getaffinity", lambda pid: set(range(64)), raising=False)
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    assert available_cpus(tmp_path) == cores
