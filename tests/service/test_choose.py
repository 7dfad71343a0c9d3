import importlib.util

import msgspec
import pytest

from service.engines import choose as chooser
from service.engines import cuda, ov
from service.engines.choose import available_cpus, choose, cpu_flags, cpu_threads
from service.errors import EngineUnavailable
from service.settings import Settings
from tests.generators import Tiny


def chosen(quality=None, **settings):
    tiny = Tiny(golden_samples=0)
    contract = msgspec.structs.replace(tiny.contract(), quality=quality or {})
    return choose(tiny.file(), contract, Settings(**settings))


@pytest.fixture
def no_gpu(monkeypatch):
    monkeypatch.setattr(cuda, "device_count", lambda: 0)


@pytest.fixture
def cpu(monkeypatch, tmp_path, no_gpu):
    """cpu("avx2 fma"): from now on a CPU that has these."""

    def has(flags):
        (tmp_path / "cpuinfo").write_text(f"processor\t: 0\nflags\t\t: fpu {flags} ht\nbugs\t\t: none\n\n")
        monkeypatch.setattr(chooser, "cpu_flags", lambda: cpu_flags(tmp_path / "cpuinfo"))

    return has


def test_auto_takes_openvino_on_a_cpu_with_avx512_and_says_why(cpu):
    cpu("avx2 avx512f")
    engine = chosen(threads=2)
    assert (engine.name, engine.precision, engine.provider) == ("openvino", "fp32", "CPU")
    assert "2 streams" in engine.reason
    assert "this CPU has AVX512" in engine.reason


def test_auto_takes_onnxruntime_on_a_cpu_without_avx512_and_says_why(cpu):
    cpu("avx2 fma")
    engine = chosen(threads=2)
    assert (engine.name, engine.precision, engine.provider) == ("onnxruntime", "fp32", "CPUExecutionProvider")
    assert "2 passes at once" in engine.reason
    assert "no AVX512" in engine.reason


def test_auto_takes_onnxruntime_where_openvino_is_not_installed(monkeypatch, cpu):
    cpu("avx512f")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    engine = chosen(threads=1)
    assert engine.name == "onnxruntime"
    assert "OpenVINO is not installed" in engine.reason


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_auto_takes_the_only_engine_that_has_the_precision(cpu, openvino_made, precision):
    cpu("avx2")
    assert chosen(precision=precision).precision == precision


@pytest.fixture
def openvino_made(monkeypatch):
    """OpenVINO that has every precision, whatever this CPU has."""

    class Made:
        name, reason = "openvino", ""

        def __init__(self, file, contract, *, precision, threads):
            self.precision = precision

    monkeypatch.setattr(ov, "OpenVinoEngine", Made)


def measured(precision, engine="openvino", **figures):
    return {
        "engine": engine,
        "precision": precision,
        "images": 10000,
        "figures": {name: {"value": value, "error": error} for name, (value, error) in figures.items()},
    }


FP32 = measured("fp32", frechet_distance=(0.0646, 0.0020), class_accuracy=(0.9358, 0.0024))
EQUAL = measured("bf16", frechet_distance=(0.0660, 0.0020), class_accuracy=(0.9340, 0.0025))


@pytest.mark.parametrize("engine_name", ["auto", "openvino"])
@pytest.mark.usefixtures("openvino_made")
def test_bf16_is_taken_where_the_file_shows_that_it_costs_nothing_and_the_cpu_has_amx(cpu, engine_name):
    quality = {"images": 10000, "precisions": [FP32, EQUAL]}
    cpu("avx512f avx512_bf16 amx_bf16")
    assert chosen(quality, engine=engine_name).precision == "bf16"
    assert chosen(quality, engine=engine_name, precision="fp32").precision == "fp32"
    cpu("avx512f avx512_bf16")
    assert chosen(quality, engine=engine_name).precision == "fp32"


@pytest.mark.parametrize(
    "quality",
    [
        {},
        {"precisions": []},
        {"precisions": [FP32]},
        {"precisions": [EQUAL]},
        {
            "precisions": [
                FP32,
                measured("bf16", frechet_distance=(0.0700, 0.0020), class_accuracy=(0.9340, 0.0025)),
            ]
        },
        {"precisions": [FP32, measured("bf16", frechet_distance=(0.0646, 0.0020))]},
        {"precisions": [measured("fp32"), measured("bf16")]},
        {"precisions": [FP32, {**EQUAL, "engine": "onnxruntime"}]},
        {"precisions": [FP32, measured("bf16", frechet_distance=(float("nan"), 1), class_accuracy=(0.9, 1))]},
        {"precisions": {"fp32": FP32, "bf16": EQUAL}},
        {"precisions": [FP32, {"engine": "openvino", "precision": "bf16"}]},
        {"precisions": "bf16"},
        {"precisions": None},
    ],
    ids=[
        "none",
        "empty",
        "fp32-only",
        "bf16-only",
        "worse",
        "fewer-figures",
        "no-figures",
        "other-engine",
        "nan",
        "not-a-list",
        "without-figures",
        "text",
        "null",
    ],
)
@pytest.mark.usefixtures("openvino_made")
def test_fp32_is_taken_unless_the_file_shows_that_bf16_is_as_good(cpu, quality):
    cpu("avx512f amx_bf16")
    assert chosen(quality).precision == "fp32"


def test_a_machine_that_does_not_say_what_its_cpu_has_has_nothing(tmp_path):
    assert cpu_flags(tmp_path / "nothing") == set()
    (tmp_path / "arm").write_text("processor\t: 0\nFeatures\t: fp asimd bf16\n")
    assert cpu_flags(tmp_path / "arm") == set()


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
@pytest.mark.parametrize("precision", ["bf16", "fp16", "tf32"])
def test_a_precision_that_onnxruntime_does_not_have_is_an_error(precision):
    with pytest.raises(EngineUnavailable, match=precision):
        chosen(engine="onnxruntime", precision=precision)


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
