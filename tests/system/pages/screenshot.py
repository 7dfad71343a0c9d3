"""The picture of the playground in README and docs/clients.md: python -m tests.system.pages.screenshot docs/playground.png"""

import sys
import tempfile
from pathlib import Path

from tests.system.pages.chromium import chromium
from tests.system.serving import serving

VIEW = "#n=40&truncation=0.8&tab=interpolate&a=bag%2F8&b=bag%2F38"


def main(file: str) -> None:
    with tempfile.TemporaryDirectory() as home, serving(Path(home)) as server, chromium() as browser:
        page = browser.new_page(viewport={"width": 1280, "height": 1000}, color_scheme="dark")
        page.goto(f"{server.url}/{VIEW}")
        page.locator("#film img").nth(15).wait_for()
        # The live strip has something to show once there was work for half its minute.
        for second in range(30, -1, -1):
            for step in range(second * 7 % 5 + 1):
                page.locator("#seed").fill(str(second * (step + 1)))
            page.wait_for_timeout(900)
        page.get_by_role("button", name="Pause").click()
        page.locator("#frame").fill("6")
        page.screenshot(path=file)


if __name__ == "__main__":
    main(sys.argv[1])
