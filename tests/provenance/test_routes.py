"""Every route that gives pictures, in every format: they say what made them, and it draws them again."""

import base64
import io
import json
import tarfile
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
from click.testing import CliRunner

from ganserve.client import Client
from ganserve.provenance import command
from ganserve.provenance.told import facts_of
from service.generator import images
from service.generator.origin import provenance
from tests import generators
from tests.generators import Tiny
from tests.service.generator.file.test_class_weights import file as mixing_file
from tests.service.loaded import loaded
from tests.service.web.clients.test_scalars import pixels
from tests.service.web.site import Site
from tests.service.web.v1.test_codes import CODED
from tests.service.web.v1.test_scalars import STYLED

FORMATS = ("png", "webp", "jpeg", "avif")
FILES = {
    "tiny": Tiny(image=(3, 16, 16)).file(),
    "styled": STYLED.file(),
    "mixing": mixing_file(),
    "plain": Tiny(classes=None, image=(1, 8, 8)).file(),
    "coded": CODED.file(),
}
Z = [[0.1 * i - 0.35 for i in range(8)], [0.05 * i for i in range(8)]]
TERMS = [{"weight": 1, "seeds": [1, 2, 3]}, {"weight": -0.5, "seeds": [4]}]

Take = Callable[[httpx.Response], list[bytes]]
Case = tuple[str, str, dict[str, Any], Take]


def whole(reply: httpx.Response) -> list[bytes]:
    return [reply.content]


def in_json(reply: httpx.Response) -> list[bytes]:
    return [base64.b64decode(one["image"]) for one in reply.json()["images"]]


def generations(reply: httpx.Response) -> list[bytes]:
    return [base64.b64decode(one["b64_json"]) for one in reply.json()["data"]]


def events(reply: httpx.Response) -> list[bytes]:
    lines = [line.removeprefix("data: ") for line in reply.text.splitlines() if line.startswith("data: ")]
    return [base64.b64decode(json.loads(line)["b64_json"]) for line in lines]


def rows(reply: httpx.Response) -> list[bytes]:
    return [base64.b64decode(json.loads(line)["image"]) for line in reply.text.splitlines()[:-1]]


def members(reply: httpx.Response) -> list[bytes]:
    with tarfile.open(fileobj=io.BytesIO(reply.content)) as archive:
        files = [archive.extractfile(one) for one in archive if one.name.endswith(".png")]
        return [file.read() for file in files if file]


