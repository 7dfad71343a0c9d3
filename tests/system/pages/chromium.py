"""Debian's Chromium, without a window."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager

from playwright.sync_api import Browser, expect, sync_playwright

from tests import interfaces
from tests.system.pages.playground import TIMEOUT_MS


def where() -> str | None:
    """Its program, if it is installed."""
    return shutil.which("chromium")


@contextmanager
def chromium() -> Iterator[Browser]:
    """Playwright runs an event loop in this thread meanwhile: start servers before.

    What is expected of a page may take as long as on a busy machine, whichever test came before: 5 seconds, otherwise.
    """
    expect.set_options(timeout=TIMEOUT_MS)
    with interfaces.unchanged(), sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=where())
        yield browser
        browser.close()
