"""The service under a path of another site: a real nginx takes the path away, and every address still works."""

from urllib.parse import urljoin

import httpx
import pytest

from tests import generators
from tests.generators import Tiny
from tests.needs import needs
from tests.system.balancers.proxies import proxied
from tests.system.pages import chromium
from tests.system.serving import serving

LOCATION = "location /gan/ {{ proxy_pass http://127.0.0.1:{to}/; proxy_set_header Host $http_host; {more} }}"
PREFIX = "proxy_set_header X-Forwarded-Prefix /gan;"


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    return generators.folder(tmp_path_factory.mktemp("models"), {"tiny": Tiny(golden_samples=0).file()})


@pytest.fixture(scope="module")
def private(models, tmp_path_factory):
    """A service that knows nothing of the path."""
    with serving(tmp_path_factory.mktemp("home"), models=models, engine="fake") as server:
        yield server


def assert_addresses_work(url: str, address: str) -> None:
    """url: where the service is. address: of an image, in a reply."""
    with httpx.Client(trust_env=False, follow_redirects=True) as client:
        for path in ("bag/7.png?truncation=0.5", "t-shirt-top/3.webp", "12.png"):
            found = client.get(f"{url}/v1/models/tiny/images/{path}")
            assert found.status_code == 200
            assert str(found.url).startswith(f"{url}/v1/models/tiny@")
        assert address.startswith(f"{url}/v1/models/tiny@")
        assert client.get(address).headers["content-type"] == "image/png"
        document = f"{url}/openapi.json"
        (server,) = client.get(document).json()["servers"]
        assert urljoin(document, server["url"]) == f"{url}/"


def addressed(url: str) -> str:
    asked = {"prompt": "bag", "seed": 7, "response_format": "url"}
    reply = httpx.post(f"{url}/v1/images/generations", json=asked, trust_env=False)
    return reply.json()["data"][0]["url"]


def test_addresses_work_under_a_path_that_the_proxy_names(private, tmp_path):
    location = LOCATION.format(to=private.port, more=PREFIX)
    with proxied("nginx", tmp_path / "nginx", private.port, location) as proxy:
        assert_addresses_work(f"{proxy}/gan", addressed(f"{proxy}/gan"))


def test_addresses_work_under_the_path_of_the_public_url(models, tmp_path):
    with serving(
        tmp_path / "home", models=models, engine="fake", public_url="https://example.com/gan/"
    ) as server:
        location = LOCATION.format(to=server.port, more="")
        with proxied("nginx", tmp_path / "nginx", server.port, location) as proxy:
            address = addressed(f"{proxy}/gan")
            assert address.startswith("https://example.com/gan/v1/models/tiny@")
            assert_addresses_work(f"{proxy}/gan", address.replace("https://example.com", proxy))


def test_the_playground_and_the_reference_work_under_a_path(private, tmp_path):
    needs(chromium.where(), "chromium")
    location = LOCATION.format(to=private.port, more=PREFIX)
    with (
        proxied("nginx", tmp_path / "nginx", private.port, location) as proxy,
        chromium.chromium() as browser,
    ):
        page, failed = browser.new_page(), []
        page.on("response", lambda reply: failed.append(reply.url) if reply.status >= 400 else None)
        page.on("pageerror", lambda error: failed.append(str(error)))
        page.goto(f"{proxy}/gan/")
        page.wait_for_selector("#gallery img")
        href = page.locator("#gallery .tile").first.get_attribute("href")
        assert href is not None
        assert urljoin(page.url, href).startswith(f"{proxy}/gan/v1/models/tiny")
        page.get_by_text("API reference").click()
        operation = page.locator("details", has=page.get_by_text("/livez", exact=True))
        operation.locator("summary").click()
        with page.expect_response("**/livez") as answered:
            operation.get_by_role("button", name="Send").click()
        assert answered.value.url == f"{proxy}/gan/livez"
        assert answered.value.status == 200
        assert failed == []
