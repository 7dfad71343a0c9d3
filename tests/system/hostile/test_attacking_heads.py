"""Hostile heads, paths and addresses at a real server: each is refused, or harmless, and nothing comes back of them."""

import itertools

import pytest

from tests.system.hostile.attacking import refused, said

pytestmark = pytest.mark.usefixtures("unharmed")

SMUGGLED = b"GET /smuggled HTTP/1.1\r\nhost: a\r\n\r\n"
POST = b"POST /v1/samples HTTP/1.1\r\nhost: a\r\n"
AMBIGUOUS = {
    "length and chunks": b"content-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
    "chunks and length": b"transfer-encoding: chunked\r\ncontent-length: 5\r\n\r\n0\r\n\r\n",
    "two lengths": b"content-length: 0\r\ncontent-length: %d\r\n\r\n" % len(SMUGGLED),
    "a list of lengths": b"content-length: 0, %d\r\n\r\n" % len(SMUGGLED),
    "a signed length": b"content-length: +0\r\n\r\n",
    "a negative length": b"content-length: -1\r\n\r\n",
    "a hexadecimal length": b"content-length: 0x0\r\n\r\n",
    "a length of another alphabet": "content-length: ٣\r\n\r\n".encode(),
    "a length past 64 bits": b"content-length: 18446744073709551616\r\n\r\n",
    "a space before the colon": b"content-length : 0\r\ntransfer-encoding : chunked\r\n\r\n0\r\n\r\n",
    "a folded line": b"x: y\r\n transfer-encoding: chunked\r\ncontent-length: 0\r\n\r\n",
    "another coding": b"transfer-encoding: xchunked\r\n\r\n0\r\n\r\n",
    "chunks, and then another coding": b"transfer-encoding: chunked, identity\r\n\r\n0\r\n\r\n",
    "chunks twice": b"transfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
    "a vertical tab": b"transfer-encoding:\x0bchunked\r\n\r\n0\r\n\r\n",
    "a bare line feed": b"x: y\ncontent-length: 0\r\n\r\n",
    "a bare carriage return": b"x: y\rcontent-length: 0\r\n\r\n",
    "NUL": b"x: \x00\r\ncontent-length: 0\r\n\r\n",
    "a chunk's size past 64 bits": b"transfer-encoding: chunked\r\n\r\n10000000000000000\r\n",
    "a negative chunk": b"transfer-encoding: chunked\r\n\r\n-1\r\n",
    "a chunk's size with a prefix": b"transfer-encoding: chunked\r\n\r\n0x0\r\n\r\n",
    "a chunk that ends in a line feed": b"transfer-encoding: chunked\r\n\r\n2\n{}\n0\n\n",
    "no name": b": y\r\ncontent-length: 0\r\n\r\n",
}


@pytest.mark.parametrize("head", AMBIGUOUS.values(), ids=AMBIGUOUS)
def test_a_head_that_two_servers_could_read_apart_ends_the_connection(target, head):
    """So nothing behind it is ever taken for a request of its own, unless both readers see it as one."""
    answer = said(target.port, POST + head + SMUGGLED, 0.5)
    assert b"unknown_route" not in answer, "the request that was hidden in it was answered"
    assert answer == b"" or answer.split()[1] in (b"400", b"413", b"422"), answer[:200]


HEADS = {
    "HTTP/0.9": (b"GET /livez\r\n\r\n", b"200 400"),
    "HTTP/2": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"400"),
    "TLS": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(400), b"400"),
    "an unknown method": (b"BREW /livez HTTP/1.1\r\nhost: a\r\n\r\n", b"400"),
    "another version": (b"GET /livez HTTP/3.7\r\nhost: a\r\n\r\n", b"400"),
    "a long method": (b"G" * 100_000 + b" / HTTP/1.1\r\n\r\n", b"400"),
    "a long URL": (b"GET /" + b"x" * 300_000 + b" HTTP/1.1\r\nhost: a\r\n\r\n", b"414"),
    "a long query": (b"GET /livez?" + b"x" * 300_000 + b" HTTP/1.1\r\nhost: a\r\n\r\n", b"414"),
    "a long field": (b"GET /livez HTTP/1.1\r\nhost: a\r\nx: " + b"y" * 300_000 + b"\r\n\r\n", b"431"),
    "a long name of a field": (b"GET /livez HTTP/1.1\r\nhost: a\r\n" + b"x" * 300_000 + b": y\r\n\r\n", b"431"),
    "many fields": (b"GET /livez HTTP/1.1\r\nhost: a\r\n" + b"x: y\r\n" * 50_000 + b"\r\n", b"431"),
    "a sample with many fields": (POST + b"x: y\r\n" * 50_000 + b"content-length: 2\r\n\r\n{}", b"431"),
    "an upgrade to a socket": (
        b"GET / HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\n%b"
        % b"sec-websocket-key: MDEyMzQ1Njc4OTAxMjM0NQ==\r\n\r\n",
        b"200",  # as if it had asked for none
    ),
    "an upgrade to HTTP/2": (
        b"GET /livez HTTP/1.1\r\nhost: a\r\nconnection: upgrade, http2-settings\r\nupgrade: h2c\r\n\r\n",
        b"200",
    ),
    "a tunnel": (b"CONNECT 127.0.0.1:22 HTTP/1.1\r\nhost: a\r\n\r\n", b"400"),
    "another host's address": (b"GET http://127.0.0.1:1/livez HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n", b"200 404"),
    "an asterisk": (b"OPTIONS * HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n", b"400 404"),
}  # fmt: skip


