"""What else may lie in a models folder: links to nowhere and in a circle, pipes, devices, names that are no text."""

import asyncio
import json
import os
from pathlib import Path

import pytest

from service.generator.file.reading import MOST_BYTES
from service.registry import footprint
from service.settings import Settings
from tests.generators import Tiny, folder
from tests.service.registry.rolling import worker
from tests.service.web.site import Site

GOOD = Tiny(golden_samples=1)
TOLD = {
    "link": "No such file",
    "circle": "Too many levels of symbolic links",
    "pipe": "It is no file",
    "device": "It is no file",
    "directory": "It is no file",
    "endless": "File too large",
    "empty": "not an ONNX file",
    "Capital": "lower-case letters",
}


@pytest.fixture
def root(tmp_path) -> Path:
    """Of one good model, and what somebody left beside it, and beside its file."""
    models = folder(tmp_path / "models", {"good": GOOD.file(), "empty": b"", "Capital": GOOD.file()})
    for name in TOLD.keys() - {"empty", "Capital"}:
        (models / name).mkdir()
    for place in (models / "link/generator.onnx", models / "good/nowhere.onnx"):
        place.symlink_to("nothing-there")
    for place in (models / "circle/generator.onnx", models / "good/circle.onnx"):
        place.symlink_to(place.name)
    for place in (models / "pipe/generator.onnx", models / "good/pipe.onnx"):
        os.mkfifo(place)
    for place in (models / "device/generator.onnx", models / "good/device.onnx"):
        place.symlink_to("/dev/zero")
    for place in (models / "endless/generator.onnx", models / "good/endless.onnx"):
        place.touch()
        os.truncate(place, MOST_BYTES)
    (models / "directory/generator.onnx").mkdir()
    (models / "good/directory.onnx").mkdir()
    (models / "round").symlink_to(".")
    for name in (b"\xff\xfe", b"two\nlines"):
        strange = Path(os.fsdecode(os.fsencode(models) + b"/" + name))
        strange.mkdir()
        (strange / "generator.onnx").write_bytes(GOOD.file())
        (models / "good" / f"{strange.name}.onnx").write_bytes(GOOD.file())
    return tmp_path


def test_the_good_model_serves_and_every_other_says_what_it_is(root):
    async def scene() -> None:
        async with asyncio.timeout(60), worker(root) as rollout:
            site = Site(rollout.models)
            async with site.client() as client:
                cards = {card["id"]: card for card in (await client.get("/v1/models")).json()["data"]}
                ready = await client.get("/readyz")
                assert (await client.post("/v1/samples", json={"model": "good"})).status_code == 200
                for path in ("/metrics", "/v2/repository/index", "/v1/models/good"):
                    method = "POST" if "index" in path else "GET"
                    assert (await client.request(method, path)).status_code == 200, path
        assert cards.keys() == {"good", *TOLD}
        assert cards["good"]["state"] == "ready"
        assert [one["state"] for one in cards["good"]["versions"]] == ["ready"]
        for name, reason in TOLD.items():
            assert (cards[name]["state"], reason in cards[name]["problem"]) == ("failed", True), cards[name]
        assert json.loads(ready.text)["models"]["pipe"] == "failed"

    asyncio.run(scene())


def test_what_it_takes_in_memory_is_reckoned_without_what_can_not_be_read(root, tmp_path):
    alone = folder(tmp_path / "alone", {"good": GOOD.file()})
    few = footprint.least_mb(Settings(models=alone, max_loaded_mb=100))
    assert footprint.least_mb(Settings(models=root / "models", max_loaded_mb=100)) < few + 80
