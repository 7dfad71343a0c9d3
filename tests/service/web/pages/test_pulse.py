import asyncio
import json

from service import metrics
from service.web.pages.pulse import Pulse
from tests.waiting import until


def test_all_pages_hear_one_source_and_nobody_looks_when_none_is_open(site, monkeypatch):
    looks = 0
    look = metrics.totals

    def counted() -> metrics.Totals:
        nonlocal looks
        found = look()
        looks += 1
        return found

    monkeypatch.setattr(metrics, "totals", counted)
    pulse = Pulse(beat_seconds=0.2)

    async def play() -> list[dict]:
        pages = [pulse.beats(lambda: False) for _ in range(3)]
        async with site.client() as client:
            waiting = asyncio.gather(*(anext(page) for page in pages))
            await until(lambda: looks)
            await client.post("/v1/samples", json={"model": "tiny", "n": 4})
            events = await waiting
        for page in pages:
            await page.aclose()
        await until(lambda: pulse._looking is None)
        return [json.loads(event.removeprefix(b"data: ")) for event in events]

    first, *others = asyncio.run(play())
    assert others == [first, first]
    assert looks <= 3
    assert set(first) == {"rate", "batch", "queue"}
    assert first["rate"] > 0


def test_totals_are_those_of_the_metrics(site):
    before = metrics.totals()
    site.samples(model="tiny", n=5)
    after = metrics.totals()
    assert (after.images - before.images, after.passes - before.passes) == (5, 1)
