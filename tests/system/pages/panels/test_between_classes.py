"""From one class into another, in a browser and by clients that are not ours, where a model takes weights over classes."""

import base64
import io
import warnings
from typing import Any

import numpy as np
import pytest
import tritonclient.grpc as triton
from click.testing import CliRunner
from PIL import Image
from playwright.sync_api import Page, expect

from ganserve import Client
from ganserve.__main__ import main
from tests import generators
from tests.generators import Tiny
from tests.needs import needs
from tests.service.generator.file.test_class_weights import file
from tests.system.pages.chromium import chromium, where
from tests.system.serving import free_port, serving

with warnings.catch_warnings(action="ignore", category=DeprecationWarning):  # two of BentoML's own
    from bentoml import SyncHTTPClient

WAY = "#model={}&a=sneaker%2F4&b=bag%2F4&steps=64"
BOTH = {"Sneaker": 0.25, "Bag": 0.75}


@pytest.fixture(scope="module")
def address() -> str:
    """Of gRPC."""
    return f"127.0.0.1:{free_port()}"


@pytest.fixture(scope="module")
def served(tmp_path_factory, address):
    """The same weights twice: with classes that can be mixed, and without. Started before the browser."""
    folder = generators.folder(tmp_path_factory.mktemp("models"), {"mixing": file(), "whole": Tiny().file()})
    home = tmp_path_factory.mktemp("between") / "home"
    with serving(home, models=folder, engine="onnxruntime", grpc_port=address.split(":")[1]) as server:
        yield server


@pytest.fixture(scope="module")
def visit(served):
    """Opens the page at the way of a model."""
    needs(where(), "chromium")
    with chromium() as browser, browser.new_context(reduced_motion="reduce") as context:
        context.set_default_timeout(15_000)

        def open_(model: str) -> Page:
            page = context.new_page()
            page.goto(f"{served.url}/{WAY.format(model)}")
            expect(page.get_by_label("Model", exact=True)).to_have_value(model)
            return page

        yield open_


def frames(page: Page) -> np.ndarray:
    """The pictures of the film, int [n, H, W]."""
    expect(page.locator("#film img")).to_have_count(64)
    sources = page.locator("#film img").evaluate_all("all => all.map(one => one.src.split(',')[1])")
    return np.stack([np.asarray(Image.open(io.BytesIO(base64.b64decode(one))), int) for one in sources])


def test_the_page_walks_from_class_to_class_without_a_jump_or_says_that_there_is_one(visit):
    steps = {}
    for model in ("whole", "mixing"):
        page = visit(model)
        steps[model] = np.abs(np.diff(frames(page), axis=0)).max(axis=(1, 2))
        told = (
            "half way, the class changes at once"
            if model == "whole"
            else "Sneaker goes over into Bag without a jump"
        )
        expect(page.locator("#switch")).to_contain_text(told)
    assert np.flatnonzero(steps["whole"]).tolist() == [31]
    assert 0 < steps["mixing"].max() < steps["whole"].max() / 4


def test_a_frame_between_classes_says_its_weights_and_can_be_asked_for(visit):
    page = visit("mixing")
    frame = page.locator("#film .tile").nth(21)
    expect(frame).to_have_attribute("aria-label", "Frame 22 of 64: 67 % Sneaker, 33 % Bag")
    picture = frame.locator("img").get_attribute("src")
    frame.click()
    scope: dict = {}
    exec(page.get_by_label("Python", exact=True).inner_text(), scope)
    page.keyboard.press("Escape")
    assert picture
    shown = np.asarray(Image.open(io.BytesIO(base64.b64decode(picture.split(",")[1]))))
    np.testing.assert_array_equal(scope["images"][0, ..., 0], shown)


def test_the_class_of_an_end_is_chosen_and_its_seed_stays(visit):
    page = visit("mixing")
    page.get_by_label("Class of B", exact=True).select_option(label="Coat")
    expect(page.locator("#slot-b p")).to_have_text("Coat, seed 4")
    expect(page.locator("#switch")).to_contain_text("Sneaker goes over into Coat")
    page.get_by_label("Class of A", exact=True).select_option(label="Coat")
    expect(page.locator("#switch")).to_be_hidden()
    page.get_by_role("tab", name="Model card").click()
    expect(page.locator("#card-facts")).to_contain_text("weights over classes")


def test_clients_send_weights_and_get_the_images_of_samples(served, tmp_path):
    with Client(served.url) as client:
        drawn = client.sample(["Coat", BOTH], seed=1, model="mixing")
        way = client.interpolate([1, 1], label=[BOTH, "Coat"], steps=3, model="mixing").images
    assert drawn.labels is not None
    assert drawn.labels.tolist() == [4, 8]
    want = served.samples(model="mixing", label=["Coat", BOTH], seed=1, format="npy")
    np.testing.assert_array_equal(drawn.images, np.load(io.BytesIO(want.content)))
    words = ["sample", "--label", "Sneaker=0.25,Bag=0.75", "--seed", "1", "--model", "mixing"]
    run = CliRunner().invoke(main, [*words, "-o", f"{tmp_path}/one.npy", "--url", served.url])
    assert run.exit_code == 0, run.output
    np.testing.assert_array_equal(np.load(tmp_path / "one.npy")[0], way[0])
    refused = CliRunner().invoke(
        main, [*words[:-1], "whole", "-o", f"{tmp_path}/two.npy", "--url", served.url]
    )
    assert refused.exit_code == 1
    assert "takes one class for an image" in refused.output
    bento: Any = SyncHTTPClient(served.url)
    with bento:
        np.testing.assert_array_equal(bento.sample(model="mixing", label=BOTH, seed=1)[0], way[0])
    bento._temp_dir.cleanup()  # it leaves that to the garbage collector, with a warning


def test_triton_s_client_sends_a_row_of_weights_for_each_image(served, address):
    seed, weights = (
        triton.InferInput("seed", [1], "INT64"),
        triton.InferInput("class_weights", [1, 10], "FP32"),
    )
    seed.set_data_from_numpy(np.array([1]))
    row = np.zeros((1, 10), np.float32)
    row[0, [7, 8]] = 0.25, 0.75
    weights.set_data_from_numpy(row)
    with triton.InferenceServerClient(address) as client:
        answer: Any = client.infer("mixing", [seed, weights])
    want = served.samples(model="mixing", label=BOTH, seed=1, format="npy")
    image = answer.as_numpy("image").transpose(0, 2, 3, 1)
    np.testing.assert_array_equal(image, np.load(io.BytesIO(want.content)))
