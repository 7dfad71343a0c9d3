"""POST /v1/samples on a real socket, by web.wire; and what is not plainly that, by uvicorn on the same connection."""

import contextlib
import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn
from prometheus_client import REGISTRY

from service.generator.engines.fake import FakeEngine
from service.keys import Keyring, keyring
from service.registry.models import Models
from service.settings import Settings
from service.web.connection import wire as module
from service.web.connection.turns import MOST_HELD_BYTES
from service.web.connection.wire import Wire, head_here
from service.web.front import Front
from tests import generators
from tests.generators import Tiny
from tests.service.loaded import loaded
from tests.service.web.site import no_bento, refused
from tests.waiting import wait_until

BODY = b'{"seed": 3, "n": 2}'
LAST = b"GET /livez HTTP/1.1\r\nhost: wire\r\nconnection: close\r\n\r\n"


def request(body: bytes = BODY, *fields: bytes, start: bytes = b"POST /v1/samples HTTP/1.1") -> bytes:
    lines = [start, b"host: wire", b"content-length: %d" % len(body), *fields]
    return b"\r\n".join([*lines, b"", body])


class Served:
    """uvicorn with our protocol, on a thread."""

    def __init__(self, models: Models, keyring: Keyring | None = None, **options: Any) -> None:
        self.front = Front(models, no_bento, frozenset(), keyring)
        self.socket = socket.create_server(("127.0.0.1", 0))
        config = uvicorn.Config(self.front, http=Wire, log_config=None, server_header=False, **options)
        self.server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self.server.run, args=([self.socket],))
        self._thread.start()

    @contextmanager
    def connection(self) -> Iterator[socket.socket]:
        with socket.create_connection(self.socket.getsockname(), timeout=20) as connection:
            yield connection

    def ask(self, *parts: bytes) -> list[tuple[int, dict[str, str], bytes]]:
        """Sends the parts, each in a packet of its own, then a last request; returns the answers before that one's."""
        with self.connection() as connection:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            sent = b""
            # Who refuses a request closes, and resets what was sent behind it.
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                for part in (*parts, LAST):
                    connection.sendall(part)
            with contextlib.suppress(ConnectionResetError):
                while chunk := connection.recv(65536):
                    sent += chunk
            replies = answers(sent)
        return replies[:-1] if replies and replies[-1][2] == b"alive\n" else replies

    def post(self, body: bytes, **headers: str) -> httpx.Response:
        url = f"http://127.0.0.1:{self.socket.getsockname()[1]}/v1/samples"
        return httpx.post(url, content=body, headers=headers, timeout=20, trust_env=False)

    def stop(self) -> None:
        self.server.should_exit = True
        self._thread.join(30)
        assert not self._thread.is_alive()


def answers(sent: bytes) -> list[tuple[int, dict[str, str], bytes]]:
    """Status, headers without the date, and body of each response."""
    found = []
    while sent:
        head, _, rest = sent.partition(b"\r\n\r\n")
        status, *lines = head.decode("latin-1").split("\r\n")
        headers = dict(line.lower().split(": ", 1) for line in lines)
        assert headers.pop("date")
        # What uvicorn's parser refuses has had no request yet.
        assert headers.pop("x-request-id", None) or rest == b"Invalid HTTP request received."
        headers.pop("server-timing", None)
        length = int(headers["content-length"])
        found.append((int(status.split()[1]), headers, rest[:length]))
        assert len(rest) >= length
        sent = rest[length:]
    return found


@contextmanager
def served(models: Models, keyring: Keyring | None = None, **options: Any) -> Iterator[Served]:
    one = Served(models, keyring, **options)
    try:
        wait_until(lambda: one.server.started)
        yield one
    finally:
        one.stop()


@pytest.fixture(scope="module")
def wire(tmp_path_factory):
    """The tiny generator with small limits; replies by ASGI are counted in `by_asgi`."""
    files = {"tiny": Tiny().file(), "bare": Tiny(classes=None).file()}
    limits = {"max_body_bytes": 4096, "max_images_per_request": 64, "timeout_seconds": 20}
    settings: dict[str, Any] = limits | {"engine": "onnxruntime"}
    with (
        loaded(tmp_path_factory.mktemp("models"), files, **settings) as models,
        served(models) as one,
    ):
        yield one


