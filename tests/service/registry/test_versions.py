import os

import pytest

from service.errors import ContractError
from service.generator import contract
from service.registry import versions
from service.registry.desired_state import DesiredModel, DesiredState
from service.registry.versions import Found
from tests import generators

A, B, C = b"a", b"b", b"c"


def lay(root, name, **files: tuple[bytes, int]):
    """Files of a model, by name without .onnx: their content, and when they were written."""
    for file, (content, modified) in files.items():
        path = root / name / f"{file}.onnx"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content)
        os.utime(path, (modified, modified))


def found(**files: bytes) -> dict[str, list[Found]]:
    """As `find` gives it, of one model `m` under a folder that is not there."""
    root = versions.Path("/nowhere/m")
    return {"m": [Found(root / f"{file}.onnx", contract.version(one), 0) for file, one in files.items()]}


def v(content: bytes) -> str:
    return contract.version(content)


def merge(before, files, failed=(), most=9):
    return versions.merge(before, files, {"m": {v(one) for one in failed}}, most, None)


def test_every_onnx_file_is_a_version_the_one_that_is_served_at_the_start_first_then_the_newest(tmp_path):
    lay(tmp_path, "m", generator=(A, 3), old=(B, 1), new=(C, 2), twin=(A, 9))
    lay(tmp_path, "no-generator", other=(A, 1))
    (tmp_path / "m" / "folder.onnx").mkdir()
    (tmp_path / "m" / "README.md").write_text("card")
    ones = versions.find(tmp_path)
    assert list(ones) == ["m"]
    assert [(one.path.name, one.version, one.modified) for one in ones["m"]] == [
        ("generator.onnx", v(A), 3),
        ("new.onnx", v(C), 2),
        ("old.onnx", v(B), 1),
    ]


def test_a_model_whose_generator_can_not_be_read_is_left_to_say_so_itself(tmp_path, monkeypatch):
    lay(tmp_path, "m", generator=(A, 1), other=(B, 1))
    lay(tmp_path, "n", generator=(A, 1), other=(B, 1))
    read = versions.Path.read_bytes
    unreadable = {tmp_path / "m" / "generator.onnx", tmp_path / "n" / "other.onnx"}

    def read_bytes(path):
        if path in unreadable:
            raise PermissionError(13, "Permission denied")
        return read(path)

    monkeypatch.setattr(versions.Path, "read_bytes", read_bytes)  # root reads everything
    assert {name: [one.path.name for one in ones] for name, ones in versions.find(tmp_path).items()} == {
        "n": ["generator.onnx"]
    }


def test_a_folder_that_can_not_be_listed_is_an_error(tmp_path):
    with pytest.raises(OSError, match="nowhere"):
        versions.find(tmp_path / "nowhere")


def test_at_the_start_generator_onnx_gets_the_requests():
    now, left_out = merge(None, found(generator=A, other=B))
    assert now.models == {"m": DesiredModel({v(A): "generator.onnx", v(B): "other.onnx"}, v(A))}
    assert left_out == []


def test_a_replaced_generator_is_a_new_version_and_the_old_one_keeps_its_requests():
    before, _ = merge(None, found(generator=A))
    before.models["m"].canary, before.models["m"].share = v(C), 0.5
    now, _ = merge(before, found(generator=B))
    assert now.models["m"].version == v(A)
    assert (now.models["m"].canary, now.models["m"].share) == (v(C), 0.5)
    assert set(now.models["m"].versions) == {v(A), v(B)}
    assert set(before.models["m"].versions) == {v(A)}, "what was wanted is not touched"
    assert now.reloads == before.reloads + 1


def test_a_model_whose_folder_has_gone_is_still_wanted():
    before, _ = merge(None, found(generator=A))
    now, _ = merge(before, {})
    assert now.models == before.models


def test_a_version_that_failed_goes_with_its_file():
    before, _ = merge(None, found(generator=A, other=B))
    assert set(merge(before, found(generator=A, other=B), failed=[B])[0].models["m"].versions) == {v(A), v(B)}
    assert set(merge(before, found(generator=A), failed=[B])[0].models["m"].versions) == {v(A)}


def test_a_model_that_could_not_be_served_gets_its_new_generator():
    before, _ = merge(None, found(generator=A))
    now, _ = merge(before, found(generator=B), failed=[A])
    assert now.models["m"] == DesiredModel({v(B): "generator.onnx"}, v(B))


def test_no_more_versions_are_wanted_than_are_allowed_and_those_left_out_are_named():
    now, left_out = merge(None, found(generator=A, newer=B, older=C), most=2)
    assert set(now.models["m"].versions) == {v(A), v(B)}
    assert len(left_out) == 1
    assert f"m@{v(C)} (older.onnx)" in left_out[0]
    assert "2 versions" in left_out[0]
    again, left_out = merge(now, found(generator=A, newer=B, older=C), most=2)
    assert (again.models, len(left_out)) == (now.models, 1)


def test_a_copy_outlives_its_file_and_has_its_card(tmp_path):
    root, shared = tmp_path / "models", tmp_path / "shared"
    root.mkdir()
    lay(root, "m", generator=(A, 3), other=(B, 2))
    (root / "m" / "README.md").write_text("card of a")
    (root / "m" / "other.md").write_text("card of b")
    now, _ = versions.merge(None, versions.find(root), {}, 9, shared)
    lay(root, "m", generator=(C, 4))
    (root / "m" / "other.onnx").rename(root / "m" / "moved.onnx")
    again, _ = versions.merge(now, versions.find(root), {}, 9, shared)
    for content, file, card, modified in ((A, "generator", "README", 3), (B, "other", "other", 2)):
        assert again.models["m"].versions[v(content)] == f"{file}.onnx"
        copy = versions.kept(shared, "m", v(content))
        assert (copy / f"{file}.onnx").read_bytes() == content
        assert (copy / f"{file}.onnx").stat().st_mtime == modified
        assert (copy / f"{card}.md").read_text() == f"card of {content.decode()}"
    versions.forget(shared, "m", v(A))
    assert not versions.kept(shared, "m", v(A)).exists()
    versions.forget(shared, "m", v(A))


def test_a_card_that_was_mended_is_copied_again(tmp_path):
    lay(tmp_path, "m", generator=(A, 3))
    (one,) = versions.find(tmp_path)["m"]
    for text in ("wrong", "right"):
        (tmp_path / "m" / "README.md").write_text(text)
        versions.keep(one, tmp_path / "shared")
        assert (versions.kept(tmp_path / "shared", "m", v(A)) / "README.md").read_text() == text


def test_a_file_that_changed_after_it_was_found_is_not_kept_as_what_it_was(tmp_path):
    lay(tmp_path, "m", generator=(A, 3))
    (one,) = versions.find(tmp_path)["m"]
    lay(tmp_path, "m", generator=(B, 3))
    with pytest.raises(ContractError, match="changed"):
        versions.keep(one, tmp_path / "shared")
    assert not list(tmp_path.glob("shared/**/*.onnx"))


def test_where_no_copy_can_be_made_the_file_itself_is_wanted(tmp_path, caplog):
    generators.folder(tmp_path / "models", {"m": A})
    (tmp_path / "shared").write_text("a file where a folder is needed")
    now, _ = versions.merge(None, versions.find(tmp_path / "models"), {}, 9, tmp_path / "shared")
    assert now.models["m"].versions == {v(A): "generator.onnx"}
    assert "no copy" in caplog.text
    assert isinstance(now, DesiredState)
