"""How long it takes from a change on the page to its pictures: python -m tests.system.pages.quickness

In the browser, on the shipped model: from the event of a new seed to the frame after its pictures are decoded.
"""

import statistics
import tempfile
from contextlib import ExitStack
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
async count => {
  const field = document.getElementById("seed");
  const picture = document.querySelector("#gallery img");
  const seen = () => new Promise((done, fail) => {
    picture.addEventListener("load", () => requestAnimationFrame(done), { once: true });
    setTimeout(fail, 10_000, new Error("10 seconds after a new seed there is no picture of it"));
  });
  await picture.decode(); // or the first change would take what is still coming for its own
  const times = [];
  for (let i = 0; i < count; i++) {
    field.value = Number(field.value) + 40;
    const begun = performance.now();
    const shown = seen();
    field.dispatchEvent(new Event("input"));
    await shown;
    times.push(performance.now() - begun);
    await new Promise((done) => setTimeout(done, 50));
  }
  return times.sort((a, b) => a - b);
}
"""


def times_to_picture(page: Page, changes: int = CHANGES) -> list[float]:
    """Milliseconds, the shortest first. Raises playwright's Error where a picture does not come."""
    return page.evaluate(TIMES_MS, changes)


def spent(session: CDPSession) -> dict[str, float]:
    """Seconds since the page began, by part."""
    metrics = session.send("Performance.getMetrics")["metrics"]
    return {PARTS[one["name"]]: one["value"] for one in metrics if one["name"] in PARTS}


@click.command()
def main() -> None:
    """How long it takes from a new seed on the page to its pictures, in Chromium, with the shipped model."""
    with tempfile.TemporaryDirectory() as home, ExitStack() as stack:
        models = Path(home) / "served"
        models.mkdir()
        (models / "fashion-mnist").symlink_to(ROOT / "models" / "fashion-mnist")
        server = stack.enter_context(serving(Path(home), models=models))
        browser = stack.enter_context(chromium())
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
        f"p50 {middle:.0f} ms, n = {len(times)} new seeds of 40 images each; quartiles {low:.0f} and {high:.0f} ms, longest {times[-1]:.0f} ms"
    )
    told = ", ".join(f"{name} {ms:.1f}" for name, ms in own.items())
    print(f"CPU time of the page's own thread for each, in ms: {told}")
    print(f"of the last one, as the service says: {inside}")


if __name__ == "__main__":
    main()
