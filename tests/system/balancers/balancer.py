"""A real nginx with the shipped configuration, and clients that keep asking it."""

import asyncio
import json
import os
import re
import signal
import subprocess
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from string import Template
from typing import Any

import httpx
import yaml

from tests.needs import program
from tests.system.serving import ROOT, free_port
from tests.waiting import wait_until

SEEDS = 16
# Between a client's requests: some 500 requests a second of all clients, and cores left for replicas that start.
PAUSE_SECONDS = 0.01


def server_lines(ports: Sequence[int]) -> str:
    """The `server`s of the compose file, with their limits, for each of these ports."""
    compose = yaml.safe_load((ROOT / "deploy/compose.yaml").read_text())
    lines = compose["services"]["nginx"]["environment"]["GANSERVE_SERVERS"].split(";")
    servers = [line.replace(" resolve", "") for line in lines if line.strip().startswith("server ")]
    here = [f"127.0.0.1:{port}" for port in ports]
    return "".join(f"{line.replace('ganserve:3000', address)};" for line in servers for address in here)


def _version(nginx: str) -> tuple[int, ...]:
    said = subprocess.run([nginx, "-v"], capture_output=True, text=True, timeout=60).stderr
    return tuple(map(int, said.rpartition("/")[2].split()[0].split(".")))


class Balancer:
    """nginx in a folder of its own."""

    def __init__(self, folder: Path, ports: Sequence[int], logged: str = "100%") -> None:
        """logged: how many of the requests that go well the log has."""
        nginx = program("nginx", "nginx-light")
        self.port, self.status_port = free_port(), free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._log = folder / "access.log"
        self._read = 0
        variables = {
            "GANSERVE_LISTEN": f"127.0.0.1:{self.port}",
            "GANSERVE_SERVERS": server_lines(ports),
            "GANSERVE_CACHE": str(folder / "cache"),
            "GANSERVE_LOG": str(self._log),
            "GANSERVE_LOGGED": logged,
            "GANSERVE_STATUS": f"127.0.0.1:{self.status_port}",
        }
        folder.mkdir(parents=True, exist_ok=True)
        # Its container's own folder for all that is written.
        main = (ROOT / "deploy/nginx/nginx.conf").read_text().replace("/tmp/", f"{folder}/")
        if _version(nginx) < (1, 27, 4):
            main = main.replace("    keepalive_min_timeout 20s;\n", "")
        (folder / "nginx.conf").write_text(main)
        shipped = Template((ROOT / "deploy/nginx/ganserve.conf").read_text())
        (folder / "ganserve.conf").write_text(shipped.safe_substitute(variables))
        # As root nginx would change to a user who can't enter a test's folder.
        user = "user root;" if os.getuid() == 0 else ""
        self.command = [nginx, "-p", f"{folder}/", "-c", str(folder / "nginx.conf"), "-g", user]
        self.said = folder / "error.log"

    def check(self) -> str:
        """What `nginx -t` says."""
        return subprocess.run([*self.command, "-t"], capture_output=True, text=True, timeout=60).stderr

    @contextmanager
    def running(self) -> Iterator["Balancer"]:
        self.command[-1] += "daemon off;"
        with self.said.open("wb") as said:
            process = subprocess.Popen(self.command, stdout=said, stderr=said)
        try:
            wait_until(lambda: self.answers() or process.poll() is not None)
            assert process.poll() is None, self.said.read_text()
            yield self
            process.send_signal(signal.SIGQUIT)  # finish what has begun
            assert process.wait(30) == 0
        finally:
            process.kill()
            process.wait()

    def answers(self) -> bool:
        try:
            return httpx.get(f"http://127.0.0.1:{self.status_port}/metrics", trust_env=False).is_success
        except httpx.TransportError:
            return False

    def busy(self) -> int:
        """Requests that have arrived and are not answered, this one apart."""
        status = httpx.get(f"http://127.0.0.1:{self.status_port}/status", trust_env=False).text
        return int(status.partition("Writing: ")[2].split()[0]) - 1

    def client(self, **options: Any) -> httpx.Client:
        return httpx.Client(base_url=self.url, trust_env=False, timeout=60, **options)

    def logged(self) -> list[dict[str, Any]]:
        """The log's lines since the last call: one a request, with every replica that was asked."""
        with self._log.open("rb") as log:
            log.seek(self._read)
            text = log.read()
            whole = text.rpartition(b"\n")[0]
            self._read += len(whole) + bool(whole)
        return [json.loads(line) for line in whole.splitlines()]

    def requests(self, number: int) -> list[dict[str, Any]]:
        """The log's lines of the last so many requests; a line is written after its reply."""
        lines: list[dict[str, Any]] = []
        wait_until(lambda: lines.extend(self.logged()) or len(lines) >= number)
        return lines


def asked(lines: list[dict[str, Any]]) -> Counter[tuple[int, str]]:
    """How often a replica's port gave which status; `-` is none at all. A request that was retried counts twice."""
    pairs: Counter[tuple[int, str]] = Counter()
    for line in lines:
        replicas, statuses = (re.split(", | : ", line[name]) for name in ("replica", "replica_status"))
        for replica, status in zip(replicas, statuses, strict=True):
            if ":" in replica:
                pairs[int(replica.rpartition(":")[2]), status] += 1
    return pairs


class Load:
    """Clients that each ask for one image after another, and note what is not the image that they asked for."""

    def __init__(self, balancer: Any, clients: int = 8) -> None:
        """balancer: with `client` and `port`, as Balancer has them."""
        self.balancer, self.clients = balancer, clients
        with balancer.client() as client:
            self._right = [client.post("/v1/samples", json={"seed": seed}).content for seed in range(SEEDS)]
        self.answered = 0
        self.lost: list[str] = []
        self._stopped = False
        self._thread = threading.Thread(target=lambda: asyncio.run(self._all()))

    def __enter__(self) -> "Load":
        self._thread.start()
        self.more()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped = True
        self._thread.join()

    def more(self, requests: int = 50) -> None:
        """Return once that many more were answered, or one was lost."""
        enough = self.answered + requests
        wait_until(lambda: self.answered >= enough or self.lost, seconds=60)

    async def _all(self) -> None:
        await asyncio.gather(*(self._one(number) for number in range(self.clients)))

    async def _one(self, number: int) -> None:
        seed = number
        while not (self._stopped or self.lost):
            # Bare streams: httpx would need both cores for itself.
            reader, writer = await asyncio.open_connection("127.0.0.1", self.balancer.port)
            try:
                closed = False  # nginx closes a connection after so many requests, and says so
                while not (closed or self._stopped or self.lost):
                    seed = (seed + 1) % SEEDS
                    closed = await self._ask(seed, reader, writer)
                    await asyncio.sleep(PAUSE_SECONDS)
            except (asyncio.IncompleteReadError, ConnectionError) as error:
                self.lost.append(f"seed {seed}: {error!r}")
            finally:
                writer.close()
                with suppress(ConnectionError):
                    await writer.wait_closed()

    async def _ask(self, seed: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """One image. Returns whether nginx closes the connection after it."""
        body = b'{"seed": %d}' % seed
        writer.write(b"POST /v1/samples HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n" % len(body) + body)
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        length = int(head.partition(b"content-length: ")[2].split(b"\r\n")[0])
        image = await reader.readexactly(length)
        if int(head.split()[1]) == 200 and image == self._right[seed]:
            self.answered += 1
        else:
            self.lost.append(f"seed {seed}: {head.decode()} {image[:200]!r}")
        return b"connection: close" in head
