from collections import Counter
from typing import Any, cast

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from service.batching.request_queue import Request, RequestQueue, Timing


def request(n: int, deadline: float = 100.0, accepted_at: float = 0.0) -> Request:
    nobody = cast(Any, None)
    return Request(
        np.zeros((n, 2), np.float32), None, deadline, accepted_at, nobody, nobody, nobody, Timing()
    )


def spans(pieces):
    return [(piece.start, piece.stop) for piece in pieces]


def test_small_requests_share_a_batch_in_the_order_of_arrival():
    queue = RequestQueue(8, 8)
    first, second = request(3), request(4)
    queue.append(first)
    queue.append(second)
    pieces, expired = queue.next_batch(now=0)
    assert [piece.request for piece in pieces] == [first, second]
    assert expired == []
    assert len(queue) == queue.waiting_images == 0


def test_a_request_that_does_not_fit_is_cut():
    queue = RequestQueue(8, 8)
    large = request(20)
    queue.append(large)
    assert [spans(queue.next_batch(0)[0]) for _ in range(4)] == [[(0, 8)], [(8, 16)], [(16, 20)], []]


def test_a_request_for_one_image_waits_for_one_piece_of_a_large_one():
    queue = RequestQueue(8, 8)
    queue.append(request(1000))
    queue.next_batch(0)
    small = request(1)
    queue.append(small)
    waited = 0
    while all(piece.request is not small for piece in queue.next_batch(0)[0]):
        waited += 1
    assert waited <= 1


def test_two_large_requests_take_turns():
    queue = RequestQueue(4, 4)
    first, second = request(8), request(8)
    queue.append(first)
    queue.append(second)
    order = [queue.next_batch(0)[0][0].request for _ in range(4)]
    assert order == [first, second, first, second]


def test_small_requests_and_large_ones_have_passes_of_their_own_in_turn():
    queue = RequestQueue(max_batch=32, max_piece=8, shared_piece=2)
    large = [request(20) for _ in range(2)]
    small = [request(1) for _ in range(40)]
    for one in (*large, *small):
        queue.append(one)
    passes = [queue.next_batch(0)[0] for _ in range(5)]
    assert [{piece.request.n for piece in pieces} for pieces in passes] == [{1}, {20}, {1}, {20}, {20}]
    assert [piece.request for pieces in (passes[0], passes[2]) for piece in pieces] == small
    assert [spans(passes[k]) for k in (1, 3)] == [[(0, 2)] * 2, [(2, 4)] * 2]
    assert queue.waiting_images == 40 - 12
    assert len(queue) == 2


def test_pieces_are_long_again_once_nobody_asks_for_less():
    queue = RequestQueue(max_batch=32, max_piece=8, shared_piece=2)
    queue.append(request(100, accepted_at=5))
    assert spans(queue.next_batch(5)[0]) == [(0, 8)]
    queue.append(request(8, accepted_at=6))
    assert [spans(queue.next_batch(6)[0]) for _ in range(2)] == [[(0, 8)], [(8, 10)]]
    assert spans(queue.next_batch(6.9)[0]) == [(10, 12)]
    assert spans(queue.next_batch(7.1)[0]) == [(12, 20)]


def test_a_request_of_either_kind_can_be_discarded():
    queue = RequestQueue(max_batch=32, max_piece=8, shared_piece=2)
    small, large = request(8), request(9)
    queue.append(small)
    queue.append(large)
    queue.next_batch(0)
    queue.next_batch(0)
    assert (queue.discard(small), queue.discard(large), queue.discard(large)) == (False, True, False)
    assert (len(queue), queue.waiting_images) == (0, 0)


def test_one_large_request_makes_small_passes_and_many_make_large_ones():
    queue = RequestQueue(max_batch=32, max_piece=8)
    queue.append(request(20))
    assert [spans(queue.next_batch(0)[0]) for _ in range(3)] == [[(0, 8)], [(8, 16)], [(16, 20)]]
    for _ in range(6):
        queue.append(request(16))
    sizes = [[stop - start for start, stop in spans(queue.next_batch(0)[0])] for _ in range(4)]
    assert sizes == [[8] * 4, [8] * 4, [8] * 4, []]


