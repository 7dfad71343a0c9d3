import threading

import pytest

from ganserve.generating.in_order import in_order


def test_results_come_in_order_whichever_is_done_first():
    second_is_done = threading.Event()

    def work(item: int) -> int:
        if item == 0:
            assert second_is_done.wait(20)
        if item == 1:
            second_is_done.set()
        return item * item

    assert list(in_order(work, range(20), 3, 6)) == [(item, item * item) for item in range(20)]


def test_nobody_works_further_ahead_than_is_allowed():
    begun = []
    three = threading.Semaphore(0)

    def work(item: int) -> None:
        begun.append(item)
        three.release()

    results = in_order(work, range(100), 4, 3)
    next(results)  # one is taken, so a fourth may begin
    for _ in range(4):
        assert three.acquire(timeout=20)
    assert not three.acquire(timeout=0.05)
    assert sorted(begun) == [0, 1, 2, 3]
    results.close()


def test_a_failure_is_raised_in_its_place_and_no_thread_stays():
    def work(item: int) -> int:
        return 6 // (3 - item)

    results = in_order(work, range(10), 2, 4)
    assert [next(results)[1] for _ in range(3)] == [2, 3, 6]
    before = threading.active_count()
    with pytest.raises(ZeroDivisionError):
        next(results)
    assert threading.active_count() < before
