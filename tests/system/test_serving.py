"""What a client sees of a real server."""

import io
import json
import socket
import time

import httpx
import numpy as np
import pytest

from service.generator.contract import parse
from service.generator.images import png
from service.generator.latents import latents
from service.registry.footprint import memory_mb, model_mb
from tests import generators
from tests.generators import Tiny
from tests.system.conftest import SMALL
from tests.system.serving import ROOT, serving
from tests.waiting import wait_until

REQUESTS = [
    {"seed": 1, "label": "Sneaker", "n": 16, "format": "npy", "model": model, "truncation": truncation}
    for model in ("tiny", "colour")
    for truncation in (1, 0.5)
] + [
    {"seed": 5, "n": 7, "format": "npy", "model": "bare"},
    {"seed": 5, "n": 3, "format": "json", "include_z": True},
]


def raw(port: int, request: bytes) -> bytes:
    """Everything that a server sends in answer to these bytes until it closes the connection."""
    with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
        connection.sendall(request)
        return b"".join(iter(lambda: connection.recv(65536), b""))


def test_every_format_is_served(server):
    kinds = {"png": "image/png", "webp": "image/webp", "npy": "application/x-npy", "json": "application/json"}
    for format, kind in kinds.items():
        response = server.samples(format=format, n=4, seed=3, label="t-shirt-top")
        assert (response.status_code, response.headers["content-type"]) == (200, kind)
    pixels = np.load(io.BytesIO(server.samples(format="npy", n=4, seed=3).content), allow_pickle=False)
    assert (pixels.shape, pixels.dtype) == ((4, 8, 8, 1), np.uint8)


def test_an_image_has_an_address_that_browsers_cache_for_ever(server):
    with server.client(follow_redirects=True) as client:
        image = client.get("/v1/models/tiny/images/Ankle%20Boot/7.png?truncation=.5")
        assert [step.status_code for step in image.history] == [307]
        assert "immutable" in image.headers["cache-control"]
        assert image.content == server.samples(label=9, seed=7, truncation=0.5).content
        again = client.get(image.url.raw_path.decode(), headers={"if-none-match": image.headers["etag"]})
        assert (again.status_code, again.content) == (304, b"")
        assert "content-length" not in again.headers
        assert client.get("/livez").status_code == 200, "the connection goes on"


def test_head_has_no_body_and_the_length_of_get(server):
    with server.client() as client:
        for path in ("/readyz", "/v1/models", "/docs"):
            head = client.head(path)
            assert (head.status_code, head.content) == (200, b"")
            assert head.headers["content-length"] == client.get(path).headers["content-length"]


@pytest.mark.parametrize(
    ("method", "path", "body", "content_type", "status", "code"),
    [
        ("POST", "/v1/samples", b'{"n": 0}', "application/json", 422, "invalid_field"),
        ("POST", "/v1/samples", b'{"what": 1}', "application/json", 422, "invalid_field"),
        ("POST", "/v1/samples", b"{", "application/json", 400, "not_json"),
        ("POST", "/v1/samples", b'{"n": NaN}', "application/json", 400, "not_json"),
        ("POST", "/v1/samples", b"n=1", "application/x-www-form-urlencoded", 415, "unsupported_media_type"),
        ("POST", "/v1/samples", b'{"model": "none"}', "application/json", 404, "unknown_model"),
        ("POST", "/v1/samples", b'{"timeout": 1e-9}', "application/json", 504, "deadline_passed"),
        ("POST", "/v1/samples", bytes(4 * 2**20 + 1), "application/json", 413, "body_too_large"),
        ("PUT", "/v1/samples", b"{}", "application/json", 405, "method_not_allowed"),
        ("GET", "/docs.json", None, None, 404, "unknown_route"),
        ("GET", "/v1/models/%2e%2e%2f%2e%2e/images/1.png", None, None, 404, "unknown_model"),
    ],
)  # fmt: skip
def test_a_mistake_is_answered_with_its_code(server, method, path, body, content_type, status, code):
    with server.client() as client:
        headers = {} if content_type is None else {"content-type": content_type}
        response = client.request(method, path, content=body, headers=headers)
        assert response.headers["content-type"] == "application/problem+json"
        assert (response.status_code, response.json()["code"]) == (status, code)
        assert client.get("/livez").status_code == 200