class Gated:
    """A served fake model whose passes wait until the gate is opened."""

    def __init__(
        self, folder: Path, stack: contextlib.ExitStack, keep_alive_seconds: int = 5, **settings: Any
    ) -> None:
        self.gate = threading.Event()
        self.gate.set()
        self.passes: list[int] = []
        tiny = Tiny(golden_samples=0)
        engine = FakeEngine(tiny.contract(), gate=self.gate, on_pass=self.passes.append)
        files = {"tiny": tiny.file()}
        models = stack.enter_context(loaded(folder, files, on=engine, engine="fake", **settings))
        self.passes.clear()
        self.gate.clear()
        stack.callback(self.gate.set)
        self.batcher = models.batcher
        assert self.batcher is not None
        self.served = stack.enter_context(served(models, timeout_keep_alive=keep_alive_seconds))
        stack.callback(self.gate.set)


@pytest.fixture
def gated(tmp_path):
    with contextlib.ExitStack() as stack:

        def start(**settings: Any) -> Gated:
            return Gated(tmp_path / "models", stack, **settings)

        yield start


def counted(code: int) -> float:
    labels = {"route": "/v1/samples", "code": str(code)}
    return REGISTRY.get_sample_value("ganserve_requests_total", labels) or 0


@contextmanager
def by_asgi(wire: Served) -> Iterator[list[str]]:
    """The paths that reach the ASGI app."""
    seen: list[str] = []
    real = wire.server.config.loaded_app

    async def watching(scope, receive, send):
        if (b"connection", b"close") not in scope["headers"] or scope["path"] != "/livez":
            seen.append(scope["path"])
        await real(scope, receive, send)

    wire.server.config.loaded_app = watching
    try:
        yield seen
    finally:
        wire.server.config.loaded_app = real


BODIES = [
    b"",
    b"{}",
    BODY,
    b'{"seed": 9007199254740991, "label": "Sneaker"}',
    b'{"seed": 1, "n": 64, "format": "npy"}',
    b'{"seed": 1, "n": 3, "format": "json", "include_z": true, "truncation": 0.5}',
    b'{"seed": 1, "label": [1, 2, 3], "format": "webp"}',
    b'{"model": "bare", "seed": 1}',
    b'{"model": "nobody"}',
    b'{"n": 65}',
    b'{"n": 0}',
    b'{"label": "shoe"}',
    b'{"nope": 1}',
    b'{"n": ',
    b"[1]",
    b"\xff\xfe",
    b"[" * 4000,
    b'{"z": [[1]]}',
    b'{"timeout": 1e-9}',
]


@pytest.mark.parametrize("body", BODIES)
def test_the_wire_answers_as_asgi_does(wire, body):
    body = body.replace(b"{}", b'{"seed": 4}') or b'{"seed": 5}'
    with by_asgi(wire) as seen:
        ((status, headers, content),) = wire.ask(request(body))
        assert seen == []
        chunked = b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)
        lines = [b"POST /v1/samples HTTP/1.1", b"host: wire", b"transfer-encoding: chunked", b"", chunked]
        (other,) = wire.ask(b"\r\n".join(lines))
        assert seen == ["/v1/samples"]
    assert (status, headers, content) == other
    assert headers["content-length"] == str(len(content))


@pytest.mark.parametrize(
    "odd",
    [
        request(BODY, b"connection: close"),
        request(BODY, b"Connection: Keep-Alive, close"),
        request(BODY, b"expect: nothing"),
        request(BODY, b"upgrade: h2c"),
        request(BODY, b"content-length: %d" % len(BODY)),
        request(BODY, b"content-type: application/json", start=b"POST /v1/samples? HTTP/1.1"),
        request(BODY, start=b"POST /v1/samples HTTP/1.0"),
        request(BODY, b"content-type: text/csv"),
        request(BODY, b"x: " + b"y" * 9000),
        request(BODY, b"content-encoding: gzip"),
        request(b" " * 5000),
        request(BODY, start=b"PUT /v1/samples HTTP/1.1"),
        b"POST /v1/samples HTTP/1.1\r\nhost: wire\r\n\r\n",
    ],
)
def test_what_is_not_plainly_a_sample_is_left_to_uvicorn(wire, odd):
    with by_asgi(wire) as seen:
        replies = wire.ask(odd)
    # Its parser refuses some, and closes; what it said may be lost with the connection.
    refused_by_its_parser = [status for status, *_ in replies] in ([400], [])
    assert seen == ["/v1/samples"] or refused_by_its_parser


