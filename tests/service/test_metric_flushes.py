"""The thread that writes metrics and the visit that reads them both take what is unwritten."""

import sys
from concurrent.futures import ThreadPoolExecutor

from service import metric_files


class Number:
    """As `FileValue`, with no file behind it."""

    def get(self) -> float:
        return 1.0

    def write(self, value: float) -> None:
        pass


def test_two_that_flush_at_once_do_not_get_into_each_others_way(monkeypatch):
    monkeypatch.setattr(metric_files, "_unwritten", set())
    monkeypatch.setattr(metric_files, "_files", {})
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)

    def count_and_flush(_: int) -> None:
        metric_files._unwritten |= {Number() for _ in range(5)}  # pyright: ignore[reportAttributeAccessIssue]
        metric_files.flush()

    try:
        with ThreadPoolExecutor(4) as pool:
            assert len(list(pool.map(count_and_flush, range(20_000)))) == 20_000
    finally:
        sys.setswitchinterval(before)