@pytest.mark.parametrize(("head", "statuses"), HEADS.values(), ids=HEADS)
def test_no_head_harms(target, head, statuses):
    answer = said(target.port, head, 0.5)
    # Who is refused while still sending may lose the answer with the connection.
    assert answer == b"" or answer.split()[1] in statuses.split(), answer[:200]
    assert b" 101 " not in answer


SECRETS = (b"root:", b"import ", b"GANSERVE", b"[project]")
UP = ("..", "%2e%2e", ".%2e", "..%2f..", "..%5c..", "%252e%252e", "....//", "..;", "%c0%ae%c0%ae", "..%00")
PLACES = (
    "/playground/{}/routes.py",
    "/playground/{}%2froutes.py",
    "/static_content/{}/{}/{}/{}/etc/passwd",
    "/static_content/{}%2f{}%2f{}%2fetc%2fpasswd",
    "/static_content//etc/passwd?{}",
    "/v1/models/{}/images/bag/1.png",
    "/v1/models/{}%2f{}%2fetc%2fpasswd/images/bag/1.png",
    "/v1/models/tiny@{}/images/bag/1.png",
    "/v1/models/tiny/images/{}/{}/1.png",
    "/v1/models/tiny/images/{}%2fetc%2fpasswd/1.png",
    "/v1/models/tiny/images/bag/{}%2f1.png",
    "/v2/models/{}/versions/{}/config",
    "/{}/service/settings.py",
    "/{}/{}/etc/passwd",
)


def test_no_path_leads_out(target):
    for place, up in itertools.product(PLACES, UP):
        url = place.replace("{}", up).encode()
        answer = said(target.port, b"GET %b HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n" % url)
        assert answer.split()[1] in (b"400", b"404", b"422"), (url, answer[:300])
        assert not any(secret in answer for secret in SECRETS), (url, answer[:300])


@pytest.mark.parametrize(
    "url", [b"/\xff\xfe", b"/%ff%fe", b"/v1/models/%ff", b"/v1/models/tiny/images/%c3%28/1.png", b"/v1/models/tiny/images/bag/1.png?%ff=\xff",
            b"/v1/models/tiny/images/bag/1.png?truncation=%ff", b"/v1/models/tiny/images/bag/1.png?truncation=nan",
            b"/v1/models/tiny/images/bag/99999999999999999999.png", b"/v1/models/tiny/images/bag/1.png%0d%0ax: y", b"/%00"],
)  # fmt: skip
def test_no_url_harms(target, url):
    answer = said(target.port, b"GET %b HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n" % url)
    assert answer.split()[1] in (b"400", b"404", b"422"), answer[:300]
    assert b"\nx: y" not in answer


def test_no_header_of_a_request_comes_back_as_one_of_ours(target):
    """In x-request-id, traceparent, Host and the path: no line of a client's gets into a reply or a log."""
    evil = b"a%0d%0aset-cookie:%20b=c"
    answer = said(target.port, POST + b"x-request-id: %b\r\ntraceparent: %b\r\nconnection: close\r\ncontent-length: 2\r\n\r\n{}" % (evil, evil))  # fmt: skip
    assert answer.split()[1] == b"200"
    location = said(target.port, b"GET /v1/models/tiny/images/bag/1.png?truncation=1%0d%0aset-cookie:%20b=c HTTP/1.1\r\nhost: evil\r\nconnection: close\r\n\r\n")  # fmt: skip
    assert not [line for line in (answer + location).lower().split(b"\r\n") if line.startswith(b"set-cookie")]
    with target.client() as client:
        reply = client.post(
            "/v1/images/generations",
            json={"prompt": "bag", "response_format": "url"},
            headers={"host": "evil.example/<script>"},
        )
    refused(reply, 400)
