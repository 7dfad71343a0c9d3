"""Codes in a browser: each has a slider, and without a choice what the seed draws."""

import base64
import io

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Page, expect

from service.generator import golden
from tests import generators
from tests.generators import Tiny
from tests.needs import needs
from tests.service.web.v1.test_codes import CODED, drawn
from tests.system.pages.chromium import chromium, where
from tests.system.serving import serving


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    """Started before the browser."""
    folder = generators.folder(
        tmp_path_factory.mktemp("models"), {"coded": CODED.file(), "tiny": Tiny().file()}
    )
    with serving(tmp_path_factory.mktemp("named") / "home", models=folder, engine="onnxruntime") as server:
        yield server


@pytest.fixture(scope="module")
def context(served):
    needs(where(), "chromium")
    with chromium() as browser, browser.new_context(reduced_motion="reduce") as context:
        context.set_default_timeout(15_000)
        yield context


def gallery(page: Page) -> np.ndarray:
    """uint8 [3, 1, H, W]."""
    expect(page.locator("#gallery img")).to_have_count(3)
    sources = page.locator("#gallery img").evaluate_all("all => all.map(one => one.src.split(',')[1])")
    images = [Image.open(io.BytesIO(base64.b64decode(one))).convert("L") for one in sources]
    return np.stack([np.asarray(one)[None] for one in images])


def shows(page: Page, want: np.ndarray) -> None:
    expect(page.locator("#gallery.stale")).to_have_count(0)
    assert golden.difference(gallery(page), want).max <= 1


def test_a_slider_chooses_a_code_and_an_empty_field_leaves_it_to_the_seed(served, context):
    page = context.new_page()
    page.goto(f"{served.url}/#model=coded&seed=4&n=3")
    expect(page.get_by_label("c1", exact=True)).to_have_attribute("placeholder", "of the seed")
    shows(page, drawn(range(4, 7)))
    for name, value, chosen in (("c1", "-1.5", {"c1": -1.5}), ("category", "2", {"c1": -1.5, "category": 2})):
        with page.expect_response("**/v1/samples"):
            page.get_by_label(f"{name}, as a slider").fill(value)
        expect(page.get_by_label(name, exact=True)).to_have_value(value)
        page.wait_for_function("() => document.querySelector('#gallery .tile')?.href.includes('c1=-1.5')")
        if name == "category":
            page.wait_for_function(
                "() => document.querySelector('#gallery .tile')?.href.includes('category=2')"
            )
        shows(page, drawn(range(4, 7), **chosen))
    # Its address is that of this very picture.
    href = page.locator("#gallery .tile").first.get_attribute("href")
    assert href is not None
    with Image.open(io.BytesIO(served.get(href).content)) as read:
        assert (
            golden.difference(np.asarray(read)[None, None], drawn(range(4, 5), c1=-1.5, category=2)).max <= 1
        )

    # A link to it shows it to others.
    page.wait_for_function("() => location.hash.includes('named')")
    other = context.new_page()
    other.goto(page.url)
    expect(other.get_by_label("c1", exact=True)).to_have_value("-1.5")
    shows(other, drawn(range(4, 7), c1=-1.5, category=2))

    for name in ("c1", "category"):
        page.get_by_label(name, exact=True).fill("")
    page.wait_for_function("() => !document.querySelector('#gallery .tile')?.href.includes('?')")
    shows(page, drawn(range(4, 7)))


def test_a_model_without_codes_has_no_such_controls(served, context):
    page = context.new_page()
    page.goto(f"{served.url}/#model=tiny&named=c1%3D1")
    expect(page.locator("#gallery .tile").first).to_be_visible()
    expect(page.locator("#named")).to_be_hidden()
    assert "c1" not in (page.locator("#gallery .tile").first.get_attribute("href") or "c1")
