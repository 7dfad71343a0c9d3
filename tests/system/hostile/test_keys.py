"""API keys, quotas and TLS at a real server, as clients meet them."""

import re
import shutil
import ssl
import subprocess
import warnings
from typing import Any

import httpx
import openai
import pytest
import trustme
from playwright.sync_api import expect

from ganserve import Client
from ganserve.errors import Refused
from service.web.pages.pulse import PULSE
from service.web.routes import ROUTES
from tests.needs import needs
from tests.system.pages.chromium import chromium, where
from tests.system.serving import ROOT, free_port, serving
from tests.waiting import wait_until

with warnings.catch_warnings(action="ignore", category=DeprecationWarning):  # two of BentoML's own
    from bentoml import SyncHTTPClient

SAMPLE, METRICS, SLOW = (f"{name}-0123456789abcdef" for name in ("sample", "metrics", "slow"))
KEYS = f"""
[[keys]]
name = "shop"
key = "{SAMPLE}"

[[keys]]
name = "slow"
key = "{SLOW}"
requests_per_minute = 2
"""


@pytest.fixture(scope="module")
def authority():
    return trustme.CA(key_type=trustme.KeyType.ECDSA)


@pytest.fixture(scope="module")
def trust(authority):
    context = ssl.create_default_context()
    authority.configure_trust(context)
    return context


@pytest.fixture(scope="module")
def kept(small_models, tmp_path_factory, authority):
    """A server over TLS, with keys from a file and from the environment."""
    folder = tmp_path_factory.mktemp("kept")
    certificate = authority.issue_cert("127.0.0.1")
    certificate.private_key_pem.write_to_path(str(folder / "key.pem"))
    certificate.cert_chain_pems[0].write_to_path(str(folder / "cert.pem"))
    (folder / "keys.toml").write_text(KEYS)
    flags = ("--ssl-certfile", str(folder / "cert.pem"), "--ssl-keyfile", str(folder / "key.pem"))
    settings = {"api_keys_file": folder / "keys.toml", "api_keys": f"prometheus:{METRICS}:metrics"}
    with serving(
        folder / "home", models=small_models, default_model="tiny", engine="fake", flags=flags, **settings
    ) as one:
        yield one


@pytest.fixture
def client(kept, trust):
    with httpx.Client(base_url=kept.url, verify=trust, trust_env=False) as one:
        yield one


def bearer(key: str) -> dict[str, str]:
    return {"authorization": f"Bearer {key}"}


def test_the_certificate_is_the_one_that_was_given_and_http_is_not_spoken(kept, client):
    assert client.get("/livez").text == "alive\n"
    with (
        httpx.Client(base_url=kept.url, trust_env=False) as stranger,
        pytest.raises(httpx.ConnectError, match="CERT"),
    ):
        stranger.get("/livez")
    with httpx.Client(trust_env=False) as plain, pytest.raises(httpx.RemoteProtocolError):
        plain.get(kept.url.replace("https", "http") + "/livez")


def test_what_lives_and_the_page_are_open_and_the_rest_is_not(client):
    for path in (
        "/livez",
        "/healthz",
        "/readyz",
        "/v2/health/live",
        "/v2/health/ready",
        "/",
        "/docs",
        "/openapi.json",
    ):
        assert client.get(path).status_code == 200, path
    assert client.get("/static_content/swagger-ui.css").headers["x-content-type-options"] == "nosniff"
    for path in ("/v1/models", "/metrics", "/v2", "/schema.json", "/v1/models/tiny/images/bag/1.png"):
        assert client.get(path).status_code == 401, path
    for path in ("/v1/samples", "/sample", "/v1/interpolations"):
        assert client.post(path, json={}).status_code == 401, path
    assert client.post("/v1/samples", json={}, headers=bearer(METRICS)).status_code == 403
    assert client.get("/metrics", headers=bearer(METRICS)).status_code == 200
    assert client.get("/metrics", headers=bearer(SAMPLE)).status_code == 403


def test_the_shipped_client_takes_a_key(kept, trust):
    def ours(key: str) -> Client:
        return Client(kept.url, api_key=key, transport=httpx.HTTPTransport(verify=trust))

    with ours(SAMPLE) as good:
        assert good.sample(label="Sneaker", n=3, seed=1).images.shape == (3, 8, 8, 1)
    with ours("wrong-0123456789abcdef") as bad, pytest.raises(Refused) as caught:
        bad.sample()
    assert (caught.value.status, caught.value.code) == (401, "invalid_api_key")


def test_openais_client_takes_a_key_and_knows_the_refusals(kept, trust):
    def theirs(key: str) -> openai.OpenAI:
        http: Any = httpx.Client(verify=trust, trust_env=False)
        return openai.OpenAI(base_url=f"{kept.url}/v1", api_key=key, max_retries=0, http_client=http)

    with theirs(SAMPLE) as good:
        assert len(good.images.generate(model="tiny", prompt="bag", n=2).data or ()) == 2
    with theirs("wrong") as bad, pytest.raises(openai.AuthenticationError) as caught:
        bad.images.generate(model="tiny", prompt="bag")
    assert caught.value.code == "invalid_api_key"
    with theirs(METRICS) as other, pytest.raises(openai.PermissionDeniedError):
        other.images.generate(model="tiny", prompt="bag")


