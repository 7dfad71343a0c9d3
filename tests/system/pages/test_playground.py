"""The playground, in a browser, as somebody uses it."""

import io
import json
import re
import shutil
import subprocess

import pytest
from PIL import Image
from playwright.sync_api import expect

from service.registry.footprint import memory_mb
from tests import generators
from tests.needs import needs
from tests.system.conftest import SMALL
from tests.system.pages.chromium import chromium, where
from tests.system.pages.playground import address, drawn, shown, tiles
from tests.system.serving import ROOT, serving


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    """The shipped model beside an RGB and an unconditional one; started before the browser."""
    needs(where(), "chromium")
    folder = generators.folder(
        tmp_path_factory.mktemp("models"), {name: SMALL[name].file() for name in ("colour", "bare")}
    )
    (folder / "fashion-mnist").symlink_to(ROOT / "models" / "fashion-mnist")
    with serving(
        tmp_path_factory.mktemp("playground") / "home", models=folder, engine="onnxruntime"
    ) as server:
        yield server


@pytest.fixture(scope="module")
def crowded(tmp_path_factory):
    """Two models, of which one has room; started before the browser."""
    files = {name: SMALL[name].file() for name in ("colour", "bare")}
    folder = generators.folder(tmp_path_factory.mktemp("models"), files)
    room = 1.1 * memory_mb(max(map(len, files.values())))
    home = tmp_path_factory.mktemp("crowded") / "home"
    with serving(
        home, models=folder, engine="onnxruntime", default_model="bare", max_loaded_mb=room
    ) as server:
        yield server


@pytest.fixture(scope="module")
def browser(served, crowded):
    with chromium() as one:
        yield one


def test_it_opens_on_the_default_model_and_says_when_that_of_a_link_is_absent(visit):
    page = visit("/")
    expect(page.get_by_label("Model", exact=True)).to_have_value("fashion-mnist")
    expect(page.locator("#facts")).to_contain_text("28 × 28 grey")
    expect(page.locator("#facts")).not_to_contain_text("There is no model")
    page = visit("/#model=gone")
    expect(page.get_by_label("Model", exact=True)).to_have_value("fashion-mnist")
    expect(page.locator("#facts")).to_contain_text(
        "There is no model gone here that can draw; this is fashion-mnist."
    )
    page.get_by_label("Model", exact=True).select_option("colour")
    expect(page.locator("#facts")).to_contain_text("RGB")
    expect(page.locator("#facts")).not_to_contain_text("There is no model")


@pytest.mark.parametrize("tab", ["invert", "translate"])
def test_a_link_to_a_panel_that_the_model_lacks_opens_the_first(visit, tab):
    page = visit(f"/#model=bare&tab={tab}")
    expect(tiles(page)).to_have_count(40)
    expect(page.get_by_role("tab", name="Interpolate")).to_have_attribute("aria-selected", "true")
    expect(page.locator("#film img")).to_have_count(16)
    expect(page.get_by_role("alert").filter(visible=True)).to_have_count(0)


def test_a_class_is_chosen_and_its_pictures_are_seen(visit, served):
    page = visit()
    expect(tiles(page)).to_have_count(40)
    page.get_by_label("Class", exact=True).select_option(label="Sneaker")
    expect(tiles(page).first).to_have_attribute("aria-label", "Sneaker, seed 0")
    assert shown(page) == drawn(served, label="Sneaker", seed=0, n=40)
    assert page.locator("#gallery img").first.evaluate("one => one.naturalWidth") == 28
    expect(page.locator("#latency")).to_have_text(re.compile(r"40 images in [\d.]+ ms"))


def test_the_gallery_follows_a_slider_and_the_last_position_wins(visit, served):
    page = visit("/#model=fashion-mnist&class=bag&n=12&seed=5")
    expect(tiles(page)).to_have_count(12)
    before = shown(page)
    slider = page.get_by_label("Truncation, as a slider")
    slider.focus()
    for _ in range(60):
        page.keyboard.press("ArrowLeft")
    expect(page.locator("#truncation")).to_have_value("0.4")
    expect(tiles(page).first).to_have_attribute("href", re.compile(r"bag/5\.png\?truncation=0\.4$"))
    assert shown(page) == drawn(served, label="bag", seed=5, n=12, truncation=0.4) != before


def test_a_slow_answer_never_replaces_a_newer_one(visit, served):
    page = visit("/#model=fashion-mnist&n=3")
    expect(tiles(page)).to_have_count(3)
    held = []
    page.route("**/v1/samples", lambda route: held.append(route) if not held else route.continue_())
    page.locator("#seed").fill("100")
    page.locator("#seed").fill("200")
    page.locator("#seed").fill("300")
    expect(tiles(page).first).to_have_attribute("aria-label", re.compile("seed 300"))
    assert shown(page) == drawn(served, seed=300, n=3)
    assert json.loads(held[0].request.post_data)["seed"] == 100