def cases() -> Iterator[tuple[str, Case]]:
    for format in FORMATS:
        suffix = "jpg" if format == "jpeg" else format
        lossy = {"quality": 40} if format in ("jpeg", "avif") else {}
        grid = {"seed": 4, "n": 3, "truncation": 0.7, "format": format, **lossy}
        yield f"samples-{format}", ("/v1/samples", "tiny", grid, whole)
        yield f"address-{format}", (f"/v1/models/tiny@/images/bag/7.{suffix}", "tiny", {}, whole)
        sized = f"/v1/models/tiny@/images/bag/7.{suffix}?truncation=0.5&size=40x40"
        yield f"address-sized-{format}", (sized, "tiny", {}, whole)
        drawn = {"prompt": "bags", "n": 2, "seed": 5, "size": "32x32", "output_format": format}
        yield f"openai-{format}", ("/v1/images/generations", "tiny", drawn, generations)
        way = {"seeds": [1, 2], "steps": 3, "label": [3, "Bag"], "format": format, **lossy}
        yield f"interpolations-{format}", ("/v1/interpolations", "tiny", way, whole)
        total = {"terms": TERMS, "label": "Coat", "include_terms": True, "format": format}
        yield f"arithmetic-{format}", ("/v1/arithmetic", "tiny", total, whole)
    stream = {"prompt": "bag", "n": 2, "seed": 5, "stream": True}
    yield "openai-stream", ("/v1/images/generations", "tiny", stream, events)
    for size in ({}, {"height": 32}):
        yield f"hugging-face{len(size)}", ("/", "tiny", {"inputs": "bag", "parameters": {"seed": 3, **size}}, whole)  # fmt: skip
    for format, take in (("ndjson", rows), ("tar", members)):
        yield f"datasets-{format}", ("/v1/datasets", "tiny", {"n": 2, "seed": 3, "format": format}, take)
    yield "samples-json", ("/v1/samples", "tiny", {"seed": 9, "n": 2, "format": "json"}, in_json)
    yield "z", ("/v1/samples", "tiny", {"z": Z, "truncation": 0.8}, whole)
    yield "z-json", ("/v1/samples", "tiny", {"z": Z, "label": ["Bag", 2], "format": "json"}, in_json)
    yield "z-unconditional", ("/v1/samples", "plain", {"z": Z}, whole)
    yield "unconditional", ("/v1/samples", "plain", {"seed": 2, "n": 2}, whole)
    psi = {"seed": 2, "n": 2, "truncation": 0.9, "scalars": {"psi": [0.2, 0.4]}}
    yield "scalars", ("/v1/samples", "styled", psi, whole)
    yield "scalars-json", ("/v1/samples", "styled", psi | {"format": "json"}, in_json)
    yield "scalars-address", ("/v1/models/styled@/images/b/7.png?psi=0.25&size=64x64", "styled", {}, whole)
    codes = {"seed": 2, "n": 2, "truncation": 0.9, "codes": {"c1": [-1.5, 1], "psi": 0.25}}
    yield "codes", ("/v1/samples", "coded", codes, whole)
    yield "codes-of-seeds", ("/v1/samples", "coded", {"seed": 2, "n": 2}, whole)
    yield "codes-address", ("/v1/models/coded@/images/7.png?category=2", "coded", {}, whole)
    way = {"seeds": [1, 2], "steps": 2, "scalars": {"c1": 0.5}}
    yield "way-of-codes", ("/v1/interpolations", "coded", way, whole)
    weights = {"label": {"Sneaker": 1, "Bag": 2}, "seed": 1, "n": 2}
    yield "weights", ("/v1/samples", "mixing", weights, whole)
    yield "weights-json", ("/v1/samples", "mixing", weights | {"format": "json"}, in_json)
    loop = {"seeds": [1, 2, 3], "loop": True, "steps": 3, "format": "gif", "frame_milliseconds": 200}
    yield "gif", ("/v1/interpolations", "tiny", loop, whole)
    through = {"label": ["Bag", "Coat"], "seed": 3, "steps": 3, "truncation": 0.9, "format": "json"}
    yield "way-json", ("/v1/interpolations", "mixing", through, in_json)
    yield "way-of-z", ("/v1/interpolations", "tiny", {"z": Z, "steps": 3}, whole)
    yield "way-of-psi", ("/v1/interpolations", "styled", {"seeds": [1, 2], "steps": 2, "scalars": {"psi": 0.1}}, whole)  # fmt: skip
    yield "sum-json", ("/v1/arithmetic", "tiny", {"terms": TERMS, "format": "json"}, in_json)


CASES = dict(cases())


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return generators.folder(tmp_path_factory.mktemp("again"), FILES)


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    settings = {"engine": "onnxruntime", "threads": 1, "provenance": "on", "default_model": "tiny"}
    with loaded(tmp_path_factory.mktemp("models"), FILES, **settings) as models:
        yield Site(models)


@pytest.fixture(scope="module")
def silent(tmp_path_factory):
    with loaded(tmp_path_factory.mktemp("silent"), FILES, engine="onnxruntime", threads=1) as models:
        yield Site(models)


def answer(site: Site, path: str, model: str, fields: dict[str, Any]) -> httpx.Response:
    if "@" in path:
        return site.get(path.replace("@", f"@{site.front.models[model].version}"))
    own = {} if path == "/" else {"model": model}
    return site.ask("POST", path, json=fields | own)


def pictures(site: Site, case: str) -> list[bytes]:
    path, model, fields, take = CASES[case]
    reply = answer(site, path, model, fields)
    assert reply.status_code == 200, reply.text
    found = take(reply)
    assert found
    return found


def verified(picture: bytes, tmp_path, *words: str) -> str:
    file = tmp_path / "picture"
    file.write_bytes(picture)
    result = CliRunner().invoke(
        command.verify, [f"{file}", *words], env={"GANSERVE_ENGINE": "onnxruntime", "GANSERVE_THREADS": "1"}
    )
    assert result.exit_code == 0, result.output
    return result.output