def test_bentomls_client_takes_a_key(kept, authority, monkeypatch, tmp_path):
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    one: Any = SyncHTTPClient(kept.url, token=SAMPLE)
    with one:
        assert one.sample(label="Bag", n=4, seed=1).shape == (4, 8, 8, 1)
    one._temp_dir.cleanup()  # it leaves that to the garbage collector, with a warning


def test_the_playground_asks_for_a_key_and_keeps_it_for_the_tab(kept):
    needs(where(), "chromium")
    asked: list[str] = []
    with chromium() as browser:
        page = browser.new_context(ignore_https_errors=True).new_page()
        page.on("request", lambda request: asked.append(request.url))
        page.clock.install()
        page.goto(f"{kept.url}/#model=tiny&n=12")
        field, tiles = page.get_by_label("API key"), page.locator("#gallery .tile")
        expect(page.locator("#gallery-words")).to_contain_text("An API key is needed")
        field.fill("wrong-0123456789abcdef")
        field.press("Enter")
        expect(page.locator("#gallery-words")).to_contain_text("not known here")
        field.fill(SAMPLE)
        field.press("Enter")
        expect(tiles).to_have_count(12)
        expect(page.locator("#gallery-words")).to_be_hidden()
        page.reload()
        expect(tiles).to_have_count(12)
        expect(page.locator("#film img").first).to_be_visible()
        expect(field).to_be_hidden()
        assert SAMPLE not in page.url
        page.clock.run_for(20_000)  # the strip would ask once a second
        assert sum(url.endswith("/metrics") for url in asked) <= 4, "a key that is not for metrics asks once"


def test_a_quota_holds_on_the_wire_and_is_metered(client):
    replies = [client.post("/v1/samples", json={"n": 3}, headers=bearer(SLOW)) for _ in range(3)]
    assert [reply.status_code for reply in replies] == [200, 200, 429]
    assert replies[2].json()["code"] == "quota_exceeded"
    assert 1 <= int(replies[2].headers["retry-after"]) <= 30

    def metered() -> str:
        return client.get("/metrics", headers=bearer(METRICS)).text

    wait_until(lambda: 'ganserve_key_images_total{key="slow"} 6.0' in metered())
    assert 'ganserve_key_requests_total{code="429",key="slow"} 1.0' in metered()
    assert 'ganserve_refused_total{reason="quota"}' in metered()


def test_no_log_and_no_answer_holds_a_key(kept, client):
    """Neither of a good request, nor of a refused one, nor of bytes that are no HTTP."""
    said = ""
    for key in (SAMPLE, METRICS, "wrong-0123456789abcdef"):
        for header in (bearer(key), {"x-api-key": key}, {"authorization": f"Basic {key}"}):
            for route in ROUTES:
                reply = client.request(
                    "HEAD" if route.path == PULSE else route.method,  # a stream without end
                    route.path.format(model="tiny", label="bag", file="1.png", version="1"),
                    headers=header,
                )
                said += reply.text + repr(reply.headers)
    assert not any(key in said + kept.log for key in (SAMPLE, METRICS, SLOW, "wrong-0123456789abcdef"))
    assert "API keys: shop, slow, prometheus" in kept.log


def test_a_cache_that_asks_first_keeps_images_for_those_who_have_a_key(kept, tmp_path):
    """The nginx of docs/security.md, as it stands there."""
    needs(shutil.which("nginx"), "nginx")
    (recipe,) = re.findall(r"```nginx\n(.*?)```", (ROOT / "docs/security.md").read_text(), re.DOTALL)
    port = free_port()
    recipe = recipe.replace("http://ganserve", f"https://127.0.0.1:{kept.port}")
    temporary = "".join(
        f"{kind}_temp_path {tmp_path};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    (tmp_path / "nginx.conf").write_text(
        f"daemon off; pid {tmp_path}/pid; error_log {tmp_path}/error.log; events {{}} http {{ access_log off; {temporary}"
        f"proxy_cache_path {tmp_path}/cache keys_zone=ganserve_images:1m; server {{ listen 127.0.0.1:{port}; {recipe} }} }}"
    )
    nginx = subprocess.Popen(["nginx", "-c", tmp_path / "nginx.conf", "-e", tmp_path / "error.log"])
    try:
        path = f"/v1/models/tiny@{kept_version(kept)}/images/bag/7.png"
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False) as http:

            def ask(key: str | None = None) -> httpx.Response:
                return http.get(path, headers={} if key is None else bearer(key))

            wait_until(lambda: answers(ask))
            first = ask(SAMPLE)
            drawn = images_drawn(kept)
            assert ask(SAMPLE).content == first.content
            assert [ask(key).status_code for key in (None, "wrong-0123456789abcdef", METRICS)] == [
                401,
                401,
                403,
            ]
            assert ask().headers["www-authenticate"].startswith("Bearer")
            assert images_drawn(kept) == drawn, "the second came from nginx"
    finally:
        nginx.terminate()
        nginx.wait()


def kept_version(kept) -> str:
    return get(kept, "/v1/models/tiny", SAMPLE).json()["version"]


def images_drawn(kept) -> str:
    (line,) = re.findall(r'ganserve_images_total\{model="tiny"\} .*', get(kept, "/metrics", METRICS).text)
    return line


def get(kept, path: str, key: str) -> httpx.Response:
    with kept.client(headers=bearer(key)) as client:
        return client.get(path)


def answers(ask) -> bool:
    try:
        return ask().status_code == 401
    except httpx.ConnectError:
        return False
