"""POST /v1/datasets: the pictures of /v1/samples, as many as are asked for."""

import asyncio
import base64
import io
import json
import tarfile

import numpy as np
import pytest
from PIL import Image

from service.errors import NotReady
from service.generator.engines.fake import FakeEngine
from service.keys import keyring
from service.settings import Settings
from tests.generators import Tiny
from tests.generators.texts import Reader
from tests.service.loaded import loaded
from tests.service.web.site import Site, refused
from tests.waiting import until


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    with loaded(
        tmp_path_factory.mktemp("models"),
        {"tiny": Tiny().file()},
        engine="onnxruntime",
        max_dataset_images=500,
    ) as models:
        yield models


def stream(site: Site, **fields):
    return site.ask("POST", "/v1/datasets", json=fields)


def test_each_line_is_the_image_of_its_seed(models):
    site = Site(models)
    answer = stream(site, n=75, seed=3, truncation=0.5)
    assert answer.headers["content-type"] == "application/x-ndjson"
    assert answer.headers["ganserve-seeds"] == "3-77"
    *rows, end = map(json.loads, answer.text.splitlines())
    assert [row["seed"] for row in rows] == list(range(3, 78))
    assert end == {"end": "done", "next_seed": 78, "detail": ""}
    for row in rows[::25]:
        alone = site.samples(seed=row["seed"], truncation=0.5, format="json").json()["images"][0]
        assert (row["class"], row["image"]) == (alone["label"], alone["image"])


def test_a_tar_has_webdatasets_pairs_and_labels_take_turns_by_the_seed(models):
    answer = stream(Site(models), n=20, seed=1, label=["bag", "Dress"], format="tar")
    with tarfile.open(fileobj=io.BytesIO(answer.content)) as archive:
        names = archive.getnames()
        labels = [
            int(file.read())
            for name in names
            if name.endswith(".cls") and (file := archive.extractfile(name)) is not None
        ]
    assert names == [f"{seed:016}.{suffix}" for seed in range(1, 21) for suffix in ("png", "cls")]
    assert labels == [(8, 3)[seed % 2] for seed in range(1, 21)]


def test_texts_take_turns_by_the_seed(tmp_path):
    texts = ["a bright bag", "a dark bag"]
    with loaded(tmp_path, {"reader": Reader().file(), "tiny": Tiny().file()}, engine="onnxruntime") as models:
        site = Site(models)
        *rows, _ = map(json.loads, stream(site, n=5, seed=1, text=texts, model="reader").text.splitlines())
        for row in rows:
            alone = site.samples(seed=row["seed"], text=texts[row["seed"] % 2], format="json", model="reader")
            assert row["image"] == alone.json()["images"][0]["image"]
            assert row["text"] == texts[row["seed"] % 2]
        answer = stream(site, n=2, text="a dark bag", model="reader", format="tar")
        with tarfile.open(fileobj=io.BytesIO(answer.content)) as archive:
            names = archive.getnames()
        assert names == [f"{seed:016}.{suffix}" for seed in range(2) for suffix in ("png", "txt")]
        refused(stream(site, n=2, text="a zebra", model="reader"), 422, "invalid_field", "text")
        refused(stream(site, n=2, text="a bag", model="tiny"), 422, "invalid_field", "text")


def test_what_is_not_allowed_is_refused_before_the_stream_begins(models):
    site = Site(models)
    refused(stream(site, n=501), 422, "invalid_field", "n")
    refused(stream(site, n=2, seed=2**53 - 1), 422, "invalid_field", "seed")
    refused(stream(site, n=2, label="Hat"), 422, "invalid_field", "label")
    refused(stream(site), 422, "invalid_field", "n")
    site.front.stop_being_ready()
    refused(stream(site, n=2), 503, "draining")


def test_a_stream_needs_a_key_where_there_are_some(models):
    keys = keyring(Settings(api_keys="shop:0123456789abcdef"))
    assert keys is not None
    site = Site(models, keyring=keys)
    answer = site.ask(
        "POST", "/v1/datasets", json={"n": 20}, headers={"authorization": "Bearer 0123456789abcdef"}
    )
    assert answer.status_code == 200
    refused(stream(site, n=20), 401, "invalid_api_key")


class Reading:
    """A client that takes as much of a stream as it is let, in the place of uvicorn."""

    def __init__(self, site: Site, n: int) -> None:
        self.body = bytearray()
        self.takes = asyncio.Event()
        self.gone = asyncio.Event()
        sent = [json.dumps({"n": n}).encode()]
        scope = {
            "type": "http",
            "method": "POST",
            "path": "/v1/datasets",
            "query_string": b"",
            "headers": [(b"content-type", b"application/json")],
        }

        async def receive():
            if sent:
                return {"type": "http.request", "body": sent.pop()}
            await self.gone.wait()
            return {"type": "http.disconnect"}

        async def send(message) -> None:
            self.body += message.get("body", b"")
            if message.get("body"):
                await self.takes.wait()

        self.task = asyncio.create_task(site.front(scope, receive, send))  # pyright: ignore[reportArgumentType]

    @property
    def rows(self) -> list[dict]:
        return [json.loads(line) for line in bytes(self.body).splitlines()]


