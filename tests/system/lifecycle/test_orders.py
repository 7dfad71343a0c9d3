"""Who may order a service without keys: its own user, and nobody through a proxy or from a page."""

import http.server
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import psutil
import pytest

from tests import generators
from tests.generators import Tiny
from tests.needs import needs
from tests.system.balancers.proxies import PROXIES, proxied
from tests.system.pages import chromium
from tests.system.serving import ROOT, Server, serving
from tests.waiting import wait_until

ORDERS = {
    "/v1/admin/drain": "",
    "/v1/admin/reload": "{}",
    "/v1/admin/models/tiny": '{"version": "0"}',
    "/v1/admin/models/tiny/retire": '{"version": "0"}',
    "/v2/repository/models/tiny/load": "{}",
    "/v2/repository/models/tiny/unload": "{}",
}
DISGUISES = [
    {},
    {"host": "127.0.0.1:3000"},
    {"host": "localhost", "x-forwarded-for": "127.0.0.1", "forwarded": "for=127.0.0.1"},
    {"authorization": "Bearer token", "x-api-key": "token"},
]


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    return generators.folder(tmp_path_factory.mktemp("models"), {"tiny": Tiny(golden_samples=0).file()})


@pytest.fixture(scope="module")
def open_server(models, tmp_path_factory):
    home = tmp_path_factory.mktemp("home")
    with serving(home, models=models, engine="fake", workers=2) as server:
        yield server


def admin(server: Server, *arguments: str, url: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "service.admin", "--url", url or server.url, *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
    )


def assert_nothing_was_ordered(server: Server) -> None:
    assert server.answers("/readyz")
    told = admin(server, "models")
    assert told.returncode == 0, told.stderr
    assert '"change":1,' in told.stdout


@pytest.mark.parametrize("name", PROXIES)
def test_nobody_orders_through_a_proxy_on_the_same_machine(open_server, tmp_path, name):
    with (
        proxied(name, tmp_path / name, open_server.port) as url,
        httpx.Client(base_url=url, trust_env=False) as client,
    ):
        assert client.get("/readyz").status_code == 200
        for disguise in DISGUISES:
            assert client.get("/v1/admin/models", headers=disguise).status_code == 403
            for path, body in ORDERS.items():
                refused = client.post(
                    path, content=body, headers={"content-type": "application/json"} | disguise
                )
                assert refused.status_code == 403, (path, disguise)
        unfound = admin(open_server, "drain", url=url)
        assert unfound.returncode == 1
        assert "no service at" in unfound.stderr, "the token is for the service's own address"
    assert_nothing_was_ordered(open_server)


@contextmanager
def site(page: str) -> Iterator[str]:
    """Some other site that shows this page."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("content-type", "text/html")
            self.end_headers()
            self.wfile.write(page.encode())

        def log_message(self, format: str, *args: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield f"http://localhost:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


PAGE = """<!DOCTYPE html>
<iframe name="out"></iframe>
<form method="post" target="out" enctype="text/plain"><input name="x"></form>
<script>
async function attack(url, orders, token) {
  const sent = [];
  for (const [path, body] of Object.entries(orders)) {
    const simple = { method: "POST", mode: "no-cors", body };
    await fetch(url + path, simple);
    navigator.sendBeacon(url + path, body);
    for (const headers of [{ "content-type": "application/json" }, { authorization: `Bearer ${token}` }]) {
      await fetch(url + path, { method: "POST", body, headers }).then(() => sent.push(path), () => {});
    }
    const form = document.forms[0];
    form.action = url + path;
    const shown = new Promise((resolve) => document.querySelector("iframe").addEventListener("load", resolve, { once: true }));
    form.submit();
    await shown;
  }
  return sent;
}
</script>
"""


def test_a_page_of_another_origin_gives_no_order(open_server):
    needs(chromium.where(), "chromium")
    before = open_server.metric("ganserve_requests_total", code="403")
    token = open_server.token["authorization"].removeprefix("Bearer ")
    with site(PAGE) as url, chromium.chromium() as browser:
        page = browser.new_page()
        page.goto(url)
        read = page.evaluate(
            "([url, orders, token]) => attack(url, orders, token)", [open_server.url, ORDERS, token]
        )
        assert read == [], "and it reads no reply"
    # A request without a preflight, a beacon and a form for each order have arrived.
    wait_until(lambda: open_server.metric("ganserve_requests_total", code="403") >= before + 3 * len(ORDERS))
    assert_nothing_was_ordered(open_server)


def test_no_other_user_of_the_machine_controls_its_processes(open_server):
    listening = {
        connection.laddr.port
        for process in open_server.tree()
        for connection in process.net_connections("inet")
        if connection.status == psutil.CONN_LISTEN
    }
    assert listening == {open_server.port}, "BentoML's parent takes commands from whoever reaches its ports"
    status = (open_server.folder / "token").stat()
    assert (status.st_mode & 0o777, open_server.folder.stat().st_mode & 0o777) == (0o600, 0o700)
    assert open_server.folder.parent.stat().st_mode & 0o777 == 0o700


def test_its_own_user_orders_by_the_names_of_the_machine(models, tmp_path):
    with serving(tmp_path / "home", models=models, engine="fake", workers=2) as server:
        for host in ("127.0.0.1", "localhost"):
            told = admin(server, "reload", url=f"http://{host}:{server.port}")
            assert (told.returncode, told.stderr) == (0, "")
        assert '"change":3,' in told.stdout
        refused = admin(server, "retire", "tiny", "0")
        assert refused.returncode == 1
        assert "unknown_model" in refused.stderr
        (version,) = server.get("/v1/models/tiny").json()["versions"]
        assert admin(server, "direct", "tiny", version["version"]).returncode == 0
        assert '"draining":true' in admin(server, "drain").stdout
        wait_until(lambda: server.process.poll() is not None)
        assert server.process.returncode == 0
