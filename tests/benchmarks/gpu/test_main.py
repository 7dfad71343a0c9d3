import json
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from benchmarks.gpu import __main__ as command
from benchmarks.gpu import card, golden, there
from benchmarks.gpu.card import Card
from benchmarks.server.running import still_runs
from tests.waiting import wait_until

ROOT = Path(__file__).parents[3]


@pytest.fixture
def no_driver(monkeypatch):
    monkeypatch.setattr(card, "_LIBRARY", "libnone.so")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")


@pytest.mark.usefixtures("no_driver")
def test_without_a_gpu_it_says_so_and_ends_with_2(tmp_path, capsys):
    assert command.main(["--out", str(tmp_path / "out")]) == command.NO_GPU == 2
    assert "No GPU to check: no NVIDIA driver" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_each_part_runs_in_a_process_of_its_own_and_leaves_its_figures(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.gpu", "--cpu", "--only", "there", "--out", str(tmp_path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert "Every check holds." in done.stdout
    assert [path.name for path in tmp_path.iterdir()] == ["there.json"]
    figures = json.loads((tmp_path / "there.json").read_text())
    assert figures["device"] == "cpu"
    assert all(check["holds"] for check in figures["checks"])


@pytest.mark.usefixtures("no_driver")
def test_a_part_that_breaks_is_a_failed_check_and_keeps_what_it_had(tmp_path, monkeypatch):
    def breaks(part):
        part.row("before", figure=1)
        raise ZeroDivisionError("in the middle")

    monkeypatch.setattr(there, "run", breaks)
    inside = ["--inside", "--cpu", "--only", "there", "--out", str(tmp_path)]
    assert command.main(inside) == command.FAILED
    figures = json.loads((tmp_path / "there.json").read_text())
    assert figures["rows"] == [{"what": "before", "figure": 1}]
    (check,) = figures["checks"]
    assert (check["holds"], check["text"]) == (False, "ZeroDivisionError: in the middle")


@pytest.mark.usefixtures("no_driver")
def test_a_check_that_does_not_hold_makes_it_1_and_the_next_part_runs_all_the_same(
    tmp_path, monkeypatch, capsys
):
    monkeypatch.setattr(there, "run", lambda part: part.check("it", False, "no"))
    monkeypatch.setattr(golden, "run", lambda part: part.check("it", True, "yes"))

    monkeypatch.setattr(command, "_wait", lambda line, _seconds: command.main(line[3:]))
    assert command.main(["--cpu", "--only", "there,golden", "--out", str(tmp_path)]) == 1
    assert "Failed: there (a check)." in capsys.readouterr().out
    assert {path.name for path in tmp_path.iterdir()} == {"there.json", "golden.json"}


@pytest.mark.usefixtures("no_driver")
@pytest.mark.parametrize(
    ("had", "says"),
    [
        (None, "before anything was measured"),
        ([{"name": "it", "holds": False}], "there (a check)"),
        ([{"name": "it", "holds": True}], "Every check holds."),
    ],
)
def test_a_part_whose_time_is_over_counts_by_what_it_had(tmp_path, monkeypatch, capsys, had, says):
    def overdue(_line, _seconds):
        assert not (tmp_path / "there.json").exists(), "an older run's is no part of this one"
        if had is not None:
            (tmp_path / "there.json").write_text(json.dumps({"checks": had}))

    (tmp_path / "there.json").write_text("{}")
    monkeypatch.setattr(command, "_wait", overdue)
    code = command.main(["--cpu", "--only", "there", "--out", str(tmp_path)])
    assert code == (0 if says.startswith("Every") else 1)
    told = capsys.readouterr().out
    assert "[there] was ended" in told
    assert says in told


def test_a_process_whose_time_is_over_ends_with_all_that_it_started(tmp_path):
    code = """
import subprocess, sys
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
open("%s", "w").write(str(child.pid))
child.wait()
"""
    told = tmp_path / "pid"
    assert command._wait([sys.executable, "-c", code % told], 5) is None
    grandchild = int(told.read_text())
    wait_until(lambda: not psutil.pid_exists(grandchild) or not still_runs(psutil.Process(grandchild)))


def test_a_part_that_is_none_is_refused():
    with pytest.raises(SystemExit, match="2"):
        command.main(["--only", "fast"])


def test_files_read_without_msgspec_say_the_same():
    code = """
import sys
sys.modules["msgspec"] = None
import benchmarks.gpu
import msgspec
from service.generator import contract, golden, trial
from service.generator.engines import ort
assert msgspec.__name__ == "benchmarks.gpu.standin"
file = open("models/fashion-mnist/generator.onnx", "rb").read()
found = contract.parse(file)
print(found.name, found.classes, found.image, found.golden[3].seed, len(found.golden[3].png))
import onnx
contract.write(onnx.load_model_from_string(file), found)
"""
    told = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    from service.generator.contract import parse

    want = parse((ROOT / "models/fashion-mnist/generator.onnx").read_bytes())
    assert told.stdout.strip() == (
        f"{want.name} {want.classes} {want.image} {want.golden[3].seed} {len(want.golden[3].png)}"
    ), told.stderr


class FakeNvml:
    """What libnvidia-ml.so answers, through the pointers that it is given."""

    devices = 1
    energy = 5_000

    def __getattr__(self, name):
        return lambda *_arguments: 0

    def nvmlDeviceGetHandleByIndex_v2(self, index, _handle):
        return 0 if index < self.devices else 2

    def nvmlDeviceGetName(self, _handle, text, _size):
        text.value = b"NVIDIA Pretended"
        return 0

    def nvmlSystemGetCudaDriverVersion_v2(self, version):
        version._obj.value = 12080
        return 0

    def nvmlDeviceGetMemoryInfo(self, _handle, memory):
        memory._obj.total, memory._obj.used = 80 << 30, 3 << 30
        return 0

    def nvmlDeviceGetTotalEnergyConsumption(self, _handle, energy):
        self.energy += 1500
        energy._obj.value = self.energy
        return 0

    def nvmlDeviceGetEnforcedPowerLimit(self, _handle, _power):
        return 3  # not supported, as on a MIG part


def test_the_driver_is_asked_for_what_it_knows(monkeypatch):
    monkeypatch.setattr(card.ctypes, "CDLL", lambda _name: FakeNvml())
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setenv("CUDA_DEVICE_ORDER", "PCI_BUS_ID")
    one = Card()
    facts = one.facts()
    assert (facts["name"], facts["driver_cuda"], facts["memory_mib"]) == ("NVIDIA Pretended", "12.8", 81920)
    assert facts["power_limit_watts"] is None
    assert one.used_mib() == 3072
    before = one.joules() or 0
    assert (one.joules() or 0) - before == 1.5


@pytest.mark.parametrize(
    ("visible", "says"), [("", "hides every GPU"), ("-1", "hides every GPU"), ("3", "shows no GPU 3")]
)
def test_a_gpu_that_is_hidden_is_none(monkeypatch, visible, says):
    monkeypatch.setattr(card.ctypes, "CDLL", lambda _name: FakeNvml())
    monkeypatch.setenv("CUDA_DEVICE_ORDER", "PCI_BUS_ID")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    with pytest.raises(card.NoCard, match=says):
        Card()
