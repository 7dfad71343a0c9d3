"""How a service says, in one line and without a traceback, that it can't start or go on."""

import signal
import subprocess

from service.machine import workers
from tests.system.serving import command, environment, events, free_port, serving


def test_a_port_that_is_taken_and_a_worker_that_was_killed_are_a_line_each(small_models, tmp_path):
    container = {"BENTOML_CONTAINERIZED": "true"}
    settings = {"models": small_models, "engine": "fake"}
    with serving(tmp_path / "one", variables=container, **settings) as server:
        second = subprocess.run(
            command(server.port),
            env=environment(tmp_path / "two", settings),
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert second.returncode == 1
        (line,) = (one for one in events(second.stderr) if one["level"] in ("error", "critical"))
        assert f"can't listen on 127.0.0.1:{server.port}: Address already in use" in line["message"]
        (worker,) = (one for one in server.workers() if one.name() == workers.NAME)
        worker.send_signal(signal.SIGKILL)
        assert server.process.wait(40) == 1
        last = server.events[-1]
        assert (last["event"], "the worker has ended" in last["message"]) == ("process_ends", True)
        assert "Traceback" not in second.stderr + server.log


def test_two_protocols_on_one_port_are_refused_in_a_line(tmp_path):
    port = free_port()
    settings = {"models": tmp_path, "grpc_port": port}
    done = subprocess.run(
        command(port), env=environment(tmp_path, settings), capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 1
    (line,) = (one for one in events(done.stderr) if one["level"] == "critical")
    assert line["message"] == f"GANSERVE_GRPC_PORT is {port}: that is the port of HTTP."
