import os
import subprocess
import sys
import threading

import pytest

from service.machine import instance
from service.registry import desired_state
from service.registry.desired_state import DesiredModel, DesiredState, Report, VersionState

MODEL = DesiredModel({"a": "generator.onnx", "b": "b.onnx"}, "a", "b", 0.25)


def count_up(shared, name: str, times: int) -> None:
    def edit(before):
        after = DesiredState() if before is None else before.copy()
        model = after.models.setdefault(name, DesiredModel({}, "0"))
        model.version = str(int(model.version) + 1)
        return after

    for _ in range(times):
        desired_state.change(shared, edit)


def test_what_is_wanted_is_read_as_it_was_written(tmp_path):
    assert desired_state.read(tmp_path) is None
    assert desired_state.mark(tmp_path) is None
    written = desired_state.change(tmp_path, lambda before: DesiredState(models={"m": MODEL}))
    assert written.change == 1
    assert desired_state.read(tmp_path) == written == DesiredState(1, 0, {"m": MODEL})


def test_every_change_is_numbered_and_marked_and_what_changes_nothing_is_not(tmp_path):
    marks = set()
    for number in range(1, 6):
        assert desired_state.change(tmp_path, lambda before: DesiredState()).change == number
        marks.add(desired_state.mark(tmp_path))
    assert len(marks) == 5
    assert desired_state.change(tmp_path, lambda before: before or DesiredState()).change == 5
    assert desired_state.mark(tmp_path) in marks


def test_an_edit_that_raises_leaves_all_as_it_was(tmp_path):
    desired_state.change(tmp_path, lambda before: DesiredState(models={"m": MODEL}))

    def edit(before):
        before.models["m"].version = "b"
        raise KeyError("no")

    with pytest.raises(KeyError):
        desired_state.change(tmp_path, edit)
    before = desired_state.read(tmp_path)
    assert before == DesiredState(1, 0, {"m": MODEL})


def test_orders_to_several_workers_at_once_are_all_carried_out(tmp_path):
    # Each with a file of its own to lock, as processes have.
    workers = [threading.Thread(target=count_up, args=(tmp_path, name, 100)) for name in ("x", "y")]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    now = desired_state.read(tmp_path)
    assert now is not None
    assert now.change == 200
    assert {name: model.version for name, model in now.models.items()} == {"x": "100", "y": "100"}


def test_a_report_is_its_workers_and_a_dead_workers_is_no_more(tmp_path):
    own = Report(os.getpid(), 3, {"m": {"a": VersionState("failed", 0.0, "why")}})
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    for report in (own, Report(dead.pid, 3, {})):
        desired_state.report(tmp_path, report)
    assert desired_state.reports(tmp_path) == [own]
    own.change = 4
    desired_state.report(tmp_path, own)
    assert desired_state.reports(tmp_path) == [own]


def test_the_folder_is_the_services_own(monkeypatch, tmp_path):
    monkeypatch.setenv(instance.VARIABLE, str(tmp_path))
    folder = desired_state.folder()
    assert folder is not None
    assert folder.parent == tmp_path
    monkeypatch.delenv(instance.VARIABLE)
    assert desired_state.folder() is None
