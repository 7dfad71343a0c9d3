"""A file of 70 MB is loaded: whoever asks whether the worker lives, or what the model is, is answered meanwhile."""

import statistics
import time

from benchmarks import models
from tests import generators
from tests.system.serving import serving

LONGEST_SECONDS = 1.0
"""Of a machine that does other things, too; loading takes several times that, and on the event loop nobody would be answered."""


def test_the_worker_answers_while_a_large_file_is_loaded(tmp_path):
    folder = generators.folder(tmp_path / "models", {"large": models.large((1024, 768, 256))})
    assert (folder / "large/generator.onnx").stat().st_size > 70e6
    took: list[float] = []
    with serving(tmp_path / "home", until="/livez", models=folder, engine="onnxruntime") as server:
        begun = time.monotonic()
        with server.client() as client:
            while not server.answers("/readyz"):
                asked = time.monotonic()
                assert client.get("/livez").status_code == 200
                took.append(time.monotonic() - asked)
                time.sleep(0.02)
                assert asked < begun + 120, "it never was ready"
        seconds = time.monotonic() - begun
        assert server.samples(seed=1, label=0).status_code == 200
    print(f"{seconds:.1f} s until it was ready, and at most {max(took):.3f} s without an answer")
    assert len(took) > 10
    assert statistics.median(took) < 0.1
    assert max(took) < LONGEST_SECONDS
