"""A clock that somebody sets while the service runs: only what tells the time of day may go by it.

All of its processes have a `time.time` that is set by a file. libfaketime, which would do the same to C, can't do without
changing the monotonic clock, too, or breaking Python's sleep.
"""

import signal
import time
from concurrent.futures import ThreadPoolExecutor

from service.machine import workers
from tests import generators
from tests.generators import Tiny
from tests.system.serving import serving
from tests.waiting import wait_until

CUSTOM = """
import os, time
real = time.time
def pretended():
    with open(os.environ["PRETENDED"]) as file:
        return real() + float(file.read())
time.time = pretended
time.time_ns = lambda: int(pretended() * 1e9)
"""
HOUR = 3600
LOOKS_SECONDS = 10
"""As often as that BentoML's parent process looks after its workers."""
SHOP, SLOW = ({"authorization": f"Bearer {name}-0123456789abcdef"} for name in ("shop", "slow"))
KEYS = """
[[keys]]
name = "shop"
key = "shop-0123456789abcdef"
scopes = ["sample", "metrics"]

[[keys]]
name = "slow"
key = "slow-0123456789abcdef"
requests_per_minute = 1
"""


def test_a_clock_that_jumps_moves_no_deadline_and_no_quota_and_workers_are_looked_after(tmp_path):
    clock, faults, keys = (tmp_path / name for name in ("clock", "faults", "keys.toml"))
    faults.write_text("0.02")
    keys.write_text(KEYS)

    def jump(seconds: int) -> None:
        (tmp_path / "new").write_text(f"{seconds}")
        (tmp_path / "new").replace(clock)

    jump(0)
    (tmp_path / "path").mkdir()
    (tmp_path / "path/sitecustomize.py").write_text(CUSTOM)
    variables = {
        "PRETENDED": str(clock),
        "PYTHONPATH": str(tmp_path / "path"),
        "BENTOML_CONTAINERIZED": "true",
    }
    models = generators.folder(tmp_path / "models", {"tiny": Tiny(golden_samples=0).file()})
    settings = {
        "models": models,
        "engine": "fake",
        "fake_faults": faults,
        "threads": 1,
        "api_keys_file": keys,
    }
    with (
        serving(tmp_path / "home", variables=variables, **settings) as server,
        server.client(headers=SHOP) as client,
        ThreadPoolExecutor(1) as pool,
    ):

        def ask(**fields):
            return client.post("/v1/samples", json=fields)

        assert client.post("/v1/samples", json={}, headers=SLOW).status_code == 200
        for seconds in (HOUR, -HOUR):
            faults.write_text("0.5")
            under_way = pool.submit(ask, seed=1, timeout=5)
            time.sleep(0.1)  # the pass has begun
            jump(seconds)
            created = client.post("/v1/images/generations", json={"prompt": "0"}).json()["created"]
            assert abs(created - time.time() - seconds) < 60, "the service sees it"
            assert under_way.result().status_code == 200
            late = ask(seed=1, timeout=0.2)
            assert (late.status_code, late.elapsed.total_seconds() < 2) == (504, True)
            faults.write_text("0.02")
            refused = client.post("/v1/samples", json={}, headers=SLOW)
            assert (refused.status_code, 0 < int(refused.headers["retry-after"]) <= 60) == (429, True)
        counted = [line for line in client.get("/metrics").text.splitlines() if "_seconds_sum" in line]
        assert len(counted) > 3
        assert all(0 <= float(line.rpartition(" ")[2]) < 60 for line in counted), counted

        set_back = time.monotonic()
        wait_until(lambda: time.monotonic() > set_back + LOOKS_SECONDS + 1)  # it has looked since
        (worker,) = (one for one in server.workers() if one.name() == workers.NAME)
        worker.send_signal(signal.SIGKILL)
        wait_until(lambda: server.process.poll() is not None and not server.tree(), seconds=40)
        assert server.process.returncode == 1
