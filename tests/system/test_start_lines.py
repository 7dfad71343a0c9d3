"""What `bentoml serve` says at its start: what is served, and where to look."""

import re

import httpx


def test_the_start_says_what_is_served_and_where_to_look(server):
    (listening,) = [one["message"] for one in server.events if one["event"] == "listening"]
    assert f"http://127.0.0.1:{server.port}:" in listening
    for path in re.findall(r"(?<= )/\w*", listening):
        assert httpx.get(f"{server.url}{path}", trust_env=False).status_code == 200
    lines = {one["model"]: one["message"] for one in server.events if one["event"] == "model_ready"}
    assert set(lines) == set(server.get("/readyz").json()["models"])
    assert re.search(
        r"^model tiny@[0-9a-f]{12} ready in [\d.]+ s: 10 classes, 8x8x1, [\d.]+ MB; .*onnxruntime on CPU",
        lines["tiny"],
    )
    assert ": no classes, 8x8x1, " in lines["bare"]
