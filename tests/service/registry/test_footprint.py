from dataclasses import replace

import pytest

from service.registry import footprint
from service.settings import Settings


@pytest.fixture
def settings(tmp_path):
    """Twelve models of 2 MB, which take 16 MB each."""
    for number in range(12):
        file = tmp_path / f"m{number}/generator.onnx"
        file.parent.mkdir()
        file.write_bytes(bytes(2_000_000))
    return Settings(models=tmp_path)


def limited(monkeypatch, megabytes: float) -> None:
    monkeypatch.setattr(footprint, "memory_limit_bytes", lambda: megabytes * 2**20)


def test_what_can_not_be_enough_is_said_in_one_line_with_what_would_help(monkeypatch, settings):
    limited(monkeypatch, 350)
    text = footprint.shortage(settings)
    assert text is not None
    assert "350 MB" in text
    assert "GANSERVE_MAX_LOADED_MB" in text
    assert "\n" not in text


@pytest.mark.parametrize("changes", [{"max_loaded_mb": 100.0}, {"models": None}])
def test_fewer_models_in_memory_need_less(monkeypatch, settings, tmp_path, changes):
    limited(monkeypatch, 350)
    nowhere = {"models": tmp_path / "nowhere"} if "models" in changes else changes
    assert footprint.shortage(replace(settings, **nowhere)) is None


def test_each_worker_has_its_own(monkeypatch, settings):
    limited(monkeypatch, 512)
    assert footprint.shortage(settings) is None
    assert footprint.shortage(replace(settings, workers=2)) is not None
    limited(monkeypatch, 400)
    assert footprint.shortage(settings) is None
    assert "openvino" in (footprint.shortage(replace(settings, engine="openvino")) or "")
    limited(monkeypatch, float("inf"))
    assert footprint.shortage(replace(settings, workers=256)) is None
