"""The playground translates a picture that is chosen or dropped, in a browser."""

import base64
import io

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import expect

from service.generator.images import png
from tests.generators.translators import FULL, PLAIN, photos
from tests.needs import needs
from tests.system.pages.chromium import chromium, where


@pytest.fixture(scope="module")
def context(translators):
    needs(where(), "chromium")
    with chromium() as browser, browser.new_context(reduced_motion="reduce") as one:
        one.set_default_timeout(15_000)
        expect.set_options(timeout=15_000)
        yield one


def shown(page) -> np.ndarray:
    """uint8 [C, H, W]."""
    file = page.locator("#translated").get_attribute("src").removeprefix("data:image/png;base64,")
    return np.atleast_3d(np.asarray(Image.open(io.BytesIO(base64.b64decode(file))))).transpose(2, 0, 1)


def test_a_picture_that_is_chosen_is_translated(translators, context):
    page, complaints = context.new_page(), []
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.goto(f"{translators.url}/#seed=4")
    page.get_by_role("tab", name="Translate").click()
    options = page.locator("#model option").all_text_contents()
    assert options == ["full (translates pictures)", "inverter (translates pictures)", "tiny"]
    page.locator("#translator").select_option("inverter")
    photo = photos(1, PLAIN.shape)[0]
    file = {"name": "photo.png", "mimeType": "image/png", "buffer": png(photo)}
    page.locator("#picture").set_input_files(file)
    expect(page.locator("#translated")).to_have_attribute("alt", "Translated by inverter")
    np.testing.assert_array_equal(shown(page), 255 - photo)
    assert page.locator("#save-translation").get_attribute("download") == "inverter.png"
    # The seed above counts where the model draws something beside the picture; so does a class.
    page.locator("#translator").select_option("full")
    page.locator("#translate-class").select_option("night")
    expect(page.locator("#translated")).to_have_attribute("alt", "Translated by full, night")
    with translators.client() as client:
        asked = {"model": "full", "seed": 4, "label": "night"}
        asked["images"] = [base64.b64encode(png(photo)).decode()]
        want = client.post("/v1/translations", json=asked | {"format": "npy"})
    np.testing.assert_array_equal(shown(page), np.load(io.BytesIO(want.content))[0].transpose(2, 0, 1))
    assert shown(page).shape == (1, FULL.grow * 8, FULL.grow * 12)
    page.locator("#picture").set_input_files(file | {"buffer": b"GIF89a"})
    expect(page.locator("#translate-words")).to_contain_text("no PNG, JPEG or WebP")
    assert complaints == []
    page.close()


def test_a_picture_that_is_dropped_is_translated(translators, context):
    page = context.new_page()
    page.goto(f"{translators.url}/#tab=translate")
    page.locator("#translator").select_option("inverter")
    photo = photos(1, PLAIN.shape, seed=1)[0]
    page.evaluate(
        """([zone, file]) => {
          const bytes = Uint8Array.from(atob(file), (one) => one.charCodeAt(0));
          const dropped = new DataTransfer();
          dropped.items.add(new File([bytes], "photo.png", { type: "image/png" }));
          const event = new DragEvent("drop", { dataTransfer: dropped, bubbles: true, cancelable: true });
          document.querySelector(zone).dispatchEvent(event);
        }""",
        ["#slot-given", base64.b64encode(png(photo)).decode()],
    )
    expect(page.locator("#translated")).to_be_visible()
    np.testing.assert_array_equal(shown(page), 255 - photo)
    page.close()


def test_the_panel_comes_once_a_translator_is_loaded(translators, context):
    page = context.new_page()
    with translators.client() as client:
        answer = client.get("/v1/models").json()
    for one in answer["data"]:
        if one["source"]:
            one["state"] = "loading"
    page.route("**/v1/models", lambda route: route.fulfill(json=answer))
    page.goto(translators.url)
    expect(page.locator("#gallery .tile").first).to_be_visible()
    expect(page.get_by_role("tab", name="Translate")).to_be_hidden()
    page.unroute("**/v1/models")
    page.get_by_role("tab", name="Translate").click()
    expect(page.locator("#translator option")).to_have_count(2)
    page.close()
