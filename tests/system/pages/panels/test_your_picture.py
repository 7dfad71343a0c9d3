"""The playground finds the z of a picture, in a browser, and walks from it."""

import base64

import numpy as np
import pytest
from playwright.sync_api import expect

from service.generator.images import png
from tests import generators
from tests.generators import encoders
from tests.needs import needs
from tests.system.conftest import SMALL
from tests.system.pages.chromium import chromium, where
from tests.system.serving import serving


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    """`tiny` has an encoder, `colour` has none; started before the browser."""
    needs(where(), "chromium")
    folder = generators.folder(
        tmp_path_factory.mktemp("models"), {name: SMALL[name].file() for name in ("tiny", "colour")}
    )
    encoders.beside(folder, "tiny", SMALL["tiny"])
    home = tmp_path_factory.mktemp("yours") / "home"
    with serving(home, models=folder, engine="onnxruntime", default_model="tiny") as server:
        yield server


@pytest.fixture(scope="module")
def context(served):
    with chromium() as browser, browser.new_context(reduced_motion="reduce") as one:
        one.set_default_timeout(15_000)
        expect.set_options(timeout=15_000)
        yield one


def test_a_picture_that_is_chosen_is_drawn_again_and_walked_from(served, context):
    page, complaints = context.new_page(), []
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.goto(f"{served.url}/#model=tiny&seed=4")
    page.get_by_role("tab", name="Your picture").click()
    bag = np.array([8])
    picture = png(SMALL["tiny"].forward(SMALL["tiny"].contract().rows([9]), bag)[0])
    page.get_by_label("Your picture", exact=True).and_(page.locator("input")).set_input_files(
        {"name": "mine.png", "mimeType": "image/png", "buffer": picture}
    )
    expect(page.locator("#walk .tile")).to_have_count(12)
    with served.client() as client:
        told = client.post("/v1/inversions", json={"images": [base64.b64encode(picture).decode()]}).json()
    found = told["images"][0]
    assert page.locator("#found").get_attribute("src") == f"data:image/png;base64,{found['reconstruction']}"
    expect(page.locator("#invert-facts")).to_contain_text(found["label"])
    sources = page.locator("#walk img").evaluate_all("all => all.map(one => one.src)")
    assert sources[0] == f"data:image/png;base64,{found['reconstruction']}"
    seed = served.samples(seed=4, label=found["label"]).content
    assert sources[-1] == f"data:image/png;base64,{base64.b64encode(seed).decode()}"
    page.get_by_label("Seed", exact=True).fill("5")
    expect(page.locator("#walk .tile").last).to_have_attribute("aria-label", "Seed 5")
    page.locator("#walk .tile").first.click()
    expect(page.locator("#inspect-texts")).to_contain_text("z")
    page.get_by_role("button", name="Close").click()
    page.locator("#own-file").set_input_files(
        {"name": "mine.png", "mimeType": "image/png", "buffer": b"GIF89a"}
    )
    expect(page.locator("#invert-words")).to_contain_text("no PNG, JPEG or WebP")
    assert complaints == []
    page.close()


def test_a_model_without_an_encoder_has_no_such_panel(served, context):
    page = context.new_page()
    page.goto(f"{served.url}/#model=colour&tab=invert")
    expect(page.get_by_role("tab", name="Interpolate")).to_have_attribute("aria-selected", "true")
    expect(page.get_by_role("tab", name="Your picture")).to_be_hidden()
    page.close()