def test_an_endless_body_is_cut_off_at_the_limit(server):
    chunk = b"10000\r\n" + bytes(65536) + b"\r\n"
    head = b"POST /v1/samples HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n"
    with socket.create_connection(("127.0.0.1", server.port), timeout=20) as connection:
        connection.sendall(head)
        try:
            # What comes behind the refusal is thrown away, so that the client hears it; 64 MiB of it at most.
            for _ in range(1500):
                connection.sendall(chunk)
            raise AssertionError("the server took 98 MB")
        except (BrokenPipeError, ConnectionResetError):
            pass
    assert server.get("/livez").status_code == 200


@pytest.mark.parametrize(
    "request_",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"GET\r\n\r\n",
        b"POST /v1/samples HTTP/1.1\r\nhost: x\r\ncontent-length: -1\r\n\r\n",
        b"POST /v1/samples HTTP/1.1\r\nhost: x\r\ncontent-length: ten\r\n\r\n",
        b"GET /livez HTTP/9.9\r\n\r\n",
    ],
)
def test_bytes_that_are_no_http_end_their_own_connection_only(server, request_):
    try:
        answer = raw(server.port, request_ + b"\r\n" * 4)
    except ConnectionResetError:
        answer = b""
    assert answer == b"" or answer.split()[1].startswith((b"4", b"5")), answer[:100]
    assert server.samples(seed=1).status_code == 200


def test_docs_and_their_files_come_from_here(server):
    page = server.get("/docs").text
    for name in ("playground.css", "docs.js"):
        assert f'="playground/{name}"' in page  # relative: behind a balancer there may be a path before
        assert server.get(f"/playground/{name}").status_code == 200
    assert server.get("/openapi.json").json()["paths"]


def test_no_path_of_a_client_makes_a_new_time_series(server):
    def series() -> set[str]:
        return {
            line.split(" ")[0]
            for line in server.get("/metrics").text.splitlines()
            if not line.startswith("#")
        }

    def visit(mark: str) -> None:
        for path in (
            f"/{mark}",
            f"/v1/models/{mark}",
            f"/v1/models/tiny/images/{mark}/1.png",
            f"/static_content/{mark}",
        ):
            server.get(path)
        server.samples(model=mark)

    visit("first")
    series()
    known = series()
    visit("second")
    assert series() == known
    assert "first" not in " ".join(known)
    assert not [line for line in known if not line.startswith("ganserve_")], "BentoML's own metrics are off"


def test_a_restart_other_threads_and_other_engines_keep_their_bytes(server, small_models, tmp_path):
    before = [server.samples(**request).content for request in REQUESTS]
    with serving(
        tmp_path / "again", models=small_models, default_model="tiny", engine="onnxruntime", threads=1
    ) as again:
        for request, bytes_before in zip(REQUESTS, before, strict=True):
            assert again.samples(**request).content == bytes_before


def test_pictures_are_those_of_the_network(server):
    for name, tiny in SMALL.items():
        response = server.samples(model=name, seed=40, n=30, format="npy")
        labels = None if tiny.classes is None else np.arange(40, 70) % 10
        want = tiny.forward(latents(range(40, 70), tiny.z_dim), labels).transpose(0, 2, 3, 1)
        levels = np.abs(np.load(io.BytesIO(response.content)).astype(int) - want)
        assert levels.max() <= 1


def test_broken_models_are_reported_and_the_others_serve_on_openvino(tmp_path):
    good = Tiny().file()
    files = {
        "good": good,
        "corrupt": b"\x00" * 1000,
        "truncated": good[:-100],
        "wrong": generators.with_contract(schema=9),
        "tampered": generators.with_other_golden(),
    }
    models = generators.folder(tmp_path / "models", files)
    with serving(
        tmp_path / "home", models=models, default_model="good", status=503, engine="openvino", treads=2
    ) as one:

        def states():
            return one.get("/readyz").json()

        wait_until(lambda: "loading" not in states()["models"].values())
        assert states()["models"] == dict.fromkeys(sorted(files), "failed") | {"good": "ready"}
        cards = {card["id"]: card for card in one.get("/v1/models").json()["data"]}
        assert "not an ONNX file" in cards["corrupt"]["problem"]
        assert "schema 9" in cards["wrong"]["problem"]
        assert "other pictures than the trained network" in cards["tampered"]["problem"]
        assert one.get("/readyz").status_code == 503
        assert one.metric("ganserve_ready") == 0
        reply = one.samples(seed=1)
        assert (reply.status_code, reply.headers["ganserve-engine"]) == (200, "openvino")
        assert one.samples(model="tampered").json()["code"] == "not_ready"
        assert one.metric("ganserve_model_info", model="good", engine="openvino") == 1
        assert "GANSERVE_TREADS is not a setting and has no effect; did you mean GANSERVE_THREADS?" in one.log


