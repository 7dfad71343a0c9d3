"""The soak for a few seconds: what it expects of each route is what the routes do."""

import asyncio

from benchmarks.clients.exchanges import EXCHANGES
from benchmarks.soak import Soak, Tick, report


def test_every_exchange_is_answered_as_the_soak_expects_and_nothing_grows(server):
    soak = Soak(server.url, seconds=4, pace=4, pids=[one.pid for one in server.tree()])
    asyncio.run(soak.run())
    text, good = report(soak)
    assert soak.errors.total() == 0, text
    assert set(soak.latencies) == {exchange.name for exchange in EXCHANGES}
    assert len(soak.ticks) >= 1
    assert good


def test_what_goes_wrong_or_grows_is_told():
    soak = Soak("http://127.0.0.1:9", seconds=60, pace=1, pids=[])
    assert report(soak)[1]
    soak.ticks = [Tick(at, 200 + at, 60, 10) for at in range(0, 60, 5)]
    text, good = report(soak)
    assert not good
    assert "+3600.0 MB/h" in text
    soak.ticks = [Tick(at, 200, 60, 10 + at) for at in range(0, 60, 5)]
    assert not report(soak)[1]
    soak.ticks = []
    soak.errors["one image: 500"] += 1
    text, good = report(soak)
    assert not good
    assert "one image: 500: 1" in text
