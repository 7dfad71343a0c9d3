"""Content credentials, as the library of those who defined them reads them."""

import asyncio
import io
import json
import threading
from pathlib import Path
from typing import Any

import c2pa
import numpy as np
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from PIL import Image

from service.drawing.formats import SERIES_MEDIA_TYPES
from service.errors import SettingsError
from service.generator import images
from service.generator.origin.credentials import Credentials, credentials_of
from service.preflight import problem
from service.settings import Settings
from tests import generators
from tests.provenance import certificates
from tests.provenance.test_routes import CASES, FILES, pictures, verified
from tests.service.loaded import loaded
from tests.service.web.site import Site

SIGNED = [case for case in CASES if "datasets" not in case]


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> tuple[Path, Path, str]:
    return certificates.write(tmp_path_factory.mktemp("certificate"))


@pytest.fixture(scope="module")
def site(tmp_path_factory, files):
    chain, key, _ = files
    own: dict[str, Any] = {
        "engine": "onnxruntime",
        "threads": 1,
        "credentials_certificate": f"{chain}",
        "credentials_key": f"{key}",
        "provenance": "on",
        "default_model": "tiny",
    }
    with loaded(tmp_path_factory.mktemp("models"), FILES, **own) as models:
        yield Site(models)


def read(picture: bytes, media_type: str, authority: str) -> dict:
    """The library's own reader, which trusts one authority."""
    settings = {"trust": {"trust_anchors": authority}, "verify": {"verify_trust": True}}
    with c2pa.Reader(media_type, io.BytesIO(picture), context=c2pa.Context.from_dict(settings)) as reader:
        return json.loads(reader.json())


def kind_of(picture: bytes) -> str:
    with Image.open(io.BytesIO(picture)) as image:
        return SERIES_MEDIA_TYPES[f"{image.format}".lower()]


@pytest.mark.parametrize("case", SIGNED)
def test_every_picture_is_signed_as_one_of_a_trained_model(site: Site, files, case):
    model = CASES[case][1]
    for picture in pictures(site, case):
        told = read(picture, kind_of(picture), files[2])
        assert told["validation_state"] == "Trusted", told.get("validation_status")
        manifest = told["manifests"][told["active_manifest"]]
        assert manifest["claim_generator_info"][0]["name"] == "ganserve"
        (made,) = [one for one in manifest["assertions"] if one["label"] == "c2pa.actions.v2"]
        (action,) = made["data"]["actions"]
        assert action["action"] == "c2pa.created"
        assert action["digitalSourceType"].endswith("/trainedAlgorithmicMedia")
        agent = {"name": model, "version": site.front.models[model].version}
        assert action["softwareAgent"] == agent


def test_a_signed_picture_is_still_drawn_again_and_a_changed_one_is_not_valid(site: Site, files, tmp_path):
    folder = generators.folder(tmp_path, {"tiny": FILES["tiny"]})
    (picture,) = pictures(site, "samples-png")
    assert "bit for bit" in verified(picture, tmp_path, "--model", f"{folder / 'tiny'}")
    changed = picture[:-20] + bytes([picture[-20] ^ 1]) + picture[-19:]
    assert read(changed, "image/png", files[2])["validation_state"] == "Invalid"


def test_a_stream_of_a_data_set_is_not_signed(site: Site):
    assert b"jumb" not in pictures(site, "datasets-tar")[0]


def test_signatures_differ_and_the_tag_of_an_address_says_so(site: Site):
    path = f"/v1/models/tiny@{site.front.models['tiny'].version}/images/bag/7.png"
    one, other = site.get(path), site.get(path)
    assert one.content != other.content
    assert one.headers["etag"] == other.headers["etag"]
    assert one.headers["etag"].startswith('W/"')
    assert one.headers["etag"].endswith('-xmp-c2pa"')
    assert "immutable" in one.headers["cache-control"]
    assert site.get(path, headers={"if-none-match": one.headers["etag"]}).status_code == 304


def test_no_signature_is_made_on_the_event_loop(site: Site, monkeypatch):
    threads, signed = [], Credentials.signed

    def noting(*words):
        threads.append(threading.current_thread())
        return signed(*words)

    monkeypatch.setattr(Credentials, "signed", noting)

    async def ask() -> threading.Thread:
        async with site.client() as client:
            asked = {"seed": 1, "format": "jpeg", "model": "tiny"}
            await asyncio.gather(*(client.post("/v1/samples", json=asked) for _ in range(8)))
            await client.post("/v1/images/generations", json={"prompt": "bag", "model": "tiny"})
        return threading.current_thread()

    loop = asyncio.run(ask())
    assert len(threads) == 9
    assert loop not in threads
    assert not any(thread.name.startswith("lane") for thread in threads), threads


@pytest.mark.parametrize("curve", [ec.SECP256R1(), ec.SECP384R1()])
def test_keys_on_curves_sign_too(tmp_path, curve):
    chain, key, authority = certificates.write(tmp_path, curve)
    png = images.png(np.zeros((1, 8, 8), np.uint8))
    picture = Credentials(f"{chain}", f"{key}").signed(png, "image/png", "tiny", "0123456789ab")
    assert read(picture, "image/png", authority)["validation_state"] == "Trusted"


def test_nothing_is_signed_where_nothing_is_configured():
    assert credentials_of("", "") is None
    assert Settings().credentials_certificate == ""


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        ("no key", "go together"),
        ("no file", "can't be read"),
        ("another's key", "the key is not that of the first certificate"),
        ("no PEM", "must be PEM"),
        ("an authority's", "certificate"),
    ],
)
def test_a_wrong_certificate_stops_the_start_with_one_line(tmp_path, files, monkeypatch, wrong, why):
    chain, key, _ = files
    (tmp_path / "other").mkdir()
    _, other, _ = certificates.write(tmp_path / "other")
    junk = tmp_path / "junk.pem"
    junk.write_text("no PEM")
    if wrong == "an authority's":  # whose key was made for certificates, and not for pictures
        chain, key = certificates.write_authority(tmp_path)
    pair = {
        "no key": (f"{chain}", ""),
        "no file": (f"{chain}", f"{tmp_path / 'none.pem'}"),
        "another's key": (f"{chain}", f"{other}"),
        "no PEM": (f"{junk}", f"{key}"),
    }.get(wrong, (f"{chain}", f"{key}"))
    with pytest.raises(SettingsError, match=why):
        credentials_of(*pair)
    for name, value in zip(("CERTIFICATE", "KEY"), pair, strict=True):
        monkeypatch.setenv(f"GANSERVE_CREDENTIALS_{name}", value)
    said = problem("127.0.0.1", "1")
    assert said is not None
    assert why in said
    assert "\n" not in said
