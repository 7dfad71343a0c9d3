"""Weights beside a file, as someone lays them there who means ill: refused with the reason, and nothing is read that lies elsewhere."""

import os
from collections.abc import Callable
from pathlib import Path

import onnx
import pytest

from ganserve.importing import folder
from service.errors import ContractError
from service.generator import loading
from service.registry.versions import Found, keep
from tests.importing import foreign
from tests.importing.foreign import save
from tests.importing.test_pictures import run

SECRET = b"secret" * 20_000


def placed(path: Path, **entries: str | None) -> None:
    """The first weights lie there from now on; None takes an entry away."""
    model = onnx.load(path, load_external_data=False)
    tensor = next(one for one in model.graph.initializer if one.external_data)
    known = {one.key: one.value for one in tensor.external_data} | entries
    del tensor.external_data[:]
    for key, value in known.items():
        if value is not None:
            tensor.external_data.add(key=key, value=value)
    path.write_bytes(model.SerializeToString())


def many(path: Path, location: str) -> None:
    """10,000 more weights, each in a file of that name."""
    model = onnx.load(path, load_external_data=False)
    for i in range(10_000):
        tensor = model.graph.initializer.add(name=f"more {i}", data_type=1, dims=[1024], data_location=1)
        for key, value in (("location", location.format(i)), ("offset", "0"), ("length", "4096")):
            tensor.external_data.add(key=key, value=value)
    path.write_bytes(model.SerializeToString())


def replaced(path: Path, make: Callable[[Path], object]) -> None:
    path.unlink()
    make(path)


OF_THE_FILE: dict[str, tuple[Callable[[Path, Path], object], str]] = {
    "a link that leads out": (
        lambda path, data: replaced(data, lambda one: one.symlink_to(path.parents[1] / "secret")),
        "link",
    ),
    "a pipe": (lambda path, data: replaced(data, os.mkfifo), "is not there|is no file"),
    "a folder": (lambda path, data: replaced(data, Path.mkdir), "is not there|is no file"),
    "a device": (
        lambda path, data: replaced(data, lambda one: one.symlink_to("/dev/zero")),
        "is not there|is no file",
    ),
    "nothing": (lambda path, data: data.unlink(), "is not there|No such file"),
    "less": (lambda path, data: os.truncate(data, 5000), "cut short|end beyond"),
}
OF_THE_GRAPH: dict[str, tuple[Callable[[Path], object], str]] = {
    "an absolute path": (
        lambda path: placed(path, location=f"{path.parents[1] / 'secret'}"),
        "absolute path|does not name",
    ),
    "a way up": (lambda path: placed(path, location="../secret"), "outside the directory|does not name"),
    "an offset beyond": (lambda path: placed(path, offset="99999999"), "exceeds|end beyond"),
    "an offset below 0": (lambda path: placed(path, offset="-8"), "non-negative|numbers from 0"),
    "an offset that is none": (lambda path: placed(path, offset="first"), "invalid literal|numbers from 0"),
    "a length beyond": (lambda path: placed(path, length="99999999"), "overlap|end beyond"),
    "a length of 2^80": (lambda path: placed(path, length=f"{2**80}"), "overlap|end beyond"),
    "a length below 0": (lambda path: placed(path, length="-1"), "non-negative|numbers from 0"),
    "one over the other": (lambda path: placed(path, length=None, offset="0"), "overlap"),
    "10,000 over each other": (lambda path: many(path, f"{path.name}.data"), "overlap"),
    "10,000 files": (lambda path: many(path, "{}.data"), "and 9995 more|does not name"),
}  # fmt: skip


@pytest.fixture
def theirs(tmp_path) -> Path:
    path = tmp_path / "theirs" / "theirs.onnx"
    path.parent.mkdir()
    (tmp_path / "secret").write_bytes(SECRET)
    onnx.save(
        foreign.dcgan(), path, save_as_external_data=True, location="theirs.onnx.data", size_threshold=0
    )
    return path


@pytest.fixture(scope="module")
def imported(tmp_path_factory) -> dict[str, bytes]:
    """The files of a model whose weights lie beside it."""
    place = tmp_path_factory.mktemp("imported")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(folder, "MOST_INSIDE_MIB", 0.01)
        assert run(save(foreign.dcgan(), place / "theirs.onnx"), "--out", place / "mine").exit_code == 0
    return {one.name: one.read_bytes() for one in (place / "mine").glob("*.onnx*")}


@pytest.fixture
def served(imported, tmp_path) -> Path:
    (tmp_path / "secret").write_bytes(SECRET)
    (tmp_path / "mine").mkdir()
    for name, content in imported.items():
        (tmp_path / "mine" / name).write_bytes(content)
    return tmp_path / "mine" / "generator.onnx"


def refused(path: Path, reason: str) -> None:
    for way in (["--check"], ["--out", path.parent / "mine"]):
        result = run(path, *way)
        assert (result.exit_code, type(result.exception)) == (1, SystemExit), result.output
        assert any(one in result.output for one in reason.split("|")), result.output
        assert len(result.output) < 3000
    assert not (path.parent / "mine").exists()


@pytest.mark.parametrize("case", OF_THE_FILE)
def test_import_refuses_a_file_of_weights(theirs, case):
    spoil, reason = OF_THE_FILE[case]
    spoil(theirs, theirs.with_name("theirs.onnx.data"))
    refused(theirs, reason)


@pytest.mark.parametrize("case", OF_THE_GRAPH)
def test_import_refuses_what_a_graph_says_of_its_weights(theirs, case):
    spoil, reason = OF_THE_GRAPH[case]
    spoil(theirs)
    refused(theirs, reason)


def load(path: Path) -> None:
    loading.as_engines_run_it(loading.read(path).content, path.parent)


def test_the_service_reads_the_weights_beside_a_file(served):
    load(served)


@pytest.mark.parametrize("case", OF_THE_FILE)
def test_the_service_refuses_a_file_of_weights(served, case, tmp_path):
    spoil, reason = OF_THE_FILE[case]
    spoil(served, served.with_name("generator.onnx.data"))
    with pytest.raises(ContractError, match=reason):
        load(served)
    if case in ("a link that leads out", "a device"):
        # Nor is it copied for workers that start later.
        with pytest.raises(ContractError, match=reason):
            keep(Found(served, loading.read(served).version, 0), tmp_path / "shared")


@pytest.mark.parametrize("case", OF_THE_GRAPH)
def test_the_service_refuses_what_a_graph_says_of_its_weights(served, case):
    spoil, reason = OF_THE_GRAPH[case]
    spoil(served)
    with pytest.raises(ContractError, match=reason):
        load(served)


def test_the_service_reads_no_more_than_the_graph_takes(served):
    """A file of holes is as large as its maker likes."""
    os.truncate(served.with_name("generator.onnx.data"), 2**40)
    with pytest.raises(ContractError, match="bytes, and the weights end after"):
        load(served)
