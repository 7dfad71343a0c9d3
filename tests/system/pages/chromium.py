"""Debian's Chromium, without a window."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager

from playwright.sync_api import Browser, sync_playwright


def where() -> str | None:
    """Its program, if it is installed."""
    return shutil.which("chromium")


@contextmanager
def chromium() -> Iterator[Browser]:
    """Playwright runs an event loop in this thread meanwhile: start servers before."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=where())
        yield browser
        browser.close()
