"""Every kind of request that the service answers, and of connection that comes to nothing: what `benchmarks.soak` asks."""

from dataclasses import dataclass
from typing import Any

Body = dict[str, Any] | bytes | None


@dataclass(frozen=True)
class Exchange:
    """One kind of request. `{seed}` in path and `seed` in the body are each request's own."""

    name: str
    per_second: float
    method: str
    path: str
    body: Body = None
    status: int = 200
    seed_field: str = "seed"

    def request(self, seed: int) -> dict[str, Any]:
        if not isinstance(self.body, dict):
            json_type = {"content-type": "application/json"}
            return {"data": self.body, "headers": json_type} if self.body is not None else {}
        return {"json": self.body | ({self.seed_field: seed} if self.seed_field else {})}


def _v2(seed: int, binary: bool) -> dict[str, Any]:
    inputs = [{"name": "seed", "datatype": "INT64", "shape": [4], "data": [seed + i for i in range(4)]}]
    return {"inputs": inputs, "parameters": {"binary_data_output": binary}}


SAMPLES = "/v1/samples"
REFERENCE = Exchange("one image", 20, "POST", SAMPLES, {"n": 1})
EXCHANGES = [
    REFERENCE,
    Exchange("one image, another model", 2, "POST", SAMPLES, {"n": 1, "model": "{other}"}),
    Exchange("16 raw", 2, "POST", SAMPLES, {"n": 16, "format": "npy"}),
    Exchange("256 in JSON", 0.1, "POST", SAMPLES, {"n": 256, "format": "json", "include_z": True}),
    Exchange("64 as WebP", 0.2, "POST", SAMPLES, {"n": 64, "format": "webp"}),
    Exchange("image address", 4, "GET", "/v1/models/{model}/images/3/{seed}.png?truncation=0.7"),
    Exchange("way", 0.3, "POST", "/v1/interpolations", {"seeds": [1, 2, 3], "format": "gif"}, seed_field=""),
    Exchange(
        "sum",
        0.3,
        "POST",
        "/v1/arithmetic",
        {"terms": [{"weight": 1, "seeds": [1, 2]}, {"weight": -1, "seeds": [3]}]},
        seed_field="",
    ),
    Exchange("OpenAI's", 0.3, "POST", "/v1/images/generations", {"prompt": "3", "n": 2, "size": "256x256"}),
    Exchange("KServe's, JSON", 0.5, "POST", "/v2/models/{model}/infer", _v2(5, False), seed_field=""),
    Exchange("KServe's, binary", 0.5, "POST", "/v2/models/{model}/infer", _v2(6, True), seed_field=""),
    Exchange("BentoML's", 0.5, "POST", "/sample", {"n": 2}),
    Exchange("cards", 0.5, "GET", "/v1/models"),
    Exchange("playground", 0.2, "GET", "/"),
    Exchange("reference", 0.1, "GET", "/openapi.json"),
    Exchange("metrics", 0.2, "GET", "/metrics"),
    Exchange("readiness", 1, "GET", "/readyz"),
    Exchange("no time", 1, "POST", SAMPLES, {"timeout": 1e-6}, 504),
    Exchange("a mistake", 1, "POST", SAMPLES, {"n": 0}, 422),
    Exchange("no JSON", 0.5, "POST", SAMPLES, b"{", 400),
    Exchange("no route", 0.5, "GET", "/soak/{seed}", status=404),
]
SAME = {"n": 4, "seed": 7, "format": "npy"}
HEAD = b"POST /v1/samples HTTP/1.1\r\nhost: soak\r\ncontent-type: application/json\r\ncontent-length: 100\r\n\r\n"
NUISANCES = {
    "leaves": b'{"n": 256' + b" " * 90 + b"}",
    "half a body": b"{",
    "half a head": None,
    "silent": b"",
}
