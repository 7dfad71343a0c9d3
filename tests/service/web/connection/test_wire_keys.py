"""Keys, quotas and secrets where plain samples are answered from the connection."""

import json

import pytest
from prometheus_client import REGISTRY

from service.keys import keyring
from service.settings import Settings
from service.web.connection import wire as module
from service.web.connection.wire import head_here
from tests.service.web.connection.wired import BODY, by_asgi, request, served

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
