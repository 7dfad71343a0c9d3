import os
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from service.generator.contract import version
from service.generator.engines import race
from service.generator.engines.race import Result
from tests.generators import Tiny, with_graph

ROOT = Path(__file__).parents[4]


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """A cache of its own; what was begun has ended when the test has."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(race, "_running", None)
    yield tmp_path / "cache" / "ganserve" / "engines"
    if race._running is not None:
        race._running.join()


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "generator.onnx"
    path.write_bytes(Tiny().file())
    return path


def entries(cache):
    return sorted(path.name for path in cache.glob("*.json"))


def test_every_engine_is_measured_and_the_fastest_is_first(file):
    result = race.measure(file.read_bytes())
    assert {"onnxruntime", "openvino"} == {figure.engine for figure in result.figures}
    speeds = [figure.images_per_second for figure in result.figures]
    assert speeds == sorted(speeds, reverse=True)
    assert speeds[-1] > 0
    assert result.cpu


def test_a_result_is_measured_once_and_remembered(file, cache):
    first = race.result(file, version(file.read_bytes()))
    assert isinstance(first, Result)
    (entry,) = entries(cache)
    marked = msgspec.structs.replace(first, cpu="remembered")
    (cache / entry).write_bytes(msgspec.json.encode(marked))
    assert race.result(file, version(file.read_bytes())) == marked


def test_what_is_known_starts_no_process(file, cache, monkeypatch):
    race.result(file, version(file.read_bytes()))
    commands = []
    monkeypatch.setattr(race.subprocess, "run", lambda command, **_: commands.append(command))
    new = file.with_name("new.onnx")
    new.write_bytes(Tiny(classes=None).file())
    for files in ([file], [file, file.with_name("none.onnx")], [file, new]):
        race.start(files)
        assert race._running is not None
        race._running.join()
    assert [command[3:] for command in commands] == [[str(new)]]


def test_a_second_worker_waits_for_the_first_and_gets_the_same(file, cache):
    environ = dict(os.environ)
    ask = (
        "import pathlib, sys; from service.generator.contract import version; from service.generator.engines import race; "
        "path = pathlib.Path(sys.argv[1]); print(race.result(path, version(path.read_bytes())))"
    )
    workers = [
        subprocess.Popen(
            [sys.executable, "-c", ask, str(file)], cwd=ROOT, env=environ, stdout=subprocess.PIPE, text=True
        )
        for _ in range(2)
    ]
    told = [worker.communicate()[0] for worker in workers]
    assert "onnxruntime" in told[0]
    assert told[0] == told[1]
    assert len(entries(cache)) == 1


def test_another_file_another_cpu_and_another_release_are_measured_anew(monkeypatch):
    names = {race._key("a"), race._key("b")}
    monkeypatch.setattr(race, "cpu_name", lambda: "another")
    names.add(race._key("a"))
    monkeypatch.setattr(race.metadata, "version", lambda package: "another")
    names.add(race._key("a"))
    assert len(names) == 4


def test_a_file_that_no_engine_runs_has_no_figures_and_ends_nothing(tmp_path):
    path = tmp_path / "bad.onnx"
    path.write_bytes(b"not ONNX")
    assert race.result(path, version(b"not ONNX")) is None
    odd = with_graph(lambda model: setattr(model.graph.node[0], "op_type", "NoSuchOperator"))
    assert race.measure(odd).figures == []


def test_where_nothing_can_be_kept_nothing_is_measured(file, monkeypatch):
    monkeypatch.setattr(race, "_folder", lambda: None)
    assert race.result(file, "1") is None


def test_a_cache_that_cant_be_written_gives_way_to_the_folder_of_temporary_files(tmp_path, monkeypatch):
    (tmp_path / "full").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "full"))
    monkeypatch.setattr(race.tempfile, "gettempdir", lambda: str(tmp_path))
    assert race._folder() == tmp_path / f"ganserve-engines-{os.getuid()}"


def test_a_folder_of_somebody_else_is_not_believed(tmp_path, monkeypatch):
    monkeypatch.setattr(race.tempfile, "gettempdir", lambda: str(tmp_path / "no" / "such"))
    monkeypatch.setattr(race.os, "getuid", lambda: 12345)
    (tmp_path / "no").write_text("")
    assert race._folder() is None