def drawn_by(images: list[int], lanes: int = 2, **options) -> FakeEngine:
    return FakeEngine(Tiny().contract(), lanes=lanes, max_batch=8, on_pass=images.append, **options)


def test_a_client_that_reads_nothing_costs_a_pass_per_lane(tmp_path):
    images: list[int] = []
    with loaded(tmp_path, {"tiny": Tiny().file()}, on=drawn_by(images), max_batch=8, engine="fake") as models:

        async def ask() -> None:
            images.clear()
            reading = Reading(Site(models), 1000)
            await until(lambda: reading.body)
            await until(lambda: models.batcher and not models.batcher.accepted_images)
            await asyncio.sleep(0.05)  # nothing more is to come, which no condition can say
            # One pass is in the client's hands, and as many wait for it as there are lanes.
            assert sum(images) <= 8 * 3
            reading.takes.set()
            await reading.task
            assert len(reading.rows) == 1001

        asyncio.run(ask())


def test_a_client_that_goes_ends_its_stream(tmp_path):
    images: list[int] = []
    with loaded(tmp_path, {"tiny": Tiny().file()}, on=drawn_by(images), max_batch=8, engine="fake") as models:

        async def ask() -> None:
            reading = Reading(Site(models), 100_000)
            await until(lambda: reading.body)
            reading.gone.set()
            await asyncio.wait_for(reading.task, 20)
            assert models.batcher is not None
            await until(lambda: models.batcher and not models.batcher.accepted_images)
            assert sum(images) < 10_000

        asyncio.run(ask())


def test_a_drain_ends_a_stream_with_the_seed_to_go_on_with(tmp_path):
    with loaded(tmp_path, {"tiny": Tiny().file()}, on=drawn_by([]), max_batch=8, engine="fake") as models:

        async def ask() -> None:
            site = Site(models)
            reading = Reading(site, 100_000)
            reading.takes.set()
            await until(lambda: len(reading.body) > 10_000)
            site.front.stop_being_ready()
            await asyncio.wait_for(reading.task, 20)
            *rows, end = reading.rows
            assert [row["seed"] for row in rows] == list(range(len(rows)))
            assert (end["end"], end["next_seed"]) == ("draining", len(rows))

        asyncio.run(ask())


def test_requests_come_before_a_stream(tmp_path):
    """While requests come, a stream has one short pass at a time, and none while one waits."""
    images: list[int] = []
    engine = drawn_by(images, lanes=1, pass_seconds=0.002)
    with loaded(tmp_path, {"tiny": Tiny().file()}, on=engine, max_batch=8, engine="fake") as models:

        async def ask() -> None:
            site = Site(models)
            async with site.client() as client:
                await client.post("/v1/samples", json={"n": 1})
                images.clear()
                reading = Reading(site, 100_000)
                reading.takes.set()
                for seed in range(20):
                    assert (await client.post("/v1/samples", json={"seed": seed})).status_code == 200
                # Passes of the stream are as small as a request's while those come.
                assert max(images) < 8
                images.clear()
                await until(lambda: 8 in images)  # they have stopped coming
                reading.gone.set()
                await asyncio.wait_for(reading.task, 20)

        asyncio.run(ask())


def test_a_model_that_is_taken_away_ends_the_stream(tmp_path):
    with loaded(tmp_path, {"tiny": Tiny().file()}, on=drawn_by([]), max_batch=8, engine="fake") as models:

        async def ask() -> None:
            reading = Reading(Site(models), 100_000)
            reading.takes.set()
            await until(lambda: len(reading.body) > 10_000)
            models["tiny"].end()
            await asyncio.wait_for(reading.task, 20)
            assert reading.rows[-1]["end"] == NotReady.code

        asyncio.run(ask())


def test_pictures_say_what_made_them_where_that_is_on(tmp_path):
    with loaded(tmp_path, {"tiny": Tiny().file()}, engine="onnxruntime", provenance="on") as models:
        site, version = Site(models), models["tiny"].version
        whole = site.samples(seed=4, n=3, format="webp").content
        rows = stream(site, n=1, seed=7).text.splitlines()
        plain = np.asarray(Image.open(io.BytesIO(whole)))
        assert plain.shape[:2] == (16, 16)
        assert f'ganserve:version="{version}"'.encode() in whole
        assert b'ganserve:seeds="4-6" ganserve:labels="4,5,6"' in whole
        assert b'ganserve:seeds="7" ganserve:labels="7"' in base64.b64decode(json.loads(rows[0])["image"])
        alone = site.get(f"/v1/models/tiny@{version}/images/7.png")
        assert alone.headers["etag"].endswith('-xmp"')