def test_more_models_than_there_is_room_for_are_served_in_turn_by_every_worker(tmp_path):
    tinies = {f"m{i}": Tiny(name=f"m{i}", weights_seed=i) for i in range(4)}
    files = {name: tiny.file() for name, tiny in tinies.items()}
    folder = generators.folder(tmp_path / "models", files)
    room = 1.5 * memory_mb(max(map(len, files.values())))
    with serving(
        tmp_path / "home", models=folder, engine="onnxruntime", threads=1, workers=2, max_loaded_mb=room
    ) as server:
        for _ in range(2):
            for name, tiny in tinies.items():
                reply = server.samples(model=name, seed=5, label=3, format="npy")
                assert (reply.status_code, reply.headers["ganserve-model"]) == (200, name), reply.text
                (drawn,) = tiny.forward(latents([5], tiny.z_dim), np.array([3]))
                pixels = np.load(io.BytesIO(reply.content))[0].transpose(2, 0, 1)
                assert np.abs(pixels.astype(int) - drawn).max() <= 1
                with server.client() as client:
                    assert client.get("/readyz").status_code == 200
                    array = client.post("/sample", json={"model": name, "seed": 5, "label": 3})
                    assert (array.status_code, array.headers["ganserve-model"]) == (200, name)
        assert sum(server.metric("ganserve_model_loads_total", model=name) for name in tinies) > 4


@pytest.mark.parametrize(("engine", "without_models_mb"), [("onnxruntime", 220), ("openvino", 320)])
def test_every_shipped_model_is_ready_within_seconds_and_in_the_memory_that_is_reckoned(
    tmp_path, engine, without_models_mb
):
    files = sorted((ROOT / "models").glob("*/generator.onnx"))
    shipped = {path.parent.name: parse(path.read_bytes()) for path in files}
    begun = time.monotonic()
    with serving(tmp_path / "home", models=ROOT / "models", engine=engine, threads=2) as server:
        assert time.monotonic() - begun < 30  # of which BentoML itself takes some
        assert server.get("/readyz").json()["models"] == dict.fromkeys(sorted(shipped), "ready")
        for name, contract in shipped.items():
            if contract.source is None:
                reply = server.samples(model=name, n=4, seed=1)
            else:
                assert "POST /v1/translations" in server.samples(model=name).text
                (drawn,) = contract.sources(contract.rows([1]))
                with server.client() as client:
                    picture = {"content": png(drawn), "headers": {"content-type": "image/png"}}
                    reply = client.post(f"/v1/translations?model={name}", **picture)
            assert (reply.status_code, reply.headers["ganserve-model"]) == (200, name)
            assert reply.headers["ganserve-engine"] == engine
        assert all(card["verified"] for card in server.get("/v1/models").json()["data"])
        # Of pages that processes share, each has its part.
        most = without_models_mb + sum(map(model_mb, files))
        assert sum(process.memory_full_info().pss for process in server.tree()) / 1e6 < most


def test_json_with_z_posted_back_gives_the_same_image(server):
    first = json.loads(server.samples(seed=3, format="json", include_z=True).content)["images"][0]
    again = server.samples(z=[first["z"]], label=first["label"], format="json").json()["images"][0]
    assert again["image"] == first["image"]


def test_connections_stay_open_between_requests(server):
    with server.client(limits=httpx.Limits(max_connections=1)) as client:
        for seed in range(20):
            assert client.post("/v1/samples", json={"seed": seed}).status_code == 200
