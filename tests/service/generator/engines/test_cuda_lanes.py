"""How many passes a GPU is given at once, on the pretended one; models that have one lane and two, served side by side."""

import asyncio
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from service.generator import golden
from service.generator.engines import cuda
from service.generator.engines.choose import again
from service.settings import Settings
from tests.service.generator.engines.bound import GENERATORS, chosen, inputs
from tests.service.loaded import loaded


@pytest.mark.parametrize(
    ("rates", "count", "told"),
    [
        ([1000, 1300, 1010, 1250], 2, "1 lane 1,010, 2 lanes 1,300"),
        ([1000, 1190, 990, 1100], 1, "1 lane 1,000, 2 lanes 1,190"),
        ([1000, 1150, 990, 1201], 2, "1 lane 1,000, 2 lanes 1,201"),
        ([1000, 1300, 1100, 1300], 1, "1 lane 1,100, 2 lanes 1,300"),
        ([1000, MemoryError()], 1, "1 lane 1,000, 2 lanes failed (MemoryError)"),
        ([1000, 2000, 1000, cuda.OtherPictures()], 1, "1 lane 1,000, 2 lanes failed (OtherPictures)"),
        ([30], 1, "1 lane 30, whose passes are long as it is"),
    ],
    ids=str,
)
def test_two_lanes_are_taken_where_they_are_clearly_faster_than_one(rates, count, told):
    asked = []

    def rate(lanes):
        asked.append(lanes)
        one = rates[len(asked) - 1]
        if isinstance(one, Exception):
            raise one
        return one

    assert cuda.lanes(rate, 32) == (count, f"images/s: {told}")
    assert asked == [1, 2, 1, 2][: len(rates)]


def test_lanes_are_measured_at_once_and_each_on_a_thread_of_its_own():
    tiny, together = GENERATORS["rgb"], threading.Barrier(2, timeout=20)
    threads: list[set[int]] = [set(), set()]

    def lane(number):
        calls = 2 - number  # one each to be warm, and one to be timed

        def forward(z, label):
            nonlocal calls
            calls -= 1
            if calls < 0:
                together.wait()
                threads[number].add(threading.get_ident())
            return tiny.forward(z, label)

        return forward

    assert cuda.images_at_once([lane(0), lane(1)], inputs("rgb", 4), "fp32") > 0
    assert [len(one) for one in threads] == [1, 1]
    assert not threads[0] & threads[1]


def test_lanes_that_draw_other_pictures_at_once_are_found_out():
    tiny, here = GENERATORS["rgb"], threading.get_ident()

    def forward(z, label):
        return tiny.forward(z, label) if threading.get_ident() == here else 255 - tiny.forward(z, label)

    with pytest.raises(cuda.OtherPictures):
        cuda.images_at_once([forward], inputs("rgb", 4), "fp32")


@pytest.mark.usefixtures("pretended")
@pytest.mark.parametrize(("faster", "count"), [(1.0, 1), (1.5, 2)])
def test_lanes_have_buffers_of_their_own_in_one_session(monkeypatch, faster, count):
    monkeypatch.setattr(cuda, "images_at_once", lambda passes, *_: 1e4 * faster ** (len(passes) - 1))
    engine = chosen(max_batch=4)
    assert len(engine.lanes) == count
    assert len({*engine.lanes}) == count
    assert engine.wide is engine.lanes[0]
    assert f"; {count} at once, as by images/s: 1 lane 10,000, 2 lanes {1e4 * faster:,.0f} (" in engine.reason
    tiny = GENERATORS["rgb"]
    assert len(again(engine, tiny.file(), tiny.contract(), Settings()).lanes) == count
    drawn = inputs("rgb", 3)
    with ThreadPoolExecutor(count) as pool:
        for images in pool.map(lambda lane: [lane(*drawn) for _ in range(20)], engine.lanes):
            np.testing.assert_array_equal(images, [tiny.forward(*drawn)] * 20)


@pytest.mark.usefixtures("pretended")
@pytest.mark.parametrize(
    ("pinned", "lanes"), [("", [2, 1]), ("rgb=openvino/fp32", [2, 3]), ("grey=openvino/fp32", [3, 1])]
)
def test_models_of_one_lane_and_of_two_are_served_side_by_side_and_beside_one_on_the_cpu(
    tmp_path, monkeypatch, pinned, lanes
):
    def measured(passes, given, _precision):
        return 1e4 * len(passes) if given[0].shape[1] == GENERATORS["grey"].z_dim else 1e4

    async def play(models):
        async def draw(name, count):
            z, label = inputs(name, count)
            line, deadline = models[name].line, time.monotonic() + 60
            return await models.batcher.submit(line, z, label.tolist(), deadline, np.copy)

        asked = [(name, count) for count in range(1, 30) for name in models]
        for (name, count), images in zip(
            asked, await asyncio.gather(*(draw(*one) for one in asked)), strict=True
        ):
            wanted = GENERATORS[name].forward(*inputs(name, count))
            assert golden.difference(images, wanted).max <= 1

    monkeypatch.setattr(cuda, "images_at_once", measured)
    files = {name: GENERATORS[name].file() for name in ("grey", "rgb")}
    with loaded(tmp_path, files, engines=pinned, threads=3, max_batch=8) as models:
        assert [len(model.engine.lanes) for model in models.values()] == lanes
        asyncio.run(play(models))


@pytest.mark.usefixtures("pretended")
def test_what_a_lane_takes_of_the_cards_memory_is_counted():
    """Per row of every bucket, of 1, 2 and 4: z in float32, a label in int64, and an image."""
    engine = chosen(max_batch=4)
    assert engine.wide.device_bytes == (1 + 2 + 4) * (4 * 64 + 8 + 3 * 16 * 16)
    assert "(buffers of 0.0 MB a lane)" in engine.reason
