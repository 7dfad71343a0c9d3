import pytest

from service.web.http.trace import request_id, who

PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def test_a_clients_request_id_comes_back_and_others_get_one_of_their_own(site):
    body = {"seed": 1}
    for path, options in (("/v1/samples", {"json": body}), ("/v1/samples", {"json": {"n": 0}})):
        reply = site.ask("POST", path, headers={"x-request-id": "order-66"}, **options)
        assert reply.headers["x-request-id"] == "order-66"
    ids = {site.get(path).headers["x-request-id"] for path in ("/livez", "/livez", "/nowhere")}
    assert len(ids) == 3


@pytest.mark.parametrize("given", ["", "two words", "x" * 129, "caf\xe9", "a\x7f", "a\tb", None])
def test_an_id_that_could_harm_a_log_or_a_header_is_replaced(given):
    assert request_id(given) != given
    assert request_id("x" * 128) == "x" * 128


def test_a_log_line_names_the_trace_that_the_client_is_in():
    assert who("7", PARENT) == {"request": "7", "trace": "0af7651916cd43dd8448eb211c80319c"}
    assert who("7", "00-nonsense") == who("7", None) == {"request": "7"}


def test_samples_say_where_their_time_went(site):
    timing = site.samples(seed=1).headers["server-timing"]
    parts = dict(part.split(";dur=") for part in timing.split(", "))
    assert list(parts) == ["queue", "forward", "encode"]
    assert float(parts["forward"]) > 0
    assert all(0 <= float(milliseconds) < 60_000 for milliseconds in parts.values())