def test_an_expired_request_is_handed_back_and_never_computed():
    queue = RequestQueue(8, 8)
    late, good = request(5, deadline=1), request(2, deadline=9)
    queue.append(late)
    queue.append(good)
    pieces, expired = queue.next_batch(now=1)
    assert expired == [late]
    assert [piece.request for piece in pieces] == [good]
    assert queue.waiting_images == 0


def test_a_request_that_expires_half_way_is_not_continued():
    queue = RequestQueue(4, 4)
    half = request(8, deadline=1)
    queue.append(half)
    assert spans(queue.next_batch(now=0)[0]) == [(0, 4)]
    assert queue.next_batch(now=2) == ([], [half])


def test_who_would_have_no_time_left_after_the_pass_is_late_already():
    queue = RequestQueue(4, 4)
    late, alive = request(2, deadline=1.5), request(2, deadline=2.5)
    for one in (late, alive):
        queue.append(one)
    pieces, expired = queue.next_batch(now=1, pass_seconds=1)
    assert expired == [late]
    assert [piece.request for piece in pieces] == [alive]
    alone = request(2, deadline=1.5)
    queue.append(alone)
    pieces, _ = queue.next_batch(now=0.9, pass_seconds=1)  # half of the images, half of the time
    assert [piece.request for piece in pieces] == [alone]


def test_discarding_takes_out_what_has_not_begun_once():
    queue = RequestQueue(4, 4)
    left = request(10)
    queue.append(left)
    queue.next_batch(0)
    assert queue.waiting_images == 6
    assert queue.discard(left)
    assert not queue.discard(left)
    assert (len(queue), queue.waiting_images) == (0, 0)


steps = st.lists(
    st.one_of(
        st.tuples(st.just("append"), st.integers(1, 30), st.integers(0, 20)),
        st.tuples(st.just("discard"), st.integers(0, 30), st.just(0)),
        st.tuples(st.just("batch"), st.just(0), st.just(0)),
    ),
    max_size=60,
)


@given(steps, st.integers(1, 9), st.integers(1, 9), st.none() | st.integers(1, 9))
def test_every_image_travels_once_in_order_whatever_happens(steps, max_batch, max_piece, shared_piece):
    queue = RequestQueue(max_batch, max_piece, shared_piece and min(shared_piece, max_piece))
    requests: list[Request] = []
    travelled: Counter[int] = Counter()
    gone: set[int] = set()

    def batch(now):
        waiting = queue.waiting_images
        pieces, expired = queue.next_batch(now)
        gone.update(id(late) for late in expired)
        assert all(late.deadline <= now for late in expired)
        size = sum(piece.stop - piece.start for piece in pieces)
        assert size <= max(max_batch, max_piece)
        if shared_piece is None:
            assert size <= max_batch
        whole = all(one.n - travelled[id(one)] <= max_piece for one in requests)
        shared = shared_piece is not None
        assert expired or size == min(max_batch, waiting) or not whole or shared, (
            "an engine is idle while work waits"
        )
        assert pieces or expired or not waiting
        assert len({id(piece.request) for piece in pieces}) == len(pieces), "one piece a request"
        for piece in pieces:
            assert piece.stop - piece.start <= max_piece
            assert id(piece.request) not in gone
            assert piece.start == travelled[id(piece.request)] < piece.stop
            travelled[id(piece.request)] = piece.stop

    for now, (step, number, patience) in enumerate(steps):
        if step == "append":
            requests.append(request(number, deadline=now + patience))
            queue.append(requests[-1])
        elif step == "discard" and number < len(requests) and queue.discard(requests[number]):
            gone.add(id(requests[number]))
        elif step == "batch":
            batch(now)
    while queue.waiting_images:
        batch(now=-1)
    assert len(queue) == 0
    assert all(id(one) in gone or travelled[id(one)] == one.n for one in requests)
