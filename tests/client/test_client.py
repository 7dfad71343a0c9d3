import io
import threading

import httpx
import numpy as np
import pytest

import ganserve
from ganserve import Client
from ganserve.server import server_url
from ganserve.together import NAME
from tests.client.answering import drawn, of
from tests.client.conftest import MAX_IMAGES
from tests.waiting import wait_until


@pytest.fixture
def client(server):
    with Client(server.url) as one:
        yield one
        # Of a request in parts, of which one was refused: a socket that is opened behind `close` would stay open.
        wait_until(lambda: all(thread.name != NAME for thread in threading.enumerate()))


def array(content: bytes) -> np.ndarray:
    return np.load(io.BytesIO(content), allow_pickle=False)


def test_samples_are_the_images_that_the_server_gives_with_their_labels_and_seeds(client, server):
    got = client.sample(label="Sneaker", n=16, seed=1, truncation=0.7)
    want = server.samples(label=7, n=16, seed=1, truncation=0.7, format="npy")
    np.testing.assert_array_equal(got.images, array(want.content))
    assert (got.images.dtype, got.images.shape) == (np.uint8, (16, 8, 8, 1))
    assert got.labels.tolist() == [7] * 16
    assert got.seeds.tolist() == list(range(1, 17))
    assert (got.model, got.version) == ("tiny", want.headers["ganserve-version"])


def test_more_images_than_one_request_may_ask_for_come_in_the_order_asked(client, server):
    assert client.max_images() == MAX_IMAGES
    arrived = []
    got = client.sample(n=50, seed=5, model="colour", tell=arrived.append)
    assert got.images.shape == (50, 16, 16, 3)
    assert got.seeds.tolist() == list(range(5, 55))
    assert got.labels.tolist() == [seed % 10 for seed in range(5, 55)]
    assert sum(arrived) == 50
    for i in (0, 15, 16, 31, 49):
        alone = server.samples(seed=5 + i, model="colour", format="npy")
        np.testing.assert_array_equal(got.images[i], array(alone.content)[0])


def test_a_list_of_labels_is_cut_with_the_images(client, server):
    labels = [*(["Bag", 3] * 10), np.int64(9)]
    got = client.sample(labels, seed=np.int64(40))
    assert got.labels.tolist() == [8, 3] * 10 + [9]
    alone = server.samples(seed=60, label=9, format="npy")
    np.testing.assert_array_equal(got.images[20], array(alone.content)[0])


def test_many_z_without_a_label_have_the_classes_that_one_request_would_give_them(client, server):
    z = np.random.default_rng(0).normal(size=(37, 8)).astype(np.float32)
    got = client.sample(z=z)
    assert got.seeds is None
    assert got.labels.tolist() == [i % 10 for i in range(37)]
    alone = server.samples(z=[z[36].astype(float).tolist()], label=6, format="npy")
    np.testing.assert_array_equal(got.images[36], array(alone.content)[0])
    np.testing.assert_array_equal(client.sample(z=z[36], label=6).images, got.images[36:])


def test_an_unconditional_model_has_no_labels(client):
    assert client.sample(model="bare", n=20).labels is None
    assert client.sample(model="bare", z=np.zeros((20, 8))).labels is None


def test_a_drawn_seed_is_told_and_goes_on_over_all_requests(client):
    got = client.sample(n=40)
    assert (np.diff(got.seeds) == 1).all()
    np.testing.assert_array_equal(client.sample(n=40, seed=got.seeds[0]).images, got.images)


def test_cards_say_what_is_served(client):
    assert [card["id"] for card in client.models()] == ["bare", "colour", "tiny"]
    card = client.model("tiny")
    assert (card["z_dim"], card["classes"][7]) == (8, "Sneaker")
    with pytest.raises(ganserve.Refused) as caught:
        client.model("../models")
    assert caught.value.code == "unknown_model"


