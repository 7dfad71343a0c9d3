"""The programs of examples/, against a real service."""

import os
import re
import subprocess
import sys
from urllib.parse import urlencode

import numpy as np
import pytest
from PIL import Image

from examples.torch_dataloader import GeneratedImages
from ganserve import Client
from tests.generators import Tiny, folder
from tests.needs import needs
from tests.system.pages import chromium
from tests.system.serving import ROOT, serving
from tests.waiting import wait_until


@pytest.fixture(scope="module")
def service(tmp_path_factory):
    place = tmp_path_factory.mktemp("examples")
    tiny = {"fashion-mnist": Tiny(image=(1, 28, 28)), "gallery": Tiny(), "bare": Tiny(classes=None)}
    models = folder(place / "models", {name: one.file() for name, one in tiny.items()})
    with serving(place / "home", models=models, engine="onnxruntime", cors_origins="*") as one:
        yield one


def run(name: str, *arguments: object, folder) -> str:
    """What the program prints."""
    done = subprocess.run(
        [sys.executable, ROOT / "examples" / name, *map(str, arguments)],
        cwd=folder,
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_classifier_learns_from_the_dataloader(service, tmp_path):
    said = run("torch_dataloader.py", "--url", service.url, "--batch", 64, "--batches", 12, folder=tmp_path)
    found = re.fullmatch(r"768 images of fashion-mnist in [\d.]+ s; loss ([\d.]+) -> ([\d.]+) nats\n", said)
    assert found, said
    assert float(found[2]) < 0.9 * float(found[1])


# A process of its own: a DataLoader forks, and leaves its handler of SIGCHLD behind.
_DRAW = """
import sys
import numpy as np
from torch.utils.data import DataLoader
from examples.torch_dataloader import GeneratedImages
drawn = list(DataLoader(GeneratedImages(sys.argv[1], batch=5, batches=5, seed=3), batch_size=None, num_workers=2))
np.savez("drawn.npz", pixels=[pixels.numpy() for pixels, _ in drawn], labels=[labels.numpy() for _, labels in drawn])
"""


def test_every_seed_comes_once_from_several_processes(service, tmp_path):
    subprocess.run(
        [sys.executable, "-c", _DRAW, service.url],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        check=True,
        timeout=120,
    )
    with np.load(tmp_path / "drawn.npz") as drawn:
        pixels, labels = drawn["pixels"], drawn["labels"]
    assert pixels.shape == (5, 5, 1, 28, 28)
    with Client(service.url) as client:
        expected = client.sample(n=25, seed=3)
    assert expected.labels is not None

    def rows(pixels: np.ndarray, labels: np.ndarray) -> list[bytes]:
        return sorted(bytes([label]) + image.tobytes() for image, label in zip(pixels, labels, strict=True))

    levels = (127.5 * (pixels + 1)).round().astype(np.uint8).reshape(25, 1, 28, 28)
    assert rows(levels, labels.reshape(25)) == rows(expected.images.transpose(0, 3, 1, 2), expected.labels)


def test_a_model_without_classes_gives_the_dataloader_no_labels(service):
    with pytest.raises(ValueError, match="bare is not told the class"):
        next(iter(GeneratedImages(service.url, batch=2, batches=1, model="bare")))


def test_openais_client_writes_the_images_of_these_seeds(service, tmp_path):
    asked = ("--url", service.url, "--seed", 4, "--out", "sneakers")
    said = run("openai_client.py", "two sneakers", "-n", 2, *asked, folder=tmp_path)
    assert said == "sneakers/0.png: Sneaker\nsneakers/1.png: Sneaker\n"
    with Client(service.url) as client:
        expected = client.sample(label="Sneaker", n=2, seed=4).images
    for number, image in enumerate(expected):
        with Image.open(tmp_path / f"sneakers/{number}.png") as written:
            assert np.array_equal(np.asarray(written)[..., None], image)
    run("openai_client.py", "a sneaker", "--size", "56x56", *asked, folder=tmp_path)
    with Image.open(tmp_path / "sneakers/0.png") as large:
        assert large.size == (56, 56)


def test_the_gallery_asks_for_an_image_once(service):
    needs(chromium.where(), "chromium")
    query = urlencode({"url": service.url, "model": "gallery"})
    all_shown = "Array.from(document.images).every(image => image.complete && image.naturalWidth === 8)"
    with chromium.chromium() as browser, browser.new_context() as context:
        for _ in range(2):
            page = context.new_page()
            page.goto(f"file://{ROOT}/examples/cached_gallery.html?{query}")
            for button, seed in ((None, 0), ("later seeds", 10), ("earlier seeds", 0)):
                if button:
                    page.get_by_role("button", name=button).click()
                page.locator(f"img[alt='Trouser, seed {seed}']").wait_for()
                page.wait_for_function(all_shown)
                assert f"seeds {seed} to {seed + 9}" in (page.locator("#says").text_content() or "")
    drawn = 2 * 10 * 10  # of ten classes ten seeds, and ten more
    service.samples(model="gallery")  # counted after all that came before
    wait_until(lambda: service.metric("ganserve_images_total", model="gallery") > drawn)
    assert service.metric("ganserve_images_total", model="gallery") == drawn + 1
