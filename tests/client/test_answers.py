"""What the client makes of servers that are full, gone, or something else."""

import json
import threading
import time
from email.utils import formatdate

import httpx
import pytest

import ganserve
from ganserve.errors import refusal
from tests.client.answering import drawn, of


def problem(status: int, code: str, **headers: str) -> httpx.Response:
    return httpx.Response(status, json={"code": code, "detail": f"It is {code}."}, headers=headers)


def limits(most: int) -> httpx.Response:
    n = {"anyOf": [{"type": "integer", "minimum": 1, "maximum": most}, {"type": "null"}]}
    return httpx.Response(200, json={"components": {"schemas": {"SampleRequest": {"properties": {"n": n}}}}})


def test_a_full_server_is_asked_again_when_it_says():
    answers = [
        problem(429, "queue_full", **{"retry-after": "0"}),
        problem(503, "draining", **{"retry-after": "0"}),
    ]
    waits = []

    def handler(request: httpx.Request) -> httpx.Response:
        return answers.pop(0) if answers else drawn(request)

    got = of(handler, on_wait=lambda seconds, reason: waits.append(reason.code)).sample(seed=9)
    assert got.images[0, 0, 0, 0] == 9
    assert waits == ["queue_full", "draining"]


def test_a_server_that_stays_full_past_the_timeout_is_not_waited_for():
    asked = []

    def handler(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        return problem(429, "queue_full", **{"retry-after": "7"})

    with pytest.raises(ganserve.Refused, match="It is queue_full") as caught:
        of(handler, timeout=5).sample()
    assert (caught.value.status, caught.value.retry_after_seconds, len(asked)) == (429, 7, 1)


def test_retry_after_may_be_a_date():
    when = formatdate(time.time() + 30, usegmt=True)
    assert refusal(503, {"retry-after": when}, b"").retry_after_seconds == pytest.approx(30, abs=2)
    assert refusal(503, {"retry-after": "soon"}, b"").retry_after_seconds == 1
    assert refusal(503, {}, b"").retry_after_seconds == 1
    assert refusal(500, {"retry-after": "1"}, b"").retry_after_seconds is None


def test_a_connection_that_breaks_once_is_no_failure():
    asked = []

    def handler(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        if len(asked) == 1:
            raise httpx.RemoteProtocolError("Server disconnected without sending a response.")
        return drawn(request)

    assert len(of(handler).sample().images) == 1
    assert len(asked) == 2


@pytest.mark.parametrize(
    ("failure", "says"),
    [
        (
            httpx.ConnectError("[Errno 111] Connection refused"),
            "^http://site can't be reached: Connection refused.$",
        ),
        (httpx.ConnectTimeout(""), "no connection within 60 seconds"),
        (httpx.ReadTimeout(""), "no answer within 60 seconds"),
        (
            httpx.RemoteProtocolError("broken\x1b[31m\noff"),
            r"^http://site can't be reached: broken \[31m off\.$",
        ),
    ],
)
def test_no_answer_is_unreachable(failure, says):
    def handler(request: httpx.Request) -> httpx.Response:
        raise failure

    with pytest.raises(ganserve.Unreachable, match=says):
        of(handler).models()


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (httpx.Response(200, html="<h1>Welcome to nginx</h1>"), "text/html"),
        (httpx.Response(200, content=b""), "0 bytes"),
        (httpx.Response(200, content=drawn(httpx.Request("POST", "/", json={})).content), "name no model"),
        (httpx.Response(200, headers={"ganserve-seeds": "x"}, content=drawn(httpx.Request("POST", "/", json={})).content), "seeds"),
    ],
)  # fmt: skip
def test_an_answer_of_something_else_is_told_apart(answer, says):
    with pytest.raises(ganserve.UnexpectedAnswer, match=f"not answer as ganserve does: .*{says}"):
        of(lambda _: answer).sample()


@pytest.mark.parametrize("document", [b"", b"[]", b'{"data": 5}', b'{"data": [1]}', b"[" * 100_000])
def test_models_that_are_no_list_of_cards_are_an_unexpected_answer(document):
    with pytest.raises(ganserve.UnexpectedAnswer):
        of(lambda _: httpx.Response(200, content=document)).models()


@pytest.mark.parametrize(
    ("answer", "code", "detail"),
    [
        (httpx.Response(502, html="<h1>Bad gateway</h1>"), "http_502", "The server answered 502."),
        (httpx.Response(418, text="short\x1b[2J\nand stout"), "http_418", "The server answered 418: short [2J and stout"),
        (httpx.Response(301, headers={"location": "https://site/v1/models"}), "http_301", "The server answered 301, to be asked at https://site/v1/models"),
        (httpx.Response(401, json={"code": "no_key", "detail": "No key."}), "no_key", "No key."),
        (httpx.Response(504, json={"code": "deadline_passed", "title": "Late"}), "deadline_passed", "Late"),
        (httpx.Response(500, json=["?"]), "http_500", 'The server answered 500: ["?"]'),
    ],
)  # fmt: skip
def test_every_refusal_has_a_code_and_one_line(answer, code, detail):
    with pytest.raises(ganserve.Refused) as caught:
        of(lambda _: answer).models()
    assert (caught.value.status, caught.value.code, str(caught.value)) == (answer.status_code, code, detail)


def test_all_requests_of_a_call_ask_for_the_version_that_answered_first():
    models, arrived, all_others = [], [], threading.Event()

    def handler(request: httpx.Request) -> httpx.Response:
        if request.method == "GET":
            return limits(10)
        fields = json.loads(request.content)
        models.append(fields.get("model"))
        if fields.get("seed") == 17:  # the second piece comes last
            assert all_others.wait(20)
        return drawn(request)

    def tell(count: int) -> None:
        arrived.append(count)
        if sum(arrived) == 25:
            all_others.set()

    got = of(handler).sample(n=35, tell=tell)
    assert models == [None, "made@1", "made@1", "made@1"]
    assert got.seeds is not None
    assert got.seeds.tolist() == list(range(7, 42))
    assert got.images[:, 0, 0, 0].tolist() == list(range(7, 42))


def test_the_first_failure_of_many_requests_ends_them_all():
    asked = []

    def handler(request: httpx.Request) -> httpx.Response:
        if request.method == "GET":
            return limits(1)
        asked.append(request)
        return drawn(request) if len(asked) == 1 else problem(500, "engine_failed")

    with pytest.raises(ganserve.Refused, match="engine_failed"):
        of(handler, connections=2).sample(n=1000)
    assert len(asked) <= 3


def test_without_an_api_description_the_usual_limit_is_kept():
    sizes = []

    def handler(request: httpx.Request) -> httpx.Response:
        if request.method == "GET":
            return problem(404, "unknown_route")
        sizes.append(json.loads(request.content)["n"])
        return drawn(request)

    of(handler).sample(n=300)
    assert sizes == [256, 44]