@pytest.mark.parametrize(
    "smuggled",
    [
        request(BODY, b"transfer-encoding: chunked"),
        b"POST /v1/samples HTTP/1.1\r\nhost: a\r\ncontent-length: 2\r\ncontent-length: 30\r\n\r\n{}GET /livez HTTP/1.1",
        b"POST /v1/samples HTTP/1.1\r\nhost: a\r\ncontent-length : 2\r\n\r\n{}",
        b"POST /v1/samples HTTP/1.1\r\nhost: a\r\ncontent-length: +2\r\n\r\n{}",
        b"POST /v1/samples HTTP/1.1\r\nhost: a\ncontent-length: 2\r\n\r\n{}",
        b"POST /v1/samples HTTP/1.1\r\nhost: a\r\n content-length: 2\r\n\r\n{}",
        b"POST /v1/samples HTTP/1.1\r\nhost: a\x00\r\ncontent-length: 2\r\n\r\n{}",
    ],
)
def test_a_head_that_could_be_read_in_two_ways_is_not_read_here(smuggled):
    assert head_here(smuggled) is None


KEY = "wire-0123456789abcdef"


@pytest.fixture
def keyed(wire, tmp_path):
    """The same models, for those who have a key; it may draw 8 images a minute."""
    path = tmp_path / "keys.toml"
    path.write_text(f'[[keys]]\nname = "wire"\nkey = "{KEY}"\nimages_per_minute = 8\n')
    with served(wire.front.models, keyring(Settings(api_keys_file=str(path)))) as one:
        yield one


@pytest.mark.parametrize(
    ("field", "code"),
    [
        (b"authorization: Bearer %b", None),
        (b"AUTHORIZATION:Bearer  %b ", None),
        (b"authorization: bearer %b", None),
        (b"X-Api-Key:\t%b", None),
        (b"x-none: %b", "invalid_api_key"),
        (b"authorization: Bearer x%b", "invalid_api_key"),
        (b"authorization: Basic %b", "invalid_api_key"),
        (b"authorization: %b", "invalid_api_key"),
        (b"x-api-key: Bearer %b", "invalid_api_key"),
    ],
)
def test_a_key_is_asked_for_here_as_by_asgi(keyed, field, code):
    one = request(BODY, field % KEY.encode())
    with by_asgi(keyed) as seen:
        ((status, headers, content),) = keyed.ask(one)
        assert seen == []
    other = one.replace(b"content-length: %d" % len(BODY), b"transfer-encoding: chunked")
    (by_uvicorn,) = keyed.ask(other.replace(BODY, b"%x\r\n%b\r\n0\r\n\r\n" % (len(BODY), BODY)))
    assert (status, headers, content) == by_uvicorn
    assert status == (401 if code else 200)
    assert not code or json.loads(content)["code"] == code


def test_quotas_hold_here_and_the_connection_goes_on(keyed):
    one = request(b'{"n": 4, "seed": 1}', b"authorization: Bearer " + KEY.encode())
    labels = {"key": "wire"}
    before = REGISTRY.get_sample_value("ganserve_key_images_total", labels) or 0
    replies = keyed.ask(one, one, one, request(b'{"n": 0}', b"x-api-key: " + KEY.encode()), request(BODY))
    assert [status for status, *_ in replies] == [200, 200, 429, 422, 401]
    assert replies[2][1]["retry-after"] == "30"
    assert json.loads(replies[2][2])["code"] == "quota_exceeded"
    assert REGISTRY.get_sample_value("ganserve_key_images_total", labels) == before + 8


@pytest.mark.parametrize(
    "field",
    [
        b"authorization: Bearer hunter2",
        b"Authorization:Bearer hunter2",
        b"x-API-key: hunter2",
        b"cookie: session=hunter2",
        b"proxy-authorization: Basic hunter2",
        b"authorization : Bearer hunter2",
        b" authorization: Bearer hunter2",
        b"authorization: Bearer hunter2\x00",
        b"authorization: Bearer hunter2\r\nauthorization: Bearer hunter2",
        b"authorization: Bearer hunter2\r\nx-api-key: hunter2",
        b"authorization: Bearer\r\n hunter2",
    ],
)
def test_no_head_that_is_kept_has_a_secret_in_it(field):
    module._heads.clear()
    for _ in range(2):
        head_here(request(BODY, field))
    assert b"hunter2" not in b"".join(module._heads)
    assert "hunter2" not in repr(module._heads.values())


def test_heads_are_kept_up_to_a_number_and_one_with_a_key_is_the_rest_of_it():
    module._heads.clear()
    for i in range(5000):
        assert head_here(request(BODY, b"x-request-id: %d" % i))
    assert len(module._heads) <= module._MOST_HEADS
    module._heads.clear()
    for i in range(5000):
        head = head_here(request(BODY, b"authorization: Bearer %d" % i))
        assert head
        assert (head.credential, head.bytes) == (
            f"Bearer {i}",
            len(request(b"", b"authorization: Bearer %d" % i)) + 1,
        )
    assert len(module._heads) == 1