def test_two_images_make_an_interpolation_that_plays(visit):
    page = visit("/#model=fashion-mnist&class=sneaker&n=20", reduced_motion="no-preference")
    page.get_by_role("button", name="Sneaker, seed 3 as A").click()
    page.get_by_role("button", name="Sneaker, seed 11 as B").click()
    expect(page.locator("#slot-b p")).to_have_text("Sneaker, seed 11")
    expect(page.locator("#film img")).to_have_count(16)
    gallery = shown(page)
    for place, image in (("first", gallery[3]), ("last", gallery[11])):
        expect(page.locator(f"#film li:{place}-child img")).to_have_attribute("src", address(image))
    frame = page.get_by_label("Frame", exact=True)
    expect(frame).to_have_value(re.compile(r"8|9|1\d"))  # it plays by itself
    page.get_by_role("button", name="Pause").click()
    frame.fill("0")
    picture = "document.querySelector('#screen').toDataURL()"
    before = page.evaluate(picture)
    page.get_by_role("button", name="Play").click()
    expect(frame).to_have_value(re.compile(r"[5-9]|1\d"))
    assert page.evaluate(picture) != before, "the large picture follows"


def test_images_are_dragged_to_the_ends_and_into_a_sum(visit):
    page = visit("/#model=fashion-mnist&class=dress&n=20")
    page.get_by_label("Dress, seed 17", exact=True).drag_to(page.locator("#slot-a"))
    expect(page.locator("#slot-a p")).to_have_text("Dress, seed 17")
    page.get_by_role("tab", name="Arithmetic").click()
    page.get_by_label("Dress, seed 12", exact=True).drag_to(page.locator("#slot-minus"))
    expect(page.get_by_label("minus", exact=True)).to_have_value("4, 5, 6, 12")


def test_a_copied_curl_command_gives_the_bytes_of_the_picture(visit, tmp_path):
    needs(shutil.which("curl"), "curl")
    page = visit("/#model=fashion-mnist&class=t-shirt-top&truncation=0.7&seed=21")
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    tiles(page).nth(2).click()
    page.get_by_role("button", name="Copy curl").click()
    command = page.evaluate("navigator.clipboard.readText()")
    assert "'" in command
    assert "truncation=0.7" in command
    subprocess.run(["sh", "-ec", command], cwd=tmp_path, check=True, timeout=30)
    assert (tmp_path / "t-shirt-top-23.png").read_bytes() == shown(page)[2]


def test_a_frame_between_two_seeds_can_be_asked_for_by_its_z(visit, tmp_path):
    needs(shutil.which("curl"), "curl")
    page = visit("/#model=fashion-mnist&a=coat%2F4&b=bag%2F8")
    expect(page.get_by_role("button", name="Play")).to_be_visible()  # still, as this visitor wishes
    page.locator("#film .tile").nth(5).click()
    command = page.get_by_label("curl", exact=True).inner_text()
    assert '"z":[[' in command
    subprocess.run(["sh", "-ec", command], cwd=tmp_path, check=True, timeout=30)
    assert (tmp_path / "frame-6.png").read_bytes() == shown(page, "#film img")[5]


def test_the_python_of_an_image_runs(visit):
    page = visit("/#model=fashion-mnist&class=shirt&truncation=0.5")
    tiles(page).first.click()
    script = page.get_by_label("Python", exact=True).inner_text()
    scope: dict = {}
    exec(script, scope)
    assert scope["images"].shape == (1, 28, 28, 1)


def test_an_opened_image_shows_the_z_that_the_generator_got(visit, served):
    page = visit("/#model=fashion-mnist&class=shirt&seed=9")
    tiles(page).first.click()
    z = json.loads(page.get_by_label("z", exact=True).inner_text())
    asked = {"label": "shirt", "seed": 9, "format": "json", "include_z": True}
    assert z == served.samples(**asked).json()["images"][0]["z"]
    page.get_by_role("button", name="Add to plus").click()
    expect(page.get_by_role("dialog")).to_be_hidden()
    expect(page.get_by_label("plus", exact=True)).to_have_value("7, 8, 9")


def test_a_refusal_is_shown_in_words_and_goes_with_the_next_answer(visit, served):
    page = visit(refusals=True)
    expect(tiles(page)).to_have_count(40)
    page.locator("#seed").fill("9007199254740992")
    words = page.locator("#gallery-words")
    expect(words).to_contain_text("A field is invalid")
    expect(words).to_contain_text("9007199254740991")
    page.locator("#seed").fill("4")
    expect(words).to_be_hidden()
    assert shown(page) == drawn(served, seed=4, n=40)
    page.route("**/v1/samples", lambda route: route.abort())
    page.locator("#seed").fill("5")
    expect(words).to_contain_text("The service does not answer")


