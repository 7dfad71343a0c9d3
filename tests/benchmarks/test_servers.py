import pytest

from benchmarks.__main__ import MODELS, select
from benchmarks.comparison.environments import PEERS
from benchmarks.models import MODELS as DESCRIBED
from benchmarks.server.servers import ONNXRUNTIME, ROOT, SERVERS, environment
from service.environment import from_environment
from service.machine.hardware import default_workers


def test_every_peer_has_its_requirements_and_its_program():
    for server in SERVERS:
        assert server.venv is None or (PEERS / f"{server.venv}.txt").is_file()
        for part in server.command:
            if part.startswith("benchmarks."):
                assert (ROOT / part.split(":")[0].replace(".", "/")).with_suffix(".py").is_file()


def test_names_differ():
    assert len({server.name.casefold() for server in SERVERS}) == len(SERVERS)
    assert set(MODELS) == set(DESCRIBED)


@pytest.mark.parametrize("server", [one for one in SERVERS if one.venv is None], ids=lambda one: one.name)
def test_settings_of_ganserve_are_settings(server, tmp_path, monkeypatch):
    monkeypatch.setenv("GANSERVE_MAX_BATCH", "1")
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    file = tmp_path / "instant" / "instant" / "generator.onnx"
    environ = environment(server, file, ONNXRUNTIME, 128, 2, 3000, tmp_path)
    settings = from_environment(environ)
    assert settings.models == tmp_path / "instant"
    assert settings.workers == (server.workers or default_workers())
    assert settings.engine == ("onnxruntime" if server.workers else "auto")
    assert settings.max_batch == 0  # the caller's own settings have no effect
    assert "PYTHONDONTWRITEBYTECODE" not in environ  # it would slow every start


def test_only_takes_parts_of_names_or_one_whole_name():
    assert [one.name for one in select("ganserve 1 worker")] == ["ganserve 1 worker"]
    assert [one.name for one in select("litserve, FASTAPI")] == ["LitServe", "FastAPI"]
    assert len(select("2 workers")) == 4
    assert select("") == SERVERS