def test_pages_of_other_origins_get_their_headers_here_too(wire, tmp_path):
    models = Models(Settings(models=tmp_path, cors_origins="https://shop.example.com"))
    models._models, models.batcher = wire.front.models._models, wire.front.models.batcher
    with served(models) as one:
        ours, theirs, none = one.ask(
            request(BODY, b"origin: https://shop.example.com"),
            request(BODY, b"origin: https://evil.example.com"),
            request(BODY),
        )
    assert [status for status, *_ in (ours, theirs, none)] == [200] * 3
    assert ours[1]["access-control-allow-origin"] == "https://shop.example.com"
    assert "access-control-allow-origin" not in theirs[1] | none[1]


def test_a_request_may_arrive_in_any_pieces(wire):
    whole = request(b'{"seed": 3, "n": 2, "format": "npy"}', b"content-type: application/json; charset=utf-8")
    (expected,) = wire.ask(whole)
    for cut in range(1, len(whole), 7):
        assert wire.ask(whole[:cut], whole[cut:]) == [expected]


def test_a_body_as_long_as_what_may_wait_is_read_to_its_end(gated):
    """The connection stops reading past what may wait, and must not wait for more of it then."""
    tiny = gated(timeout_seconds=3)
    tiny.gate.set()
    for size in (MOST_HELD_BYTES - 200, MOST_HELD_BYTES - 60, MOST_HELD_BYTES):
        whole = request(BODY + b" " * (size - len(BODY)))
        for left in (1, 30, 80):
            with tiny.served.connection() as connection:
                connection.sendall(whole[:-left])
                tiny.served.ask(request())  # meanwhile it has come
                connection.sendall(whole[-left:] + LAST)
                sent = b""
                while chunk := connection.recv(65536):
                    sent += chunk
            assert [status for status, *_ in answers(sent)] == [200, 200], (size, left)


def test_pipelined_requests_are_answered_in_their_order(wire):
    many = [request(b'{"seed": %d}' % seed) for seed in range(20)]
    many.insert(7, b"GET /livez HTTP/1.1\r\nhost: wire\r\n\r\n")
    many.insert(3, request(b'{"n": 0}'))
    replies = wire.ask(b"".join(many))
    assert [status for status, *_ in replies] == [200] * 3 + [422] + [200] * 18
    assert [headers.get("ganserve-seeds") for _, headers, _ in replies[:9]] == [
        *("0", "1", "2", None, "3", "4", "5", "6", None),
    ]
    assert replies[-1][1]["ganserve-seeds"] == "19"


def test_routes_take_turns_on_one_connection(wire):
    with by_asgi(wire) as seen, wire.connection() as connection:
        reader = connection.makefile("rb")
        for seed in range(3):
            for path, sent in (
                ("samples", request(b'{"seed": %d}' % seed)),
                ("livez", b"GET /livez HTTP/1.1\r\nhost: a\r\n\r\n"),
            ):
                connection.sendall(sent)
                assert reader.readline() == b"HTTP/1.1 200 OK\r\n", path
                length = 0
                while (line := reader.readline()) != b"\r\n":
                    if line.startswith(b"content-length"):
                        length = int(line.split()[1])
                reader.read(length)
        assert seen == ["/livez"] * 3


def test_a_client_that_leaves_is_dropped_from_the_queue_and_counted(gated):
    one = gated()
    before = counted(499)
    with one.served.connection() as first, one.served.connection() as second:
        first.sendall(request(b'{"seed": 1}'))
        wait_until(lambda: one.passes)
        second.sendall(request(b'{"seed": 1, "n": 4}'))
        wait_until(lambda: one.batcher.accepted_images == 5)
        second.close()
        wait_until(lambda: one.batcher.accepted_images == 1)
        one.gate.set()
        assert first.recv(100).startswith(b"HTTP/1.1 200")
    assert one.passes == [1]
    assert counted(499) == before + 1


def test_a_deadline_holds(gated):
    one = gated()
    refused(one.served.post(b'{"timeout": 0.05}'), 504, "deadline_passed")


def test_a_full_queue_is_told_at_once(gated):
    one = gated(max_queue_images=256)
    with one.served.connection() as connection:
        connection.sendall(request(b'{"n": 256}'))
        wait_until(lambda: one.batcher.accepted_images == 256)
        response = one.served.post(b"{}")
        refused(response, 429, "queue_full")
        assert int(response.headers["retry-after"]) >= 1


