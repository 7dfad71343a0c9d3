import base64
import io
import json

import httpx
import numpy as np
from PIL import Image

from service.generator import images
from tests.service.web.v1.samples.sampling import array


def picture(response: httpx.Response) -> np.ndarray:
    assert response.status_code == 200, response.text
    with Image.open(io.BytesIO(response.content)) as image:
        return np.asarray(image)


def test_the_least_that_can_be_asked_is_one_png_of_a_drawn_seed(site):
    for response in (site.post(b""), site.post(b"{}"), site.samples(), site.post(b"{}", content_type=None)):
        assert response.headers["content-type"] == "image/png"
        assert picture(response).shape == (8, 8)
        seed = int(response.headers["ganserve-seeds"])
        assert seed < 2**32
        assert site.samples(seed=seed).content == response.content


def test_binary_replies_carry_model_version_engine_labels_and_seeds(site):
    version = site.front.models["tiny"].version
    headers = site.samples(label="Sneaker", n=16, seed=1).headers
    assert headers["ganserve-model"] == "tiny"
    assert headers["ganserve-version"] == version
    assert headers["ganserve-engine"] == "openvino"
    assert (headers["ganserve-seeds"], headers["ganserve-labels"]) == ("1-16", "7")
    assert site.samples(n=3, seed=9).headers["ganserve-labels"] == "9,0,1"
    bare = site.samples(model="bare", seed=4).headers
    assert "ganserve-labels" not in bare
    assert "ganserve-seeds" not in site.samples(z=[[0] * 8]).headers


def test_every_image_of_a_reply_can_be_asked_for_alone(site):
    together = array(site.samples(seed=5, n=40, format="npy", truncation=0.8))
    assert (together.dtype, together.shape) == (np.uint8, (40, 8, 8, 1))
    for i in (0, 1, 7, 39):
        alone = array(site.samples(seed=5 + i, format="npy", truncation=0.8))
        np.testing.assert_array_equal(alone[0], together[i])


def test_many_images_come_as_a_grid(site):
    sheet = picture(site.samples(model="colour", n=5, seed=2))
    assert sheet.shape == (16, 24, 3)
    np.testing.assert_array_equal(sheet[:8, 8:16], picture(site.samples(model="colour", seed=3)))
    assert (sheet[8:, 16:] == 255).all()


def test_webp_is_lossless(site):
    png, webp = (
        picture(site.samples(model="colour", seed=2, n=3, format=format)) for format in ("png", "webp")
    )
    np.testing.assert_array_equal(png, webp)


def test_json_holds_each_image_with_its_label_and_seed(site):
    reply = site.samples(seed=6, n=3, label=["bag", 0, "ankle-boot"], format="json")
    document = reply.json()
    assert (document["model"], document["version"]) == ("tiny", site.front.models["tiny"].version)
    assert [(one["label"], one["seed"]) for one in document["images"]] == [
        ("Bag", 6),
        ("T-shirt/top", 7),
        ("Ankle boot", 8),
    ]
    png = base64.b64decode(document["images"][1]["image"])
    assert png == site.samples(seed=7, label=0).content


def test_the_z_of_a_reply_posted_back_gives_the_same_images(site):
    first = site.samples(seed=6, n=3, truncation=0.4, format="json", include_z=True).json()["images"]
    again = site.samples(z=[one["z"] for one in first], label=[one["label"] for one in first], format="json")
    assert [one["image"] for one in again.json()["images"]] == [one["image"] for one in first]


def test_decoded_pngs_of_every_route_are_one_image(site):
    by_url = images.decode(site.ask("GET", "/v1/models/tiny/images/bag/5.png", follow_redirects=True).content)
    by_json = json.loads(site.samples(seed=5, label="bag", format="json").content)["images"][0]["image"]
    np.testing.assert_array_equal(images.decode(base64.b64decode(by_json)), by_url)
    np.testing.assert_array_equal(
        array(site.samples(seed=5, label="bag", format="npy"))[0].transpose(2, 0, 1), by_url
    )
