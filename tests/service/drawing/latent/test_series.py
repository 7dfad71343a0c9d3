import asyncio
import io
import json
import threading
import time
from typing import Any

import numpy as np
import pytest
from PIL import Image

from service.drawing.draw import Draw
from service.drawing.latent.series import Series, render
from service.errors import DeadlinePassed, InvalidField
from service.generator import images
from service.generator.latents import latents
from tests.generators import Tiny
from tests.service.loaded import loaded

TINY = Tiny(z_dim=4)


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    with loaded(
        tmp_path_factory.mktemp("models"), {"tiny": TINY.file()}, engine="onnxruntime", threads=1
    ) as models:
        yield models  # fmt: skip


def series(models, n: int) -> Series:
    seeds: list[int | None] = [i if i % 2 else None for i in range(n)]
    return Series(Draw(models["tiny"], None, [i % 10 for i in range(n)], latents(range(n), 4)), seeds)


def rendered(models, format: Any, n: int = 5, seconds: float = 30) -> bytes:
    return asyncio.run(render(series(models, n), format, time.monotonic() + seconds, 80))


def test_every_format_shows_the_same_images_in_order(models):
    pixels = np.load(io.BytesIO(rendered(models, "npy")), allow_pickle=False)[..., 0]
    levels = np.abs(pixels.astype(int) - TINY.forward(latents(range(5), 4), np.arange(5))[:, 0])
    assert levels.max() <= 1
    for format in ("png", "webp"):
        with Image.open(io.BytesIO(rendered(models, format))) as row:
            np.testing.assert_array_equal(np.asarray(row.convert("L")), np.concatenate(pixels, axis=1))
    with Image.open(io.BytesIO(rendered(models, "gif"))) as animation:
        assert animation.n_frames == 5  # pyright: ignore[reportAttributeAccessIssue]
        animation.seek(4)
        np.testing.assert_array_equal(np.asarray(animation.convert("L")), pixels[4])


def test_json_has_label_seed_and_z_of_each(models):
    document = json.loads(rendered(models, "json"))
    assert (document["model"], document["version"]) == ("tiny", models["tiny"].version)
    assert [one["seed"] for one in document["images"]] == [None, 1, None, 3, None]
    assert [one["label"] for one in document["images"]][:2] == ["T-shirt/top", "Trouser"]
    np.testing.assert_array_equal([one["z"] for one in document["images"]], latents(range(5), 4))


def test_where_the_time_went_is_noted(models):
    one = series(models, 5)
    asyncio.run(render(one, "gif", time.monotonic() + 30, 80))
    assert one.draw.timing.forward_seconds > 0
    assert one.draw.timing.encode_seconds > 0


def test_a_row_that_is_too_wide_for_webp_is_refused_before_anything_is_computed(models):
    widest = 16383 // 8
    with Image.open(io.BytesIO(rendered(models, "webp", widest))) as row:
        assert row.width == 8 * widest
    with pytest.raises(InvalidField, match="16384 pixels wide") as caught:
        rendered(models, "webp", widest + 1, seconds=-1)  # a deadline that the queue would refuse
    assert caught.value.field == "format"
    with Image.open(io.BytesIO(rendered(models, "png", widest + 1))) as row:
        assert row.width == 8 * (widest + 1)


def test_encoding_leaves_the_event_loop_free_and_ends_at_the_deadline(models, monkeypatch):
    begun, may_end = threading.Event(), threading.Event()

    def slow(pixels: Any, frame_milliseconds: int) -> bytes:
        begun.set()
        assert may_end.wait(20)
        return b"slow"

    monkeypatch.setattr(images, "gif", slow)

    async def play() -> None:
        answered = asyncio.ensure_future(render(series(models, 5), "gif", time.monotonic() + 20, 80))
        await asyncio.to_thread(begun.wait, 20)
        assert await render(series(models, 2), "png", time.monotonic() + 20, 80)
        with pytest.raises(DeadlinePassed):
            await render(series(models, 5), "gif", time.monotonic() + 0.1, 80)
        may_end.set()
        assert await answered == b"slow"

    asyncio.run(play())