def test_a_body_that_does_not_come_is_408(gated):
    one = gated(timeout_seconds=0.1)
    with one.served.connection() as connection:
        connection.sendall(request(BODY)[:-3])
        ((status, headers, body),) = answers(b"".join(iter(lambda: connection.recv(65536), b"")))
    assert (status, headers["connection"], json.loads(body)["code"]) == (408, "close", "body_timeout")


def late(one: Served, body: bytes, seconds: float) -> int:
    """The status for a request whose body comes so long after its head."""
    with one.connection() as connection:
        head, rest = request(body).split(b"\r\n\r\n")
        connection.sendall(head + b"\r\n\r\n")
        # From here on the request's time runs: a busy machine would else read head and body at once.
        connections: Any = one.server.server_state.connections
        wait_until(lambda: any(each.is_answering() for each in connections))
        end = time.monotonic() + seconds
        wait_until(lambda: time.monotonic() > end)
        connection.sendall(rest + LAST)
        return answers(b"".join(iter(lambda: connection.recv(65536), b"")))[0][0]


def test_the_time_that_a_body_takes_is_the_requests_own(wire):
    assert late(wire, b'{"timeout": 0.1}', 0.2) == 504
    assert late(wire, b'{"timeout": 10}', 0.2) == 200


@pytest.fixture
def idle(tmp_path):
    """Two models that are not in memory yet."""
    generators.folder(tmp_path, {name: Tiny().file() for name in ("one", "two")})
    models = Models(Settings(models=tmp_path, engine="onnxruntime", timeout_seconds=20))
    for model in models.values():
        model.rest()
    with served(models) as site:
        yield site
    if models.batcher:
        models.batcher.close()


def test_so_it_is_for_a_model_that_is_not_in_memory(idle):
    assert late(idle, b'{"timeout": 0.1}', 0.2) == 504
    assert idle.front.models["one"].state == "idle", "nobody has time to wait for it"
    assert late(idle, b'{"timeout": 20}', 0.2) == 200


def test_what_follows_a_request_for_a_model_that_is_not_in_memory_is_answered_after_it(idle):
    asked = [b'{"model": "two", "seed": 1}', b'{"model": "two", "seed": 2}', b'{"model": "one", "seed": 3}']
    replies = idle.ask(b"".join(request(body) for body in asked))
    assert [(status, headers["ganserve-seeds"]) for status, headers, _ in replies] == [
        (200, "1"),
        (200, "2"),
        (200, "3"),
    ]


def test_what_is_being_answered_is_answered_before_the_server_ends(gated):
    one = gated()
    with one.served.connection() as busy, one.served.connection() as idle:
        busy.sendall(request(BODY))
        wait_until(lambda: one.batcher.accepted_images == 2)
        one.served.server.should_exit = True
        assert idle.recv(1) == b""
        one.gate.set()
        ((status, headers, _),) = answers(b"".join(iter(lambda: busy.recv(65536), b"")))
    assert (status, headers["connection"]) == (200, "close")


def test_an_idle_connection_is_closed_and_a_busy_one_is_not(gated):
    one = gated(keep_alive_seconds=1)
    with one.served.connection() as idle, one.served.connection() as busy:
        for connection in (idle, busy):
            one.gate.set()
            connection.sendall(request(BODY))
            assert b"200 OK" in connection.recv(65536)
        one.gate.clear()
        busy.sendall(request(BODY))
        assert idle.recv(1) == b""
        one.gate.set()
        assert b"200 OK" in busy.recv(65536)


def test_a_client_that_does_not_read_is_not_served_on_and_on(wire):
    """A response is held only until the client takes it; what follows waits unread."""
    with wire.connection() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.setblocking(False)
        one = request(b'{"seed": 1, "n": 64, "format": "npy"}')
        sent, before = 0, counted(200)
        with contextlib.suppress(BlockingIOError):
            while sent < 200_000_000:
                sent += connection.send(one * 100)
        assert sent < 200_000_000, "the server read on although nothing was taken from it"
        assert counted(200) - before < sent / len(one)


def test_an_unexpected_error_is_500_with_a_number_and_the_connection_lives(gated, monkeypatch, caplog):
    one = gated()
    one.gate.set()

    def broken(pixels):
        raise ValueError("no such format")

    monkeypatch.setattr("service.generator.images.png", broken)
    response = one.served.post(b'{"seed": 1}')
    detail = refused(response, 500, "internal_error")
    number = detail.split()[-1].rstrip(".")
    assert f"failure {number}" in caplog.text
    monkeypatch.undo()
    assert one.served.post(b'{"seed": 1}').status_code == 200
