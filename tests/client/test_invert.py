"""Pictures by the Python client, at a real server and at one that answers nonsense."""

import io

import httpx
import numpy as np
import pytest
from PIL import Image

from ganserve import Client, Refused, UnexpectedAnswer
from tests.client import answering
from tests.client.conftest import MAX_IMAGES


@pytest.fixture(scope="module")
def client(server):
    with Client(server.url) as one:
        yield one


def test_z_and_labels_draw_the_reconstructions_again(client):
    pictures = client.sample(n=5, seed=3).images
    found = client.invert(list(pictures))
    assert (found.z.shape, found.images.shape) == ((5, 8), pictures.shape)
    again = client.sample(z=found.z, label=found.labels)
    np.testing.assert_array_equal(again.images, found.images)
    errors = np.abs(found.images.astype(int) - pictures).mean(axis=(1, 2, 3))
    np.testing.assert_allclose(found.errors, errors, atol=1e-3)
    assert ((found.probabilities > 0) & (found.probabilities <= 1)).all()
    assert (found.model, found.version) == (again.model, again.version)


def test_a_picture_may_be_a_path_bytes_a_pillow_image_or_an_array(client, tmp_path):
    array = client.sample(seed=3).images[0]
    image, buffer = Image.fromarray(array[..., 0]), io.BytesIO()
    image.save(tmp_path / "a.png")
    image.save(buffer, "WEBP", lossless=True)
    ways = [tmp_path / "a.png", f"{tmp_path}/a.png", buffer.getvalue(), image, array, array[..., 0]]
    one = client.invert(array).z
    np.testing.assert_allclose(client.invert(ways).z, one.repeat(len(ways), axis=0), atol=1e-5)
    assert all(np.allclose(client.invert(way).z, one, atol=1e-5) for way in ways)


def test_more_than_the_server_takes_at_once_go_in_several_requests(client):
    n = 2 * MAX_IMAGES + 3
    pictures = list(client.sample(n=n, seed=0).images)
    labels = [i % 10 for i in range(n)]
    found = client.invert(pictures, labels)
    assert found.labels == [client.model("tiny")["classes"][label] for label in labels]
    np.testing.assert_allclose(found.z[-1], client.invert(pictures[-1]).z[0], atol=1e-5)


def test_steps_bring_what_is_found_nearer_however_many_pictures_there_are(client):
    pictures = list(client.sample(n=6, seed=3).images)
    labels = [(3 + i) % 10 for i in range(6)]
    found, refined = (client.invert(pictures, labels, steps=steps) for steps in (0, 16))
    assert (refined.errors < found.errors).all()
    np.testing.assert_array_equal(client.sample(z=refined.z, label=labels).images, refined.images)


def test_classes_come_with_probabilities_however_many_pictures_there_are(client):
    pictures = list(client.sample(n=2 * MAX_IMAGES + 3, seed=0).images)
    found, of_all = client.classify(pictures), client.classify(pictures, top=10, model="tiny")
    assert found.probabilities.shape == (len(pictures), 5)
    assert found.labels == [labels[:5] for labels in of_all.labels]
    np.testing.assert_allclose(of_all.probabilities.sum(axis=1), 1)
    assert [labels[0] for labels in found.labels] == client.invert(pictures).labels
    assert (found.model, found.version) == ("tiny", client.model("tiny")["version"])
    with pytest.raises(Refused, match="Models that do: tiny"):
        client.classify(pictures, model="colour")


def test_what_a_server_refuses_is_told(client):
    with pytest.raises(Refused, match="python -m training encode"):
        client.invert(np.zeros((8, 8), np.uint8), model="colour")
    with pytest.raises(Refused, match="no PNG, JPEG or WebP"):
        client.invert(b"<svg/>")
    with pytest.raises(Refused):
        client.invert([])


def test_what_is_no_picture_is_refused_before_it_is_sent(client, tmp_path):
    with pytest.raises(ValueError, match="uint8"):
        client.invert(np.zeros((8, 8), np.float32))
    with pytest.raises(FileNotFoundError):
        client.invert(tmp_path / "none.png")


@pytest.mark.parametrize(
    "body",
    ["{}", "no JSON", '{"images": [1]}', '{"images": [{"label": "a", "z": "b", "classes": [1]}]}'],
)
def test_nonsense_is_no_answer(body):
    headers = {"ganserve-model": "a", "ganserve-version": "b"}
    with answering.of(lambda request: httpx.Response(200, headers=headers, text=body)) as client:
        for ask in (client.invert, client.classify):
            with pytest.raises(UnexpectedAnswer):
                ask(b"")