@pytest.fixture
def asked(site: Site, monkeypatch):
    """`--url` is the site, in this process."""

    class Transport(httpx.BaseTransport):
        def handle_request(self, request: httpx.Request) -> httpx.Response:
            headers = {"content-type": request.headers.get("content-type", "")}
            reply = site.ask(
                request.method, request.url.raw_path.decode(), content=request.read(), headers=headers
            )
            plain = [(name, value) for name, value in reply.headers.items() if name != "content-encoding"]
            return httpx.Response(reply.status_code, headers=plain, content=reply.content)

    monkeypatch.setattr(
        command, "Client", lambda url, **options: Client(url, transport=Transport(), **options)
    )


@pytest.mark.parametrize("case", CASES)
def test_a_picture_is_drawn_again_by_what_it_says(site: Site, asked, tmp_path, case):
    found = pictures(site, case)
    assert found == pictures(site, case), "bytes are reproducible"
    for picture in found:
        assert b"/trainedAlgorithmicMedia" in picture
        assert "bit for bit" in verified(picture, tmp_path, "--url", "http://site")


@pytest.mark.parametrize(
    "case", ["samples-jpeg", "address-sized-webp", "arithmetic-avif", "gif", "z", "scalars", "weights"]
)
def test_and_here_without_a_server(site: Site, folder, tmp_path, case):
    picture = pictures(site, case)[0]
    assert "bit for bit" in verified(picture, tmp_path, "--model", f"{folder / CASES[case][1]}")


@pytest.mark.parametrize("case", CASES)
def test_no_picture_says_anything_where_it_is_off(silent: Site, case):
    for picture in pictures(silent, case):
        assert b"ganserve" not in picture


def test_openais_image_has_the_bytes_of_its_address(site: Site):
    for format in FORMATS:
        fields = {"prompt": "bag", "seed": 5, "n": 2, "size": "32x32", "output_format": format}
        reply = answer(site, "/v1/images/generations", "tiny", fields)
        for one in reply.json()["data"]:
            assert site.get(one["url"]).content == base64.b64decode(one["b64_json"])


@pytest.mark.parametrize("format", FORMATS)
def test_the_tag_of_an_address_names_what_its_bytes_have(site: Site, silent: Site, format):
    path = f"/v1/models/tiny@/images/bag/7.{'jpg' if format == 'jpeg' else format}?size=32x32"
    with_xmp, without = answer(site, path, "tiny", {}), answer(silent, path, "tiny", {})
    assert with_xmp.content != without.content
    assert with_xmp.headers["etag"] == without.headers["etag"][:-1] + '-xmp"'


@pytest.mark.parametrize(
    ("asked", "why"),
    [
        ({"seeds": [1, 2], "steps": 10_000}, "steps"),
        ({"seeds": [1, 2], "wrong": 1}, "wrong"),
        ({"seeds": [1, 2], "label": "no class"}, "no class"),
        ({"seeds": [1, 3], "steps": 3, "label": [3, "Bag"]}, "levels apart"),
    ],
)
def test_a_forged_request_is_refused_in_one_line(site: Site, folder, tmp_path, asked, why):
    (picture,) = pictures(site, "interpolations-png")
    told = facts_of(picture)["request"]
    maker = site.front.models["tiny"].provenance
    assert maker is not None
    assert told["label"] == [3, "Bag"]
    lie = provenance.packet(maker, provenance.Told(route="/v1/interpolations", request=asked))
    file = tmp_path / "picture.png"
    file.write_bytes(provenance.embed(images.png(pixels(picture).transpose(2, 0, 1)), lie))
    result = CliRunner().invoke(
        command.verify,
        [f"{file}", "--model", f"{folder / 'tiny'}"],
        env={"GANSERVE_ENGINE": "onnxruntime", "GANSERVE_THREADS": "1"},
    )
    assert (result.exit_code, why in result.output) == (1, True), result.output


@pytest.mark.parametrize("labels", [None, [0, 1, 2, 11, 1]])
def test_packets_of_many_images_are_those_of_each_alone(labels):
    maker = provenance.Maker("tiny", "0123456789ab", "onnxruntime", "fp32")
    alone = [
        provenance.packet(maker, provenance.Told((seed,), None if labels is None else labels[i : i + 1], 0.7))
        for i, seed in enumerate(range(8, 13))
    ]
    assert list(provenance.packets(maker, range(8, 13), labels, 0.7)) == alone
