"""Hostile requests at a real server: each is refused, or harmless; the process lives, and answers the next good one.

BentoML's own holes among them: CVE-2025-27520 and CVE-2025-32375 (bodies and headers that are unpickled),
CVE-2025-54381 (addresses in a request that the server fetches), CVE-2024-9056 (a multipart boundary without end).
"""

import base64
import gzip
import json
import pickle
import socket
import time
import zlib
from pathlib import Path

import numpy as np
import pytest

from service.generator.images import png
from tests.system.hostile.attacking import INFER, JSON_ROUTES, refused
from tests.system.serving import ROOT

PICTURE = base64.b64encode(png(np.zeros((1, 8, 8), np.uint8))).decode()
pytestmark = pytest.mark.usefixtures("unharmed")


class Evil:
    """Unpickled, it leaves a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


@pytest.mark.parametrize(
    "headers",
    [
        {"content-type": "application/vnd.bentoml+pickle"},
        {"content-type": "application/vnd.bentoml.pickled"},
        {"content-type": "application/octet-stream"},
        {"content-type": "application/vnd.bentoml.multiple_outputs"},
        {"content-type": "multipart/form-data; boundary=x"},
        # As one of BentoML's runners was told to unpickle.
        {
            "payload-container": "NdarrayContainer",
            "payload-meta": '{"format": "pickle5"}',
            "batch-size": "-1",
        },
        {"args-number": "1", "payload-container": "DefaultContainer", "content-type": "application/json"},
    ],
)
def test_nothing_is_unpickled(target, tmp_path, headers):
    body = pickle.dumps(Evil(tmp_path / "owned"))
    with target.client() as client:
        for path in ("/", *JSON_ROUTES, INFER, "/v2/repository/index"):
            refused(client.post(path, content=body, headers=headers), 400, 415)
        for path in ("/sample/submit", "/schema.json", "/__bentoml__/sample", "/v1/models", "/docs"):
            refused(client.post(path, content=body, headers=headers), 404, 405)
    assert not (tmp_path / "owned").exists()


def test_no_address_of_a_request_is_fetched(target):
    """The listener hears of nobody who comes."""
    with socket.create_server(("127.0.0.1", 0)) as listener, target.client() as client:
        address = f"http://127.0.0.1:{listener.getsockname()[1]}/"
        multipart = (
            f'--x\r\ncontent-disposition: form-data; name="model"; filename="a"\r\n\r\n{address}\r\n--x--\r\n'
        )
        for path in (*JSON_ROUTES, INFER):
            for field in ("model", "label", "prompt", "image", "url", "z", "user"):
                reply = client.post(path, json={field: address, "prompt": "bag"} | {field: address})
                assert reply.status_code < 500
            for kind in (
                "multipart/form-data; boundary=x",
                "application/x-www-form-urlencoded",
                "text/uri-list",
            ):
                refused(
                    client.post(path, content=multipart.encode(), headers={"content-type": kind}), 400, 415
                )
        for header in (
            "referer",
            "x-forwarded-for",
            "x-forwarded-host",
            "forwarded",
            "origin",
            "x-original-url",
            "host",
        ):
            client.get("/v1/models/tiny/images/bag/1.png", headers={header: address.removeprefix("http://")})
        client.post(
            "/v2/repository/models/tiny/load",
            json={"parameters": {"config": address, "file:1/model.onnx": address}},
        )
        listener.settimeout(0)
        with pytest.raises(BlockingIOError):
            listener.accept()


def test_a_boundary_without_end_costs_nothing(target):
    body = b"--x" + b"-" * 4_000_000 + b"\r\n"
    with target.client() as client:
        begun = time.monotonic()
        for path in (*JSON_ROUTES, INFER):
            headers = {"content-type": "multipart/form-data; boundary=x"}
            refused(client.post(path, content=body, headers=headers), 400, 415)
        assert time.monotonic() - begun < 5


DEEP = 200_000
BODIES = {
    "deep lists": b"[" * DEEP,
    "deep objects": b'{"a":' * DEEP,
    "deep and closed": b'{"z":' + b"[" * DEEP + b"]" * DEEP + b"}",
    "deep under a name that is not there": b'{"nope":' + b'{"a":' * DEEP + b"1" + b"}" * DEEP + b"}",
    "deep as a tensor": b'{"inputs":[{"name":"z","shape":[1,8],"datatype":"FP32","data":' + b"[" * DEEP + b"]" * DEEP + b"}]}",
    "NaN": b'{"n": NaN, "seed": NaN, "truncation": NaN}',
    "Infinity": b'{"truncation": Infinity, "timeout": -Infinity}',
    "too large for a double": b'{"truncation": 1e400, "timeout": 1e999}',
    "a huge integer": b'{"n": ' + b"9" * 1_000_000 + b', "seed": ' + b"9" * 1_000_000 + b"}",
    "an integer past 64 bits": b'{"n": 18446744073709551616, "seed": 9007199254740992, "seeds": [18446744073709551616]}',
    "a huge exponent": b'{"n": 1e1000000, "seed": 1E+99999999999, "prompt": 1, "seeds": 1}',
    "negative": b'{"n": -9223372036854775809, "seed": -1, "steps": -1, "seeds": [-1, -2]}',
    "invalid UTF-8": b'{"label": "\xff\xfe\xc0\xaf", "prompt": "\xff"}',
    "half a surrogate": b'{"label": "\\ud800", "model": "\\udfff", "prompt": "\\ud800"}',
    "UTF-16": '{"n": 1}'.encode("utf-16"),
    "a byte order mark": b"\xef\xbb\xbf{}",
    "NUL": b'{"label": "\x00"}\x00',
    "two documents": b'{"n": 1}{"n": 1}',
    "a long name": b'{"' + b"x" * 4_000_000 + b'": 1}',
    "long texts": json.dumps({"model": "m" * 1_000_000, "label": "l" * 1_000_000, "prompt": "p" * 1_000_000}).encode(),
    "many entries": b'{"label": [' + b"1," * 1_900_000 + b'1], "seeds": "x", "terms": 1, "prompt": "none"}',
    "many rows": b'{"z": [' + b"[]," * 1_300_000 + b'[]], "terms": 1, "prompt": "none"}',
    "the same field often": b'{"n": 1, ' + b'"n": 1, ' * 400_000 + b'"nope": 1}',
    "no object": b'"text"',
    "a byte too many": b" " * (4 * 2**20 + 1),
}  # fmt: skip


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES)
def test_no_body_harms(target, body):
    with target.client() as client:
        for path in ("/", *JSON_ROUTES, INFER, "/v2/repository/index"):
            refused(
                client.post(path, content=body, headers={"content-type": "application/json"}),
                400,
                404,
                413,
                422,
            )


@pytest.mark.parametrize(
    "name",
    [
        "../tiny",
        "/etc/passwd",
        "tiny/../../bare",
        "tiny\x00",
        "file:///etc/passwd",
        "C:\\",
        str(ROOT / "models/fashion-mnist"),
    ],
)
def test_no_name_in_a_body_is_a_path(target, name):
    with target.client() as client:
        for path in JSON_ROUTES:
            asked = {"model": name, "prompt": "bag", "seeds": [1, 2], "terms": [{"weight": 1, "seeds": [1]}], "images": [PICTURE]}  # fmt: skip
            wanted = {"/v1/interpolations": ("model", "seeds"), "/v1/arithmetic": ("model", "terms"), "/v1/images/generations": ("model", "prompt"), "/v1/inversions": ("model", "images"), "/v1/classifications": ("model", "images")}.get(path, ("model",))  # fmt: skip
            reply = refused(client.post(path, json={field: asked[field] for field in wanted}), 404)
            assert "root:" not in reply.text
            refused(
                client.post(
                    path, json={field: asked[field] for field in wanted} | {"model": None, "label": name}
                ),
                422,
                400,
            )
        tensor = {"name": "seed", "datatype": "INT64", "shape": [1], "data": [1]}
        refused(client.post(INFER, json={"inputs": [tensor], "model_name": name}), 404)
        load = {"parameters": {"config": "{}", "file:1/model.onnx": "AAAA", "path": name}}
        refused(client.post("/v2/repository/models/tiny/load", json=load), 403)
        refused(client.post("/v2/repository/models/tiny/load", json=load, headers=target.token), 400)


def bomb(coding: str, inflated_bytes: int) -> bytes:
    stream = zlib.compressobj(9, wbits={"gzip": 31, "deflate": 15}[coding])
    blanks = b" " * 2**20
    return b"".join(stream.compress(blanks) for _ in range(inflated_bytes // 2**20)) + stream.flush()


@pytest.mark.parametrize("coding", ["gzip", "deflate"])
def test_a_bomb_is_not_inflated(target, coding):
    """64 MiB in 64 KiB: refused as soon as it passes the limit of bodies."""
    body = bomb(coding, 64 * 2**20)
    with target.client() as client:
        for path in (INFER, "/v2/repository/index"):
            begun = time.monotonic()
            refused(client.post(path, content=body, headers={"content-encoding": coding}), 413)
            assert time.monotonic() - begun < 2
        for path in JSON_ROUTES:
            refused(client.post(path, content=body, headers={"content-encoding": coding}), 413)


@pytest.mark.parametrize(
    ("coding", "body"),
    [
        ("gzip", gzip.compress(b"{}", mtime=0)[:-4]),
        ("gzip", gzip.compress(b"{}", mtime=0) * 1000),
        ("gzip", b"\x1f\x8b" + b"\xff" * 10_000),
        ("deflate", b"\x00" * 10_000),
        ("gzip, gzip, gzip", gzip.compress(gzip.compress(gzip.compress(b"{}", mtime=0), mtime=0), mtime=0)),
        ("br", b"\x0b"),
        ("compress", b"\x1f\x9d"),
    ],
)
def test_what_only_looks_compressed_is_refused(target, coding, body):
    with target.client() as client:
        refused(client.post(INFER, content=body, headers={"content-encoding": coding}), 400, 415)


@pytest.mark.parametrize(
    "length", ["0", "-1", "99999999999", "9" * 5000, "1e3", "0x10", "٣".encode(), "5, 5", ""]
)
def test_no_length_of_a_tensors_head_harms(target, length):
    with target.client() as client:
        refused(
            client.post(
                INFER, content=b"{}" + bytes(100), headers={"inference-header-content-length": length}
            ),
            400,
        )


def test_no_shape_or_size_of_a_tensor_harms(target):
    huge = 2**63 - 1
    with target.client() as client:
        for shape, size in (
            ([huge], 8),
            ([1], huge),
            ([huge, huge], 8),
            ([0], 0),
            ([1] * 100_000, 8),
            ([1], -8),
            ([2**64], 8),
            ([256], 2**31),
        ):
            for name, datatype in (("seed", "INT64"), ("z", "FP32"), ("label", "INT64"), ("z", "BYTES")):
                tensor = {
                    "name": name,
                    "datatype": datatype,
                    "shape": shape,
                    "parameters": {"binary_data_size": size},
                }
                document = json.dumps({"inputs": [tensor]}).encode()
                headers = {"inference-header-content-length": str(len(document))}
                refused(client.post(INFER, content=document + bytes(8), headers=headers), 400)


@pytest.mark.parametrize("n", [257, 10**6, 2**31, 2**63])
def test_no_number_of_images_harms(target, n):
    with target.client() as client:
        for path, fields in (
            ("/v1/samples", {"n": n}),
            ("/sample", {"n": n}),
            ("/v1/images/generations", {"prompt": "bag", "n": n}),
            ("/v1/interpolations", {"seeds": [1, 2], "steps": n}),
            ("/v1/images/generations", {"prompt": "bag", "size": f"{100 * n}x8"}),
        ):
            refused(client.post(path, json=fields), 400, 422)
        rows = {"z": [[0.0] * 8] * min(n, 20_000)}
        refused(client.post("/v1/samples", json=rows), 422)
