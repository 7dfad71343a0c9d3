"""The playground's pictures, as a test sees them in a browser and gets them from the service."""

import base64

from playwright.sync_api import Page

TIMEOUT_MS = 15_000


def tiles(page: Page):
    return page.locator("#gallery .tile")


def shown(page: Page, selector: str = "#gallery img") -> list[bytes]:
    """The bytes of the pictures that are on the page."""
    sources = page.locator(selector).evaluate_all("all => all.map(one => one.src)")
    return [base64.b64decode(source.removeprefix("data:image/png;base64,")) for source in sources]


def drawn(server, **asked) -> list[bytes]:
    """The same, as the service gives them to anybody."""
    images = server.samples(model="fashion-mnist", format="json", **asked).json()["images"]
    return [base64.b64decode(image["image"]) for image in images]


def address(png: bytes) -> str:
    return f"data:image/png;base64,{base64.b64encode(png).decode()}"