def test_frames_lead_from_one_seed_to_the_next(client):
    frames = client.interpolate([1, 2, 3], steps=4, path="linear", label="Bag")
    assert frames.images.shape == (7, 8, 8, 1)
    assert frames.model == "tiny"
    for i, seed in ((0, 1), (3, 2), (6, 3)):
        np.testing.assert_array_equal(frames.images[i], client.sample("Bag", seed=seed).images[0])


@pytest.mark.parametrize(
    ("fields", "status", "code", "field", "says"),
    [
        ({"model": "none"}, 404, "unknown_model", None, "there are: bare, colour, tiny"),
        ({"label": "shoe"}, 422, "invalid_field", "label", "T-shirt/top"),
        ({"n": 0}, 422, "invalid_field", "n", ">= 1"),
        ({"n": 3, "label": [1, 2]}, 422, "invalid_field", "label", "must agree"),
        # Asked for in two parts, of which either may be refused first: one ends past the last seed, one begins there.
        ({"n": 40, "seed": 2**53 - 20}, 422, "invalid_field", "seed", "at most|<= 9007199254740991"),
        ({"seed": 1, "z": np.zeros(8)}, 422, "invalid_field", "z", "exclude"),
        ({"z": np.zeros((40, 3))}, 422, "invalid_field", "z", "z_dim is 8"),
        ({"truncation": 2}, 422, "invalid_field", "truncation", "<= 1"),
    ],
)
def test_what_the_server_refuses_is_raised_with_its_code_and_words(client, fields, status, code, field, says):
    with pytest.raises(ganserve.Refused, match=says) as caught:
        client.sample(**fields)
    assert (caught.value.status, caught.value.code, caught.value.field) == (status, code, field)


@pytest.mark.parametrize(
    "z", [np.zeros((2, 2, 2)), [[np.nan]], [["a"]], np.zeros((0, 8)), [[np.inf] * 8]], ids=str
)
def test_z_that_json_cannot_say_is_refused_here(z):
    with pytest.raises(ValueError, match="finite numbers"):
        of(drawn).sample(z=z)


def test_the_key_travels_as_a_bearer_token(monkeypatch, server):
    seen = []

    def handler(request: httpx.Request) -> httpx.Response:
        seen.append(request.headers.get("authorization"))
        return drawn(request)

    of(handler).sample()
    of(handler, api_key="s3cret").sample()
    monkeypatch.setenv("GANSERVE_API_KEY", "from-environment")
    of(handler).sample()
    assert seen == [None, "Bearer s3cret", "Bearer from-environment"]
    with Client(server.url) as one:
        assert len(one.sample().images) == 1, "a server without keys does not mind one"


@pytest.mark.parametrize("key", ["two\nlines", "clé"])
def test_a_key_that_no_header_can_carry_is_refused_without_being_shown(key):
    with pytest.raises(ValueError, match="character") as caught:
        Client(api_key=key)
    assert key not in str(caught.value)


def test_addresses_may_leave_out_http_and_have_a_path(monkeypatch):
    paths = []

    def handler(request: httpx.Request) -> httpx.Response:
        paths.append(str(request.url))
        return drawn(request)

    monkeypatch.setenv("GANSERVE_URL", "gpu-box:8000")
    Client(transport=httpx.MockTransport(handler)).sample()
    Client("https://host/gan/", transport=httpx.MockTransport(handler)).sample()
    assert paths == ["http://gpu-box:8000/v1/samples", "https://host/gan/v1/samples"]


@pytest.mark.parametrize(
    "text", ["ftp://host", "http://", "http://host/?x=1", "http://a b", "http://u:p@host", "http://[::1"]
)
def test_what_is_no_address_is_refused(text):
    with pytest.raises(ValueError, match="is no address"):
        server_url(text)


@pytest.mark.parametrize("timeout", [0, -1, float("nan"), float("inf"), 1e300])
def test_a_timeout_is_seconds_above_0_and_no_more_than_a_day(timeout):
    with pytest.raises(ValueError, match="above 0"):
        Client(timeout=timeout)