def test_models_that_are_not_ready_are_told_and_waited_for(visit, served):
    states = [
        {"id": "one", "state": "failed", "problem": "not an ONNX file"},
        {"id": "two", "state": "loading"},
    ]
    page = visit("/", answers={"**/v1/models": {"object": "list", "data": states}})
    words = page.locator("#gallery-words")
    expect(words).to_contain_text("No model is ready")
    expect(words).to_contain_text("one is failed: not an ONNX file; two is loading")
    page.unroute("**/v1/models")
    expect(tiles(page)).to_have_count(40)
    expect(words).to_be_hidden()


def test_an_idle_model_is_chosen_as_any_other(browser, crowded):
    with browser.new_context() as context:
        page = context.new_page()
        page.goto(crowded.url)
        expect(tiles(page).first).to_have_attribute("aria-label", "Seed 0")
        expect(page.get_by_label("Model", exact=True)).to_contain_text("colour (idle)")
        page.get_by_label("Model", exact=True).select_option("colour")
        expect(page.locator("#facts")).to_contain_text("16 × 16 RGB")
        expect(tiles(page).first).to_have_attribute("aria-label", "T-shirt/top, seed 0")


def test_models_of_other_kinds_are_drawn_and_compared(visit):
    page = visit("/#model=bare")
    expect(tiles(page).first).to_have_attribute("aria-label", "Seed 0")
    expect(page.get_by_label("Class", exact=True)).to_be_disabled()
    expect(page.locator("#film img")).to_have_count(16)
    page.get_by_label("Model", exact=True).select_option("colour")
    expect(tiles(page).first).to_have_attribute("aria-label", "T-shirt/top, seed 0")
    expect(page.locator("#facts")).to_contain_text("16 × 16 RGB")
    page.get_by_label("Class", exact=True).select_option(label="Bag")
    page.get_by_role("tab", name="Compare models").click()
    for model in ("bare", "colour"):  # neither names its data
        expect(page.get_by_role("region", name=model).locator(".tile")).to_have_count(10)
    expect(page.get_by_role("region", name="fashion-mnist")).to_have_count(0)
    expect(page.get_by_role("region", name="bare")).to_contain_text("has no class")
    page.get_by_role("region", name="colour").locator(".tile").nth(3).click()
    expect(page.get_by_role("dialog", name="Bag, seed 3, by colour")).to_be_visible()


def test_a_sum_of_seeds_is_drawn_and_mistakes_in_it_are_told(visit):
    page = visit("/#model=fashion-mnist&tab=arithmetic&sumClass=pullover")
    expect(page.get_by_role("listitem").get_by_label("Pullover: first minus minus plus plus")).to_be_visible()
    for slot in ("first", "minus", "plus"):
        expect(page.locator(f"#slot-{slot} img")).to_be_visible()
    before = shown(page, "#result img")
    page.get_by_label("first", exact=True).fill("50, x")
    expect(page.locator("#arithmetic-words")).to_contain_text("'x' in first")
    page.get_by_label("first", exact=True).fill("50")
    expect(page.locator("#arithmetic-words")).to_be_hidden()
    expect(page.locator("#result img")).not_to_have_attribute("src", address(before[0]))


def test_a_link_shows_the_same_view_to_others(visit):
    page = visit()
    page.get_by_label("Class", exact=True).select_option(label="Coat")
    page.locator("#seed").fill("77")
    page.locator("#n").fill("7")
    expect(page).to_have_url(re.compile("class=coat.*seed=77.*n=7"))
    expect(tiles(page)).to_have_count(7)
    other = visit("/" + page.url[page.url.index("#") :])
    expect(tiles(other)).to_have_count(7)
    assert shown(other) == shown(page)
    expect(other.locator("#seed")).to_have_value("77")


def test_the_live_strip_counts_what_the_service_does(visit):
    page = visit()
    rate = page.locator("[data-gauge=rate]")
    expect(rate).to_have_text(re.compile(r"\d"))
    page.locator("#seed").fill("1000")
    expect(page.locator("[data-gauge=batch]")).to_have_text(re.compile(r"[1-9]"))
    expect(page.locator("[data-gauge=queue]")).to_have_text("0")


def test_the_reference_is_read_and_tried_out_under_its_own_rules(visit, served):
    page = visit("/docs#queue_full")  # the type of a problem
    expect(page.get_by_role("row", name="queue_full")).to_be_in_viewport()
    page.get_by_label("Search routes and fields").fill("conditional samples")
    samples = page.locator("details:visible", has=page.locator("code", has_text="/v1/samples")).first
    samples.locator("summary").click()
    asked = json.loads(samples.get_by_label("Body", exact=True).and_(page.locator("textarea")).input_value())
    samples.get_by_role("button", name="Send").click()
    picture = samples.locator(".answer img")
    expect(picture).to_have_js_property("complete", True)
    with Image.open(io.BytesIO(served.samples(**asked).content)) as grid:
        assert picture.evaluate("one => [one.naturalWidth, one.naturalHeight]") == list(grid.size)
