"""Two replicas behind a real nginx with the shipped configuration: nobody notices what happens to one of them."""

import signal
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psutil
import pytest

from service.machine.workers import NAME
from tests import generators
from tests.generators import Tiny
from tests.system.balancers.balancer import Balancer, Load, asked
from tests.system.serving import Server, free_port
from tests.waiting import wait_until

TINY = Tiny()
# Of two. Whichever is slower for want of a core is given less: that is what least_conn is for.
LEAST_SHARE = 0.1


class Replica:
    """A server on a port of its own, which is started again there as an orchestrator would."""

    def __init__(self, home: Path, models: Path) -> None:
        self.home, self.models, self.port = home, models, free_port()
        self.starts = 0
        self.start()

    def start(self, models: Path | None = None) -> None:
        self.starts += 1
        self.server = Server(
            # One folder a start: what an earlier one leaves on is no longer looked at.
            self.home / str(self.starts),
            {"models": models or self.models, "engine": "onnxruntime", "threads": 1, "drain_seconds": 1},
            port=self.port,
            variables={"BENTOML_CONTAINERIZED": "true"},
        )

    def wait(self, path: str = "/readyz", status: int = 200) -> None:
        wait_until(lambda: self.server.answers(path, status), seconds=60)

    def end(self) -> None:
        for process in self.server.tree():
            process.kill()
        self.server.process.wait()


@pytest.fixture(scope="module")
def replicas(tmp_path_factory):
    models = generators.folder(tmp_path_factory.mktemp("models"), {"tiny": TINY.file()})
    both = [Replica(tmp_path_factory.mktemp("replica"), models) for _ in range(2)]
    try:
        for replica in both:
            replica.wait()
        yield both
    finally:
        for replica in both:
            replica.end()


@pytest.fixture(scope="module")
def nginx(replicas, tmp_path_factory):
    with Balancer(tmp_path_factory.mktemp("nginx"), [replica.port for replica in replicas]).running() as one:
        yield one


@pytest.fixture(autouse=True)
def _from_here(nginx):
    nginx.logged()


def shares(nginx: Balancer) -> dict[int, float]:
    """Which part of the requests that were answered since the last look each port answered."""
    counted = {port: n for (port, status), n in asked(nginx.logged()).items() if status == "200"}
    return {port: n / sum(counted.values()) for port, n in counted.items()}


def its_share(nginx: Balancer, load: Load, replica: Replica) -> float:
    """What part the replica answers once it answers again. nginx tries it every few seconds."""
    nginx.logged()
    wait_until(lambda: load.lost or asked(nginx.logged())[replica.port, "200"])
    load.more(500)
    assert load.lost == []
    return shares(nginx)[replica.port]


def test_a_replica_that_is_not_ready_is_left_out_until_it_is(nginx, replicas, tmp_path):
    replica = replicas[1]
    replica.server.stop()
    replica.start(generators.folder(tmp_path / "broken", {"tiny": TINY.file()[:-100]}))
    replica.wait("/livez")
    replica.wait("/readyz", 503)
    with Load(nginx) as load:
        wait_until(lambda: load.lost or asked(nginx.logged())[replica.port, "503"])
        load.more(500)
        counted = asked(nginx.logged())
        assert counted[replica.port, "200"] == 0
        assert counted[replica.port, "503"] < 100, "it is only tried now and then"
        replica.server.stop()
        replica.start()
        replica.wait()
        assert its_share(nginx, load, replica) > LEAST_SHARE
    assert load.lost == []


def test_requests_are_shared_between_the_replicas(nginx, replicas):
    with Load(nginx) as load:
        load.more(500)
    assert load.lost == []
    counted = shares(nginx)
    assert all(counted[replica.port] > LEAST_SHARE for replica in replicas), counted


def test_a_request_keeps_its_name_and_one_without_is_given_one(nginx):
    parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    with nginx.client() as client:
        named = client.post(
            "/v1/samples", json={"seed": 1}, headers={"x-request-id": "mine-1", "traceparent": parent}
        )
        nameless = client.post("/v1/samples", json={"seed": 1})
        malformed = client.post("/v1/samples", json={"seed": 1}, headers={"x-request-id": "two words"})
    assert named.headers.get_list("x-request-id") == ["mine-1"]
    given = nameless.headers["x-request-id"]
    assert len(given) == 32
    assert malformed.headers["x-request-id"] not in ("two words", given)
    names = [(line["request_id"], line["traceparent"]) for line in nginx.requests(3)]
    assert names == [("mine-1", parent), (given, ""), (malformed.headers["x-request-id"], "")]


def test_json_is_compressed_images_are_not_and_metrics_and_orders_are_not_for_clients(nginx):
    with nginx.client() as client:
        document = client.get("/openapi.json")
        image = client.post("/v1/samples", json={"n": 64})
        assert (document.headers["content-encoding"], "content-encoding" in image.headers) == ("gzip", False)
        for path in ("/metrics", "/v1/admin/models"):
            refused = client.get(path)
            assert (refused.status_code, refused.json()["code"]) == (404, "unknown_route")
            assert refused.headers["content-type"] == "application/problem+json"
        status = client.get(f"http://127.0.0.1:{nginx.status_port}/status")
        assert "Active connections" in status.text


def test_every_address_in_a_reply_works_at_the_port_where_clients_come_in(nginx):
    with nginx.client(follow_redirects=True) as client:
        found = client.get("/v1/models/tiny/images/Bag/5.png")
        assert (found.status_code, found.url.port) == (200, nginx.port)
        asked = {"prompt": "bag", "seed": 5, "response_format": "url"}
        (one,) = client.post("/v1/images/generations", json=asked).json()["data"]
        assert one["url"] == str(found.url)
        nameless = socket.create_connection(("127.0.0.1", nginx.port))
        nameless.sendall(b"GET /livez HTTP/1.0\r\n\r\n")
        with nameless, nameless.makefile("rb") as reply:
            assert b" 200 " in reply.readline(), "HTTP/1.0 has no Host"


