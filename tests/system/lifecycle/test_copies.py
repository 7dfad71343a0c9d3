"""Workers are copies of the parent, which share nothing with it but what it had imported."""

import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from service.machine.workers import NAME
from tests.needs import allowed
from tests.system.serving import environment, free_port, serving
from tests.waiting import wait_until


@pytest.fixture(scope="module", autouse=True)
def linux():
    allowed(sys.platform == "linux", "only Linux's workers are copies")


@pytest.fixture(scope="module")
def pair(small_models, tmp_path_factory):
    with serving(
        tmp_path_factory.mktemp("pair"), models=small_models, default_model="tiny", workers=2
    ) as one:
        yield one


def test_they_are_known_by_their_name_and_each_has_metrics_of_its_own(pair):
    workers = [one for one in pair.workers() if one.name() == NAME]
    assert len(workers) == 2
    pids = {file.stem.rpartition("_")[2] for file in pair.folder.rglob("counter_*.db")}
    assert pids == {str(one.pid) for one in workers}


def test_they_have_none_of_the_parents_sockets(pair):
    parent = psutil.Process(pair.process.pid)
    orders = {str(one.laddr) for one in parent.net_connections("unix") if one.laddr}
    assert any(address.endswith("control") for address in orders)
    for worker in pair.workers():
        assert not orders & {str(one.laddr) for one in worker.net_connections("unix")}


def test_their_handlers_of_signals_are_not_the_parents(pair):
    """SIGWINCH, SIGQUIT and others: circus would obey them."""

    def caught(pid: int, kind: str = "SigCgt") -> int:
        (line,) = [line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if kind in line]
        return int(line.split()[1], 16)

    own = {signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD}
    handled = {number for number in signal.valid_signals() if number < 32 and number not in own}
    assert any(caught(pair.process.pid) >> number - 1 & 1 for number in handled)
    for worker in pair.workers():
        assert not [
            number for number in handled if caught(worker.pid) >> number - 1 & 1 and number != signal.SIGUSR1
        ]
        ignored = caught(worker.pid, "SigIgn")
        assert all(ignored >> number - 1 & 1 for number in (signal.SIGPIPE, signal.SIGXFSZ)), (
            "as Python begins"
        )


def test_code_that_is_being_developed_is_imported_anew(small_models, tmp_path):
    port = free_port()
    words = [
        sys.executable,
        "-m",
        "bentoml",
        "serve",
        "--development",
        "--host",
        "127.0.0.1",
        "--port",
        str(port),
    ]
    variables = environment(tmp_path, {"models": small_models, "workers": 1})
    with subprocess.Popen(
        words, env=variables, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as process:
        try:
            parent = psutil.Process(process.pid)

            def begun() -> list[str]:
                return [word for one in parent.children(recursive=True) for word in one.cmdline()]

            wait_until(lambda: "_bentoml_impl.worker.service" in begun(), seconds=60)
        finally:
            process.send_signal(signal.SIGINT)
