import socket

import pytest

from service.preflight import problem


@pytest.fixture(autouse=True)
def models(tmp_path, monkeypatch):
    monkeypatch.setenv("GANSERVE_MODELS", str(tmp_path))


def free_port() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return str(probe.getsockname()[1])


def test_a_free_port_and_good_settings_are_no_problem():
    assert problem("127.0.0.1", free_port()) is None


def test_a_port_that_is_taken_is_named_with_another_to_try():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        text = problem("127.0.0.1", str(port))
        assert text is not None
        assert f"127.0.0.1:{port}" in text
        assert f"PORT={port + 1}" in text


@pytest.mark.parametrize("port", ["", "http", "0", "65536", "-1", "80 "])
def test_what_is_no_port_is_said_so(port):
    assert problem("127.0.0.1", port) == f"PORT is '{port}': it must be a number from 1 to 65535."


def test_a_bad_setting_is_one_line(monkeypatch):
    monkeypatch.setenv("GANSERVE_WORKERS", "none")
    assert problem("127.0.0.1", free_port()) == "GANSERVE_WORKERS is 'none': it must be a whole number."


def test_a_models_folder_that_is_not_there_is_named(monkeypatch, tmp_path):
    monkeypatch.setenv("GANSERVE_MODELS", str(tmp_path / "nowhere"))
    assert "nowhere: there is no such folder" in (problem("127.0.0.1", free_port()) or "")
