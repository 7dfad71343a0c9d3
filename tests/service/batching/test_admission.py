from typing import Any, cast

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client import REGISTRY

from service.batching.admission import Admission
from service.batching.forward_pass import Line
from service.batching.request_queue import Request, RequestQueue, Timing
from service.errors import QueueFull
from service.generator.engines.fake import FakeEngine
from tests.generators import Tiny

CONTRACT = Tiny(golden_samples=0).contract()
FOREVER = 1e9


def line(
    name: str, pass_seconds: float = 0.0001, max_batch: int = 8, max_piece: int = 8, lanes: int = 1
) -> Line:
    return Line(name, FakeEngine(CONTRACT, lanes=lanes), RequestQueue(max_batch, max_piece), pass_seconds)


def admission(
    *lines: Line, lanes: int = 1, most: int = 1000, request: int = 100, wait: float = FOREVER
) -> Admission:
    one = Admission(lanes, most, request, wait)
    for each in lines:
        one.add(each)
    return one


def accept(one: Admission, into: Line, n: int) -> None:
    """As the batcher does: on the books, and in the queue."""
    one.check(into, n, FOREVER)
    one.take(into, n)
    nobody = cast(Any, None)
    into.queue.append(
        Request(np.zeros((n, 2), np.float32), None, FOREVER, 0.0, nobody, nobody, nobody, Timing())
    )


def refused(reason: str) -> float:
    return REGISTRY.get_sample_value("ganserve_refused_total", {"reason": reason}) or 0


def test_the_only_model_may_fill_the_whole_queue():
    one = line("a")
    books = admission(one)
    accept(books, one, 1000)
    before = refused("queue_full")
    with pytest.raises(QueueFull, match="limit of 1000"):
        books.check(one, 1, FOREVER)
    assert "no more can" in str(books.full(0.0))
    assert refused("queue_full") == before + 2
    books.give_back(one, 1)
    books.check(one, 1, FOREVER)
    assert books.full(1.0) is None


def test_a_flood_of_requests_for_one_model_leaves_room_for_the_others():
    flooded, quiet = line("a"), line("b")
    books = admission(flooded, quiet)
    while True:
        try:
            accept(books, flooded, 1)
        except QueueFull:
            break
    assert books.images_by_model["a"] == 1000 - 900 // 4
    books.check(quiet, 225, FOREVER)
    assert books.full(0.0) is None
    accept(books, quiet, 225)
    assert isinstance(books.full(0.0), QueueFull)


def test_that_it_is_full_is_found_once_a_moment_and_counted_each_time():
    one = line("a")
    books = admission(one)
    accept(books, one, 1000)
    before = refused("queue_full")
    first = books.full(0.0)
    assert first is not None
    books.give_back(one, 1)
    assert books.full(0.001) is first
    assert refused("queue_full") == before + 2
    assert books.full(0.003) is None
    books.take(one, 1)
    assert books.full(0.003) not in (first, None), "that there is room is never remembered"


def test_it_is_refusing_from_one_that_is_refused_to_one_that_is_accepted():
    one = line("a")
    books = admission(one)
    books.check(one, 1, FOREVER)
    assert not books.is_refusing
    with pytest.raises(QueueFull):
        books.check(one, 1001, FOREVER)
    assert books.is_refusing
    books.check(one, 1, FOREVER)
    assert not books.is_refusing


def test_versions_of_one_model_have_one_part_of_the_queue_and_one_that_goes_leaves_it_to_the_others():
    old, new, quiet = line("a"), line("a"), line("b")
    books = admission(old, new, quiet)
    accept(books, old, 500)
    accept(books, new, 275)
    with pytest.raises(QueueFull, match="limit of 775"):
        books.check(new, 1, FOREVER)
    books.check(quiet, 225, FOREVER)
    books.give_back(new, 275)
    books.remove(new)
    with pytest.raises(QueueFull, match="limit of 775"):
        books.check(old, 276, FOREVER)
    books.remove(quiet)
    books.check(old, 500, FOREVER)


@settings(deadline=None)
@given(st.integers(1, 12), st.integers(1, 500), st.data())
def test_no_more_is_accepted_than_the_queue_holds_and_the_largest_request_always_fits_an_empty_one(
    models, request, data
):
    lines = [line(str(i)) for i in range(models)]
    books = admission(*lines, most=500, request=request)
    books.check(data.draw(st.sampled_from(lines)), request, FOREVER)
    for _ in range(30):
        into = data.draw(st.sampled_from(lines))
        try:
            accept(books, into, data.draw(st.integers(1, request)))
        except QueueFull:
            continue
    assert books.accepted_images == sum(books.images_by_model.values()) <= 500


