"""Pictures that mean harm, at a real server: each is refused or read, in time and memory that are bounded, and nothing is left of it."""

import base64
import io
import itertools
import re
import time
from concurrent.futures import ThreadPoolExecutor

import httpx
import numpy as np
import pytest
from PIL import Image

from service.drawing.uploads import MOST_PIXELS
from service.generator.images import png
from tests.service.drawing.test_uploads import STRANGERS, png_of_zeros, saved
from tests.waiting import wait_until

MOST_SECONDS = 30
MOST_GROWTH_BYTES = 600 * 2**20
GOOD = png(np.full((1, 8, 8), 200, np.uint8))
LARGE = png_of_zeros(4096, 4096, 4097 * 4096)
"""16 kB that are 16 megapixels."""


@pytest.fixture(scope="module", autouse=True)
def small_again(server):
    """Its processes are not much larger at the end."""
    before = memory(server)
    yield
    assert memory(server) - before < MOST_GROWTH_BYTES


@pytest.fixture(autouse=True)
def unharmed(server):
    """After every attack: the same processes, the same picture, and no file of it on the disk."""
    picture, processes = server.samples(seed=7).content, server.workers()
    yield
    assert (server.samples(seed=7).content, server.workers()) == (picture, processes)
    for process in processes:
        assert not [file.path for file in process.open_files() if file.path.startswith("/tmp/tmp")]


def memory(server) -> int:
    return sum(process.memory_info().rss for process in server.workers())


def ways(client: httpx.Client, *files: bytes) -> list[httpx.Response]:
    """The replies to the same pictures by every route and form that takes one."""
    found, variations = ("/v1/inversions", "/v1/classifications"), "/v1/images/variations"
    images = [base64.b64encode(file).decode() for file in files]
    replies = [client.post(path, json={"images": images}) for path in found]
    if len(files) == 1:
        replies += [
            client.post(path, content=files[0], headers={"content-type": f"image/{kind}"})
            for path in found
            for kind in ("png", "jpeg", "webp")
        ]
        replies.append(
            client.post(variations, files={"image": ("../../etc/passwd.png", files[0], "image/png")})
        )
    return replies


def refused(reply: httpx.Response) -> str:
    assert reply.status_code in (400, 413, 422), (reply.status_code, reply.text[:300])
    assert len(reply.content) < 2000
    assert "Traceback" not in reply.text
    assert not re.search("0x[0-9a-f]{6}", reply.text), "no address of our memory"
    return reply.text


@pytest.mark.parametrize("kind", STRANGERS)
def test_what_is_no_picture_is_refused_whatever_it_is_called(server, kind):
    with server.client() as client:
        for reply in ways(client, STRANGERS[kind]):
            assert "no PNG, JPEG or WebP" in refused(reply)


@pytest.mark.parametrize(
    "bomb",
    [
        png_of_zeros(2**16, 2**16),
        png_of_zeros(2**31 - 1, 2**31 - 1, 100),
        png_of_zeros(5000, 5000),
        LARGE[:-30],
    ],
)
def test_a_bomb_is_not_decoded(server, bomb):
    with server.client() as client:
        begun = time.monotonic()
        for reply in ways(client, bomb):
            refused(reply)
        assert time.monotonic() - begun < MOST_SECONDS


def test_large_pictures_take_bounded_memory_and_time_and_hold_up_nobody(server):
    """Twelve at once, each 16 megapixels, while somebody asks for samples."""
    assert MOST_PIXELS == 4096 * 4096

    def send(_: int) -> int:
        with server.client() as client:
            reply = client.post("/v1/inversions", content=LARGE, headers={"content-type": "image/png"})
            return reply.status_code

    with ThreadPoolExecutor(12) as pool, server.client() as client:
        sent = [pool.submit(send, i) for i in range(12)]
        waits = []
        while not all(one.done() for one in sent):
            begun = time.monotonic()
            assert client.post("/v1/samples", json={"seed": 1}).status_code == 200
            waits.append(time.monotonic() - begun)
        assert {one.result() for one in sent} <= {200, 429, 504}
        assert 200 in [one.result() for one in sent]
    assert np.median(waits) < 1


def test_more_pixels_or_pictures_than_a_request_may_have_are_refused(server):
    with server.client() as client:
        assert "together" in refused(ways(client, *[LARGE] * 5)[0])
        refused(ways(client, *[GOOD] * 257)[0])
        refused(ways(client, *[b""] * 100_000)[0])


def test_files_that_were_cut_off_or_scrambled_are_refused_or_read(server):
    random = np.random.default_rng(0)
    with server.client() as client:
        for form in ("PNG", "JPEG", "WEBP"):
            whole = saved(random.integers(0, 256, (32, 32, 3), np.uint8), form)
            for length in itertools.chain(range(0, 40, 7), range(40, len(whole), len(whole) // 5)):
                for reply in ways(client, whole[:length])[:2]:
                    refused(reply)
            for _ in range(10):
                scrambled = bytearray(whole)
                scrambled[random.integers(len(whole))] ^= 0xFF
                (reply, *_) = ways(client, bytes(scrambled))[:1]
                assert reply.status_code in (200, 422)


def test_a_form_without_end_costs_nothing(server):
    kind = {"content-type": "multipart/form-data; boundary=x"}
    endless = b"--x" + b"-" * 4_000_000 + b"\r\n"
    heads = b"--x\r\n" + b"a: b\r\n" * 600_000 + b"\r\n\r\n--x--\r\n"
    parts = b"--x\r\ncontent-disposition: form-data; name=n\r\n\r\n1\r\n" * 80_000 + b"--x--\r\n"
    almost = b"--x\r\ncontent-disposition: form-data; name=image; filename=a\r\n\r\n" + b"\r\n--" * 900_000
    with server.client() as client:
        for body in (endless, heads, parts, almost, b"", b"--x--", b"\r\n" * 2_000_000):
            begun = time.monotonic()
            refused(client.post("/v1/images/variations", content=body, headers=kind))
            assert time.monotonic() - begun < MOST_SECONDS


def test_no_metadata_of_a_picture_comes_back_or_stays(server):
    secret = b"52.5200 N 13.4050 E"
    exif = Image.Exif()
    exif[0x010E] = secret.decode()
    file = saved(np.full((8, 8, 3), 90, np.uint8), "JPEG", exif=exif, comment=secret)
    assert secret in file
    with server.client() as client:
        for reply in ways(client, file):
            assert reply.status_code == 200
            document = reply.json()
            for image in document.get("images", document.get("data")):
                for text in filter(None, (image.get("reconstruction"), image.get("b64_json"))):
                    content = base64.b64decode(text)
                    assert secret not in content
                    assert not Image.open(io.BytesIO(content)).getexif()
    assert secret.decode() not in server.log


def test_who_leaves_while_a_picture_is_decoded_leaves_nothing(server):
    kind = {"content-type": "image/png"}
    with server.client() as client:
        for _ in range(10):
            with pytest.raises(httpx.TimeoutException):
                client.post("/v1/inversions", content=LARGE, headers=kind, timeout=0.01)
        # What nobody waits for is not queued for long.
        wait_until(lambda: client.post("/v1/inversions", content=GOOD, headers=kind).status_code == 200)