def test_the_log_has_what_failed_or_was_slow_and_few_of_the_rest(tmp_path, replicas):
    replica = replicas[0]
    with Balancer(tmp_path / "nginx", [replica.port], logged="1%").running() as few, few.client() as client:
        for _ in range(200):
            assert client.get("/livez").status_code == 200
        assert client.get("/v1/models/none").status_code == 404
        with ThreadPoolExecutor(1) as pool:
            (worker,) = replica.server.workers()
            worker.suspend()
            try:
                slow = pool.submit(client.post, "/v1/samples", json={"seed": 1})
                wait_until(lambda: few.busy() > 0)
                begun = time.monotonic()
                wait_until(lambda: time.monotonic() - begun > 1.1)
            finally:
                worker.resume()
            assert slow.result().status_code == 200
        lines: list[dict[str, Any]] = []
        wait_until(lambda: lines.extend(few.logged()) or any(line["seconds"] >= 1 for line in lines))
    assert {"/v1/models/none", "/v1/samples"} <= {line["request"].split()[1] for line in lines}
    assert len(lines) < 50, "of two hundred that went well"


def test_a_body_that_is_too_large_is_refused_before_a_replica_is_asked(nginx):
    with nginx.client() as client:
        refused = client.post("/v1/samples", content=b" " * (4 * 2**20 + 1))
    assert (refused.status_code, refused.json()["code"]) == (413, "body_too_large")
    assert refused.headers["content-type"] == "application/problem+json"
    assert [line["replica"] for line in nginx.requests(1)] == [""]


def image_url(client, seed: int) -> str:
    """The versioned address of an image, which the other one leads to."""
    first = client.get(f"/v1/models/tiny/images/Bag/{seed}.png")
    return first.request.url.join(first.headers["location"]).raw_path.decode()


def test_an_image_is_drawn_once_and_then_served_without_a_replica(nginx, replicas):
    with nginx.client() as client, ThreadPoolExecutor(8) as pool:
        url = image_url(client, 1)
        nginx.requests(1)
        workers = [worker for replica in replicas for worker in replica.server.workers()]
        for worker in workers:
            worker.suspend()
        waiting = [pool.submit(client.get, url) for _ in range(8)]
        try:
            wait_until(lambda: nginx.busy() >= 8)
        finally:
            for worker in workers:
                worker.resume()
        first = [one.result() for one in waiting]
        assert {(reply.status_code, reply.content) for reply in first} == {(200, first[0].content)}
        assert sum(asked(nginx.requests(8)).values()) == 1, "one fetched it, the others waited for it"
        again = client.get(url, headers={"x-request-id": "mine-2"})
        assert (again.content, again.headers["x-cache"]) == (first[0].content, "HIT")
        assert again.headers.get_list("x-request-id") == ["mine-2"]
        assert again.headers["cache-control"] == "public, max-age=31536000, immutable"
        known = client.get(url, headers={"if-none-match": again.headers["etag"]})
        assert (known.status_code, known.content) == (304, b"")
        assert sum(asked(nginx.requests(2)).values()) == 0


def test_only_what_never_changes_and_needs_no_key_is_kept(nginx):
    with nginx.client() as client:
        url = image_url(client, 2)
        for _ in range(2):
            client.get("/v1/models/tiny/images/Bag/2.png")
            client.get(url + "?truncation=2")
            client.get(url, headers={"authorization": "Bearer mine"})
        assert [status for _, status in asked(nginx.requests(7)).elements()].count("422") == 2
        assert client.get(url).headers["x-cache"] == "MISS"


@pytest.mark.parametrize("victim", ["all of it", "its worker", "its parent"])
def test_a_replica_killed_under_load_costs_no_request(nginx, replicas, victim):
    replica = replicas[0]
    parent = psutil.Process(replica.server.process.pid)
    (worker,) = [one for one in parent.children() if one.name() == NAME]
    killed = {
        "all of it": [parent, *parent.children(recursive=True)],
        "its worker": [worker],
        "its parent": [parent],
    }
    with Load(nginx) as load:
        for process in killed[victim]:
            process.send_signal(signal.SIGKILL)
        # In a container nobody but the orchestrator starts it again, and only once all of it has ended.
        wait_until(
            lambda: replica.server.process.poll() is not None and not replica.server.tree(), seconds=40
        )
        load.more()
        replica.start()
        replica.wait()
        assert its_share(nginx, load, replica) > LEAST_SHARE
    assert load.lost == []


def test_all_replicas_restarted_one_after_another_under_load_cost_no_request(nginx, replicas):
    with Load(nginx) as load:
        for replica in replicas:
            replica.server.process.send_signal(signal.SIGTERM)
            assert replica.server.process.wait(30) == 0
            replica.start()
            replica.wait()
            load.more()
    assert load.lost == []


def test_known_images_are_served_without_any_replica_and_the_rest_is_told_to_come_back(nginx, replicas):
    with nginx.client() as client:
        known, unknown = image_url(client, 3), image_url(client, 4)
        drawn = client.get(known)
        for replica in replicas:
            replica.server.stop()
        assert client.get(known).content == drawn.content
        lost = client.get(unknown)
        assert (lost.status_code, lost.json()["code"], lost.headers["retry-after"]) == (
            503,
            "no_replica",
            "1",
        )
        assert client.post("/v1/samples", json={}).status_code == 503