def test_a_request_is_refused_when_it_would_wait_too_long_for_its_first_pass():
    one = line("a", pass_seconds=0.1, lanes=2)
    books = admission(one, lanes=2, wait=1.0)
    for _ in range(160):  # twenty passes of eight, on two lanes: one second
        accept(books, one, 1)
    before = refused("wait")
    accept(books, one, 1)
    with pytest.raises(QueueFull, match=r"some 1\.[01] s") as caught:
        books.check(one, 1, FOREVER)
    assert caught.value.retry_after_seconds == 2
    full = refused("queue_full")
    assert books.full(0.0) is not None
    assert refused("wait") == before + 2
    assert refused("queue_full") == full, "there is room, but not in time"


@pytest.mark.parametrize(
    ("lanes", "busy", "seconds"), [(1, [], 2), (1, [3], 2), (3, [], 2 / 3), (3, [1], 1), (3, [1, 3], 2)]
)
def test_a_model_waits_for_the_lanes_that_it_has_and_others_leave(lanes, busy, seconds):
    asked = line("a", pass_seconds=0.1, lanes=lanes)
    others = [line(f"other {i}", lanes=count) for i, count in enumerate(busy)]
    books = admission(asked, *others, lanes=3)
    for other in others:
        accept(books, other, 1)
    for _ in range(160):  # twenty passes of eight: two seconds of one lane
        accept(books, asked, 1)
    books.check(asked, 1, seconds_left=(seconds + 0.01) / 0.8 + 0.1)
    with pytest.raises(QueueFull, match="takes some"):
        books.check(asked, 1, seconds_left=(seconds - 0.01) / 0.8 + 0.1)


def test_large_requests_before_it_make_a_small_one_wait_for_one_piece_each():
    one = line("a", pass_seconds=0.1)
    books = admission(one, wait=1.0)
    for _ in range(5):
        accept(books, one, 100)  # 500 images: six seconds until all are done
    books.check(one, 1, FOREVER)


def test_a_request_that_would_miss_its_deadline_is_refused_before_it_is_computed_in_vain():
    one = line("a", pass_seconds=0.1)
    books = admission(one)
    for _ in range(80):
        accept(books, one, 1)
    books.check(one, 1, seconds_left=1.4)  # one second, its own pass, and some
    with pytest.raises(QueueFull, match=r"some 1\.0 s; it may take 0\.9"):
        books.check(one, 1, seconds_left=1.2)


def test_who_need_not_wait_is_accepted_however_little_time_it_has():
    one = line("a", pass_seconds=0.1)
    admission(one).check(one, 1, seconds_left=0.001)


def test_the_wait_counts_the_turns_of_other_models_that_are_busy():
    slow, other = line("a", pass_seconds=0.1), line("b", pass_seconds=5)
    books = admission(slow, other, wait=1.0)
    for _ in range(48):
        accept(books, slow, 1)
    books.check(slow, 1, FOREVER)
    accept(books, other, 1)
    with pytest.raises(QueueFull, match=r"1\.2 s"):
        books.check(slow, 1, FOREVER)


def test_full_passes_teach_what_a_pass_takes_and_smaller_ones_do_not():
    one = line("a", pass_seconds=0.1)
    one.learn(3, 60)
    assert one.full_pass_seconds == 0.1
    for _ in range(200):
        one.learn(8, 0.3)
    assert one.full_pass_seconds == pytest.approx(0.3, rel=0.01)


def test_a_large_image_is_counted_as_several():
    small, large = (
        line("small"),
        Line("large", FakeEngine(CONTRACT), RequestQueue(8, 8), 0.0001, counts_as=32),
    )
    books = admission(small, large, most=100, request=64)
    accept(books, large, 2)
    assert books.accepted_images == 64
    with pytest.raises(QueueFull, match=r"64 images are waiting; 32 more would .* counts as 32"):
        books.check(large, 1, FOREVER)
    books.check(small, 30, FOREVER)  # the others' part is counted in the same way
    books.give_back(large, 1)
    books.check(large, 1, FOREVER)
    accept(books, small, 50)
    with pytest.raises(QueueFull):
        books.check(large, 1, FOREVER)
