import os
import re
import socket
import subprocess
from pathlib import Path

import pytest
import trustme

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
        assert text.endswith(f"Try another port: {port + 1}")


@pytest.mark.parametrize("port", ["", "http", "0", "65536", "-1", "80 "])
def test_what_is_no_port_is_said_so(port):
    assert problem("127.0.0.1", port) == f"PORT is '{port}': it must be a number from 1 to 65535."


def test_a_bad_setting_is_one_line(monkeypatch):
    monkeypatch.setenv("GANSERVE_WORKERS", "none")
    assert problem("127.0.0.1", free_port()) == "GANSERVE_WORKERS is 'none': it must be a whole number."


def test_a_models_folder_that_is_not_there_is_named(monkeypatch, tmp_path):
    monkeypatch.setenv("GANSERVE_MODELS", str(tmp_path / "nowhere"))
    assert "nowhere: there is no such folder" in (problem("127.0.0.1", free_port()) or "")


def test_a_bad_key_file_is_one_line(monkeypatch, tmp_path):
    monkeypatch.setenv("GANSERVE_API_KEYS_FILE", str(tmp_path / "none.toml"))
    text = problem("127.0.0.1", free_port())
    assert text == f"GANSERVE_API_KEYS_FILE: {tmp_path / 'none.toml'}: No such file or directory."


def test_a_certificate_is_tried_before_anything_starts(tmp_path):
    certificate = trustme.CA(key_type=trustme.KeyType.ECDSA).issue_cert("localhost")
    files = {name: str(tmp_path / f"{name}.pem") for name in ("both", "cert", "key", "text")}
    certificate.private_key_and_cert_chain_pem.write_to_path(files["both"])
    certificate.cert_chain_pems[0].write_to_path(files["cert"])
    certificate.private_key_pem.write_to_path(files["key"])
    Path(files["text"]).write_text("no PEM")
    for good in ((files["cert"], files["key"]), (files["both"],)):
        assert problem("127.0.0.1", free_port(), *good) is None
    for bad in (
        (files["cert"],),
        ("", files["key"]),
        (files["text"], files["key"]),
        ("/nowhere.pem", files["key"]),
    ):
        text = problem("127.0.0.1", free_port(), *bad)
        assert text
        assert text.startswith(f"SSL_CERTFILE is '{bad[0]}'")
        assert "\n" not in text


@pytest.mark.parametrize(
    ("variables", "flags"),
    [
        ([], []),
        (["SSL_CERTFILE=a.pem"], ["--ssl-certfile 'a.pem'"]),
        (["SSL_CERTFILE=a.pem", "SSL_KEYFILE=b.pem"], ["--ssl-certfile 'a.pem'", "--ssl-keyfile 'b.pem'"]),
    ],
)
def test_make_serve_passes_the_certificate_on(variables, flags):
    root = Path(__file__).parents[2]
    command = ["make", "--dry-run", "--always-make", "serve", *variables]
    said = subprocess.run(command, cwd=root, capture_output=True, text=True, check=True).stdout
    serve = said.partition("bentoml serve")[2]
    assert serve
    assert serve.count("--ssl") == len(flags)
    assert all(flag in serve for flag in flags)


@pytest.mark.parametrize(("variables", "host"), [([], "127.0.0.1"), (["HOST=0.0.0.0"], "0.0.0.0")])
def test_make_serve_lets_other_machines_in_only_if_it_is_told_to(variables, host):
    root = Path(__file__).parents[2]
    command = ["make", "--dry-run", "--always-make", "serve", *variables]
    # A HOST of the shell's would count, as any variable of make's does.
    environ = {name: value for name, value in os.environ.items() if name != "HOST"}
    said = subprocess.run(command, cwd=root, env=environ, capture_output=True, text=True, check=True).stdout
    assert re.findall(r"--host (\S+)", said) == [host]
