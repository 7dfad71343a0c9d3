"""What clients as they come hear of a refusal while they still send: urllib, requests, tritonclient, node's fetch, curl."""

import json
import ssl
import subprocess
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator

import numpy as np
import psutil
import pytest
import requests
import tritonclient.http as triton
import trustme
from tritonclient.utils import InferenceServerException

from tests.needs import program
from tests.system.serving import Server, serving

TIMES = 5
MEGABYTE = 2**20
KEY = "refused-0123456789abcdef"
INFER = "/v2/models/tiny/infer"

Said = tuple[int, str]
"""The status, and the code of the problem."""
Ask = Callable[[Server, str, int, bool, bool], list[Said]]
"""Some POSTs of so many bytes to a path, in chunks or with their length, with the key or without."""


@pytest.fixture(scope="module")
def server(small_models, tmp_path_factory):
    home = tmp_path_factory.mktemp("refused")
    keys = f"refused:{KEY}"
    with serving(home, models=small_models, default_model="tiny", engine="fake", api_keys=keys) as one:
        before = memory_bytes(one)
        yield one
        assert memory_bytes(one) - before < 100 * MEGABYTE


def memory_bytes(server: Server) -> int:
    return sum(process.memory_info().rss for process in server.workers() if psutil.pid_exists(process.pid))


def headers(keyed: bool) -> dict[str, str]:
    return {"content-type": "application/json"} | ({"authorization": f"Bearer {KEY}"} if keyed else {})


def parts(size: int) -> Iterator[bytes]:
    for _ in range(size // 65536):
        yield b" " * 65536


def said_to_urllib(request: urllib.request.Request, context: ssl.SSLContext | None = None) -> Said:
    handlers = [urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context)]
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.build_opener(*handlers).open(request, timeout=30)
    with refused.value as reply:
        return reply.code, json.load(reply)["code"]


def by_urllib(server: Server, path: str, size: int, chunked: bool, keyed: bool) -> list[Said]:
    bodies = [parts(size) if chunked else b" " * size for _ in range(TIMES)]
    return [
        said_to_urllib(urllib.request.Request(server.url + path, body, headers(keyed))) for body in bodies
    ]


def by_requests(server: Server, path: str, size: int, chunked: bool, keyed: bool) -> list[Said]:
    said = []
    with requests.Session() as session:
        session.trust_env = False
        for _ in range(TIMES):
            body = parts(size) if chunked else b" " * size
            reply = session.post(server.url + path, body, headers=headers(keyed), timeout=30)
            said.append((reply.status_code, reply.json()["code"]))
    return said


NODE = """
const [url, size, chunked, headers, times] = JSON.parse(process.argv[1]);
const part = new Uint8Array(65536).fill(32);
async function* parts() { for (let sent = 0; sent < size; sent += part.length) yield part; }
const said = [];
for (let i = 0; i < times; i++) {
    const body = chunked ? ReadableStream.from(parts()) : new Uint8Array(size).fill(32);
    const reply = await fetch(url, {method: "POST", body, headers, duplex: "half"});
    said.push([reply.status, (await reply.json()).code]);
}
console.log(JSON.stringify(said));
"""


def by_node(server: Server, path: str, size: int, chunked: bool, keyed: bool) -> list[Said]:
    arguments = json.dumps([server.url + path, size, chunked, headers(keyed), TIMES])
    node = program("node", "nodejs")
    done = subprocess.run(
        [node, "--input-type=module", "-e", NODE, arguments], capture_output=True, text=True, timeout=30
    )
    assert done.returncode == 0, done.stderr
    return [(status, code) for status, code in json.loads(done.stdout)]


def by_curl(server: Server, path: str, size: int, chunked: bool, keyed: bool) -> list[Said]:
    fields = headers(keyed) | ({"transfer-encoding": "chunked"} if chunked else {})
    options = [word for name, value in fields.items() for word in ("-H", f"{name}: {value}")]
    command = [program("curl", "curl"), "-sS", "-w", "%{stderr}%{http_code}", *options]
    said = []
    for _ in range(TIMES):
        done = subprocess.run(
            [*command, "--data-binary", "@-", server.url + path],
            input=b" " * size,
            capture_output=True,
            timeout=30,
        )
        assert done.returncode == 0, done.stderr
        said.append((int(done.stderr), json.loads(done.stdout)["code"]))
    return said


@pytest.mark.parametrize("ask", [by_urllib, by_requests, by_node, by_curl])
@pytest.mark.parametrize("chunked", [False, True], ids=["length", "chunks"])
@pytest.mark.parametrize("size", [5 * MEGABYTE, 20 * MEGABYTE])
def test_a_body_over_the_limit_is_told_so(server, ask: Ask, size, chunked):
    for path in ("/v1/samples", "/v1/interpolations", "/sample"):
        assert ask(server, path, size, chunked, True) == [(413, "body_too_large")] * TIMES, path


@pytest.mark.parametrize("ask", [by_urllib, by_requests, by_node, by_curl])
@pytest.mark.parametrize("chunked", [False, True], ids=["length", "chunks"])
@pytest.mark.parametrize("size", [65536, 20 * MEGABYTE])
def test_who_has_no_key_or_no_scope_is_told_so(server, ask: Ask, size, chunked):
    for path, keyed, said in (
        ("/v1/samples", False, (401, "invalid_api_key")),
        ("/v1/admin/reload", True, (403, "missing_scope")),
        ("/v1/none", True, (404, "unknown_route")),
    ):
        assert ask(server, path, size, chunked, keyed) == [said] * TIMES, path


@pytest.mark.parametrize("size", [5 * MEGABYTE, 20 * MEGABYTE])
def test_tritonclient_is_told_so(server, size):
    z = triton.InferInput("z", [size // 32, 8], "FP32")
    z.set_data_from_numpy(np.zeros((size // 32, 8), np.float32))
    with triton.InferenceServerClient(f"127.0.0.1:{server.port}") as client:
        for headers, status in ([{"authorization": f"Bearer {KEY}"}, "413"], [{}, "401"]):
            for _ in range(TIMES):
                with pytest.raises(InferenceServerException) as refused:
                    client.infer("tiny", [z], headers=headers)
                assert refused.value.status() == status


def test_with_tls_too(small_models, tmp_path):
    """There a connection cannot be closed by halves, and a reply's length says where it ends."""
    authority = trustme.CA(key_type=trustme.KeyType.ECDSA)
    certificate = authority.issue_cert("127.0.0.1")
    certificate.private_key_pem.write_to_path(str(tmp_path / "key.pem"))
    certificate.cert_chain_pems[0].write_to_path(str(tmp_path / "cert.pem"))
    flags = ("--ssl-certfile", str(tmp_path / "cert.pem"), "--ssl-keyfile", str(tmp_path / "key.pem"))
    context = ssl.create_default_context()
    authority.configure_trust(context)
    with serving(tmp_path / "home", models=small_models, engine="fake", flags=flags) as one:
        for body in (b" " * 5 * MEGABYTE, b" " * 20 * MEGABYTE, parts(20 * MEGABYTE)):
            request = urllib.request.Request(f"{one.url}/v1/samples", body, headers(keyed=False))
            assert said_to_urllib(request, context) == (413, "body_too_large")
