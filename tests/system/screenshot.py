"""The README's picture of the playground: python -m tests.system.screenshot docs/playground.png"""

import sys
import tempfile
from pathlib import Path

from tests.system.chromium import chromium
from tests.system.serving import serving

VIEW = "#n=40&truncation=0.8&tab=interpolate&a=sneaker%2F7&b=ankle-boot%2F29"


def main(file: str) -> None:
    with tempfile.TemporaryDirectory() as home, serving(Path(home)) as server, chromium() as browser:
        page = browser.new_page(viewport={"width": 1280, "height": 1000}, color_scheme="dark")
        page.goto(f"{server.url}/{VIEW}")
        page.locator("#film img").nth(15).wait_for()
        # The live strip has something to show once there was work for a few of its seconds.
        for seed in range(6):
            page.locator("#seed").fill(str(100 * (5 - seed)))
            page.wait_for_timeout(900)
        page.get_by_role("button", name="Pause").click()
        page.locator("#frame").fill("6")
        page.screenshot(path=file)


if __name__ == "__main__":
    main(sys.argv[1])
