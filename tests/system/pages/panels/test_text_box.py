"""The playground draws what is typed, in a browser, of a model that reads a text."""

import base64
import io

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import expect

from service.generator import golden
from service.generator.contract import version
from service.generator.latents import latents
from tests.generators.texts import WORDY
from tests.needs import needs
from tests.system.pages.chromium import chromium, where

VERSION = version(WORDY.file())


@pytest.fixture(scope="module")
def context(readers):
    needs(where(), "chromium")
    with chromium() as browser, browser.new_context(reduced_motion="reduce") as one:
        one.set_default_timeout(15_000)
        expect.set_options(timeout=15_000)
        yield one


def shown(page) -> np.ndarray:
    file = page.locator("#gallery img").first.get_attribute("src").removeprefix("data:image/png;base64,")
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(file))))[None]


def test_what_is_typed_is_drawn_and_stays_in_the_addresses(readers, context):
    page, complaints = context.new_page(), []
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.goto(f"{readers.url}/#model=reader&seed=4&n=2&text=dark+bag")
    box = page.get_by_label("Text", exact=True)
    expect(box).to_have_value("dark bag")
    expect(page.locator("#text-words")).to_have_text(f"Words: {', '.join(WORDY.words)}.")
    expect(page.locator("#class")).to_be_hidden()
    link = page.locator("#gallery .tile").first
    expect(link).to_have_attribute(
        "href", f"{readers.url}/v1/models/reader@{VERSION}/images/4.png?text=dark%20bag"
    )
    assert golden.difference(shown(page), WORDY.of(latents([4], 16), ["dark bag"])[0]).max <= 1
    box.fill("large t-shirt")
    box.press("Enter")
    expect(link).to_have_attribute(
        "href", f"{readers.url}/v1/models/reader@{VERSION}/images/4.png?text=large%20t-shirt"
    )
    assert golden.difference(shown(page), WORDY.of(latents([4], 16), ["large t-shirt"])[0]).max <= 1
    box.fill("green")
    box.press("Enter")
    expect(page.locator("#gallery-words")).to_contain_text("does not know 'green'")
    page.locator("#model").select_option("tiny")
    expect(box).to_be_hidden()
    expect(page.locator("#class")).to_be_visible()
    assert complaints == []
    page.close()
