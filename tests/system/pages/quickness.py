"""How long it takes from a change on the page to its pictures: python -m tests.system.pages.quickness

In the browser, on the shipped model: from the event of a new seed to the frame after its pictures are decoded.
"""

import statistics
import tempfile
from pathlib import Path

import click
from playwright.sync_api import CDPSession, Page

from tests.system.pages.chromium import chromium
from tests.system.serving import ROOT, serving

CHANGES, MEASURED = 15, 60
PARTS = {
    "TaskDuration": "all",
    "ScriptDuration": "script",
    "LayoutDuration": "layout",
    "RecalcStyleDuration": "style",
}
TIMES_MS = """
count => new Promise(done => {
  const field = document.getElementById("seed");
  const times = [];
  const picture = document.querySelector("#gallery img");
  let begun = 0;
  const heard = new AbortController();
  const next = () => {
    if (times.length === count) {
      heard.abort();
      return done(times.sort((a, b) => a - b));
    }
    field.value = 100 + 40 * times.length;
    begun = performance.now();
    field.dispatchEvent(new Event("input"));
  };
  picture.addEventListener("load", () => requestAnimationFrame(() => {
    times.push(performance.now() - begun);
    setTimeout(next, 50);
  }), { signal: heard.signal });
  next();
})
"""


def times_to_picture(page: Page, changes: int = CHANGES) -> list[float]:
    """Milliseconds, the shortest first."""
    return page.evaluate(TIMES_MS, changes)


def spent(session: CDPSession) -> dict[str, float]:
    """Seconds since the page began, by part."""
    metrics = session.send("Performance.getMetrics")["metrics"]
    return {PARTS[one["name"]]: one["value"] for one in metrics if one["name"] in PARTS}


@click.command()
def main() -> None:
    """How long it takes from a new seed on the page to its pictures, in Chromium, with the shipped model."""
    with (
        tempfile.TemporaryDirectory() as home,
        serving(Path(home), models=ROOT / "models") as server,
        chromium() as browser,
    ):
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        page.goto(f"{server.url}/#model=fashion-mnist")
        page.locator("#gallery img").first.wait_for()
        times_to_picture(page)  # warm
        session = page.context.new_cdp_session(page)
        # Of the page's thread, CPU time: a busy machine changes it little.
        session.send("Performance.enable", {"timeDomain": "threadTicks"})
        before = spent(session)
        times = times_to_picture(page, MEASURED)
        own = {name: 1000 * (after - before[name]) / MEASURED for name, after in spent(session).items()}
        inside = page.locator("#parts").inner_text()
    low, middle, high = statistics.quantiles(times, n=4)
    print(
        f"{len(times)} new seeds of 40 images: median {middle:.0f} ms, quartiles {low:.0f} and {high:.0f} ms, longest {times[-1]:.0f} ms"
    )
    told = ", ".join(f"{name} {ms:.1f}" for name, ms in own.items())
    print(f"CPU time of the page's own thread for each, in ms: {told}")
    print(f"of the last one, as the service says: {inside}")


if __name__ == "__main__":
    main()
