"""Ctrl-C in a terminal reaches the process that measures engines, too."""

import fcntl
import signal

import psutil

from service.generator.engines import race
from tests.generators import Tiny
from tests.waiting import wait_until


def test_ctrl_c_ends_a_measurement_without_a_word(tmp_path, monkeypatch, capfd):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(race, "_running", None)
    file = tmp_path / "generator.onnx"
    file.write_bytes(Tiny().file())
    folder = race._folder()
    assert folder is not None
    known = psutil.Process().children()
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # it waits, if it comes so far
        race.start([file])
        wait_until(lambda: set(psutil.Process().children()) - set(known))
        for process in set(psutil.Process().children()) - set(known):
            process.send_signal(signal.SIGINT)
        assert race._running is not None
        race._running.join()
    assert capfd.readouterr().err == ""
    assert not list(folder.glob("*.json"))
