import math

import pytest

from service.machine import hardware
from service.machine.hardware import (
    available_cpus,
    cpu_flags,
    cpu_name,
    default_workers,
    lanes,
    memory_limit_bytes,
)


def test_a_machine_that_does_not_say_what_its_cpu_has_has_nothing(tmp_path):
    assert cpu_flags(tmp_path / "nothing") == set()
    (tmp_path / "arm").write_text("processor\t: 0\nFeatures\t: fp asimd bf16\n")
    assert cpu_flags(tmp_path / "arm") == set()
    assert cpu_name()


@pytest.mark.parametrize(
    ("cores", "workers", "passes"), [(1, 1, 1), (2, 2, 2), (3, 3, 2), (4, 4, 2), (16, 4, 8), (64, 4, 32)]
)
def test_there_is_a_worker_per_core_and_four_at_most_which_share_the_cores(
    monkeypatch, cores, workers, passes
):
    monkeypatch.setattr(hardware, "available_cpus", lambda: cores)
    monkeypatch.setattr(hardware, "has_gpu_runtime", lambda: False)
    assert default_workers() == workers
    assert lanes(workers) == passes


@pytest.mark.parametrize(("gpus", "workers"), [(0, 4), (1, 1), (3, 3)])
def test_with_gpus_there_is_a_worker_for_each(monkeypatch, gpus, workers):
    monkeypatch.setattr(hardware, "available_cpus", lambda: 16)
    monkeypatch.setattr(hardware, "has_gpu_runtime", lambda: True)
    monkeypatch.setattr(hardware, "gpus", lambda: gpus)
    assert default_workers() == workers


@pytest.mark.parametrize(("workers", "passes"), [(1, 8), (2, 8), (3, 6), (8, 2), (16, 2)])
def test_workers_that_were_asked_for_share_the_cores_too(monkeypatch, workers, passes):
    monkeypatch.setattr(hardware, "available_cpus", lambda: 8)
    assert lanes(workers) == passes


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
    monkeypatch.setattr(hardware.os, "sched_getaffinity", lambda pid: set(range(64)), raising=False)
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    assert available_cpus(tmp_path) == cores


@pytest.mark.parametrize(
    ("file", "text", "limit"),
    [
        ("memory.max", "max\n", math.inf),
        ("memory.max", "367001600\n", 367001600),
        ("memory/memory.limit_in_bytes", "367001600\n", 367001600),
        ("nothing", "", math.inf),
    ],
)
def test_memory_is_what_the_cgroup_grants(tmp_path, file, text, limit):
    (tmp_path / file).parent.mkdir(exist_ok=True)
    (tmp_path / file).write_text(text)
    assert memory_limit_bytes(tmp_path) == limit


def test_processes_that_met_the_memory_limit_are_counted_in_either_kind_of_cgroup(tmp_path):
    assert hardware.out_of_memory_kills(tmp_path) == 0
    (tmp_path / "memory").mkdir()
    (tmp_path / "memory/memory.oom_control").write_text("oom_kill_disable 0\nunder_oom 0\noom_kill 2\n")
    assert hardware.out_of_memory_kills(tmp_path) == 2
    (tmp_path / "memory.events").write_text("low 0\nmax 31\noom 4\noom_kill 3\noom_group_kill 0\n")
    assert hardware.out_of_memory_kills(tmp_path) == 3
