from functools import partial
from typing import Any
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Page, Route, expect

from tests.system.pages.playground import TIMEOUT_MS


@pytest.fixture
def visit(browser, served):
    """Opens the page. At the end: it asked no other host for anything, and the browser had nothing to complain of."""
    expect.set_options(timeout=TIMEOUT_MS)
    contexts, requests, complaints = [], [], []

    def open_(path="/#model=fashion-mnist", *, refusals=False, answers=None, **options) -> Page:
        """refusals: answers of 400 and above are expected. answers: pattern of addresses -> JSON instead of the service's."""
        still: dict[str, Any] = {"viewport": {"width": 1280, "height": 900}, "reduced_motion": "reduce"}
        context = browser.new_context(**still | options)
        contexts.append(context)
        context.set_default_timeout(TIMEOUT_MS)
        page = context.new_page()
        page.on("request", lambda request: requests.append(request.url))
        page.on("pageerror", lambda error: complaints.append(str(error)))

        def hear(message) -> None:
            # The browser itself logs every answer of 400 and above.
            if message.type in ("error", "warning") and not (
                refusals and "Failed to load resource" in message.text
            ):
                complaints.append(message.text)

        page.on("console", hear)
        for pattern, answer in (answers or {}).items():
            page.route(pattern, partial(_fulfill, json=answer))
        page.goto(served.url + path)
        return page

    yield open_
    for context in contexts:
        context.close()
    hosts = {urlsplit(url).netloc for url in requests if not url.startswith(("data:", "blob:"))}
    assert hosts == {urlsplit(served.url).netloc}
    assert complaints == []


def _fulfill(route: Route, json: object) -> None:
    route.fulfill(json=json)
