import os
import socket
import subprocess
import sys

import pytest

from service.machine import process
from tests.system.serving import ROOT


def test_a_port_is_taken_while_somebody_listens_there():
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
        assert process.is_taken(port)
        assert ("127.0.0.1", port) in process.listening()
    assert not process.is_taken(port)


@pytest.mark.parametrize(("said", "threads"), [({}, "1"), ({"OPENBLAS_NUM_THREADS": "2"}, "2")])
def test_numpy_has_no_threads_of_its_own_in_a_server_unless_it_is_told_to(said, threads):
    code = "import service.app, threadpoolctl; print(threadpoolctl.threadpool_info()[0]['num_threads'])"
    shown = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env=os.environ | said, capture_output=True, text=True
    )
    assert shown.stdout.strip() == str(min(int(threads), os.cpu_count() or 1)), shown.stderr
