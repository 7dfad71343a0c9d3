"""The page before its second look and today, as a film strip and a table of what its requests cost:

python -m tests.system.pages.before_and_after docs/page-before-and-after.png
"""

import io
import statistics
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw, ImageFont
from playwright.sync_api import Browser, Page

from tests.system.pages.chromium import chromium
from tests.system.pages.quickness import times_to_picture
from tests.system.serving import ROOT, Server, serving

BEFORE = "1d31335^"
"""The commit before the page opened on the default model."""
VIEWS = (("/", 1280), ("/#tab=compare", 1280), ("/docs", 1280), ("/docs", 390))
HEIGHT, SHOWN = 900, 400
GALLERY, OPERATIONS = "#gallery img", ".operation, .opblock"
IDLE_MS = 10_000
GAP = 12


class Traffic:
    """What a page asks for, and the bytes that come, heads and compression as they travel."""

    def __init__(self, page: Page) -> None:
        self.requests = self.bytes = 0
        self._streamed: dict[str, int] = {}
        session = page.context.new_cdp_session(page)
        session.send("Network.enable")
        session.on("Network.requestWillBeSent", self._asked)
        session.on("Network.dataReceived", self._came)
        session.on("Network.loadingFinished", self._finished)

    def _asked(self, event: dict[str, Any]) -> None:
        self.requests += event["request"]["url"].startswith("http")

    def _came(self, event: dict[str, Any]) -> None:
        name, size = event["requestId"], event["encodedDataLength"]
        self._streamed[name] = self._streamed.get(name, 0) + size
        self.bytes += size

    def _finished(self, event: dict[str, Any]) -> None:
        self.bytes += max(0, event["encodedDataLength"] - self._streamed.pop(event["requestId"], 0))


def opened(
    browser: Browser, server: Server, path: str, until: str, width: int = 1280
) -> tuple[Page, Traffic]:
    """By somebody who was never there."""
    context = browser.new_context(
        viewport={"width": width, "height": HEIGHT}, color_scheme="dark", reduced_motion="reduce"
    )
    page = context.new_page()
    traffic = Traffic(page)
    page.goto(server.url + path)
    page.locator(until).first.wait_for()
    return page, traffic


def frames(browser: Browser, server: Server) -> list[Image.Image]:
    shots = []
    for path, width in VIEWS:
        page, _ = opened(browser, server, path, OPERATIONS if path == "/docs" else GALLERY, width)
        page.wait_for_timeout(1500)  # for what is still drawn, on a page that never rests
        with Image.open(io.BytesIO(page.screenshot())) as shot:
            shots.append(
                shot.convert("RGB").resize((round(width * SHOWN / HEIGHT), SHOWN), Image.Resampling.LANCZOS)
            )
        page.context.close()
    return shots


def costs(browser: Browser, server: Server) -> dict[str, str]:
    found = {}
    for path, until, what in (
        ("/", GALLERY, "`/` until its first pictures"),
        ("/docs", OPERATIONS, "`/docs` until its first operation"),
    ):
        runs = []
        for _ in range(5):
            page, traffic = opened(browser, server, path, until)
            ms = page.evaluate("performance.now()")
            runs.append((ms, traffic.requests, traffic.bytes))
            if len(runs) == 5 and path == "/":
                page.wait_for_timeout(2000)
                asked, came = traffic.requests, traffic.bytes
                page.wait_for_timeout(IDLE_MS)
                rest = f"{traffic.requests - asked} requests, {(traffic.bytes - came) / 1000:,.1f} kB"
                found["`/` in ten seconds of looking on"] = rest
            page.context.close()
        ms, requests, size = sorted(runs)[2]
        found[what] = f"{requests} requests, {size / 1000:,.0f} kB, {ms:.0f} ms"
    page, _ = opened(browser, server, "/#model=fashion-mnist", GALLERY)
    times_to_picture(page)  # warm
    found["from a new seed to its 40 pictures"] = f"{statistics.median(times_to_picture(page)):.0f} ms"
    page.context.close()
    return found


def seen(folder: Path, look: Callable[[Browser, Server], Any]) -> list[Any]:
    """What `look` sees of the page before, and of that of today, of the same models."""
    archive = subprocess.run(["git", "archive", BEFORE], cwd=ROOT, check=True, capture_output=True).stdout
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        tar.extractall(folder / "before", filter="data")
    found = []
    for name, code in (("before", folder / "before"), ("after", ROOT)):
        with (
            serving(folder / f"{name} home", folder=code, models=ROOT / "models") as server,
            chromium() as browser,
        ):
            found.append(look(browser, server))
    return found


def strip(rows: list[list[Image.Image]]) -> Image.Image:
    wide = sum(shot.width + GAP for shot in rows[0]) + GAP
    line = SHOWN + 3 * GAP
    whole = Image.new("RGB", (wide, line * len(rows) + GAP), "black")
    pen, font = ImageDraw.Draw(whole), ImageFont.load_default(18)
    for row, (name, shots) in enumerate(zip(("before", "after"), rows, strict=True)):
        left, top = GAP, row * line
        pen.text((left, top + 4), name, "white", font)
        for shot in shots:
            whole.paste(shot, (left, top + 2 * GAP + 6))
            left += shot.width + GAP
    return whole


def main(file: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        both = seen(Path(folder), lambda browser, server: (frames(browser, server), costs(browser, server)))
    strip([shots for shots, _ in both]).quantize(256).save(file, optimize=True)
    (_, before), (_, after) = both
    print("| | before | after |\n| --- | --- | --- |")
    for what, cost in before.items():
        print(f"| {what} | {cost} | {after[what]} |")


if __name__ == "__main__":
    main(sys.argv[1])
