"""Who is measured, and how each is started."""

import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
VENVS = ROOT / "benchmarks" / ".venvs"

ONNXRUNTIME = ("onnxruntime", "fp32")


@dataclass(frozen=True)
class Server:
    """One row of the table; `{port}` in the command is filled in."""

    name: str
    venv: str | None
    """Name of its requirements file under peers/; None: ganserve, from the environment that runs this."""
    command: Sequence[str]
    workers: int = 1
    """0, of ganserve: no setting at all, for engine and precision neither."""
    max_batch: int = 64
    """Requests in one batch, where the server batches; ganserve chooses by itself."""
    wait_ms: int = 0
    openvino: bool = False
    """On OpenVINO, in the precision that ganserve picks by default, instead of onnxruntime in fp32."""

    def start(self, port: int) -> list[str]:
        """The command line."""
        python = str(VENVS / self.venv / "bin/python") if self.venv else sys.executable
        return [python, *(part.format(port=port) for part in self.command)]


_GANSERVE = ("-m", "bentoml", "serve", "--host", "127.0.0.1", "--port", "{port}")
_MOSEC = ("-m", "benchmarks.peers.mosec_batching", "--address", "127.0.0.1", "--port", "{port}")
_MOSEC += ("--timeout", "60000", "--log-level", "error")
_LITSERVE = ("-m", "benchmarks.peers.litserve_batching")
_FASTAPI = ("-m", "uvicorn", "benchmarks.peers.fastapi_unbatched:app", "--port", "{port}", "--no-access-log")
_BENTOML = (
    "-m",
    "bentoml",
    "serve",
    "benchmarks.peers.bentoml_batchable:Web",
    "--host",
    "127.0.0.1",
    "--port",
    "{port}",
)

AS_IT_COMES = Server("ganserve (no settings)", None, _GANSERVE, workers=0)
ONE_WORKER = Server("ganserve 1 worker", None, _GANSERVE)
SERVERS = [
    AS_IT_COMES,
    ONE_WORKER,
    Server("ganserve 2 workers", None, _GANSERVE, workers=2),
    Server("ganserve OpenVINO", None, _GANSERVE, openvino=True),
    Server("ganserve OpenVINO 2 workers", None, _GANSERVE, workers=2, openvino=True),
    Server("mosec", "mosec", _MOSEC, wait_ms=2),
    Server("mosec 2 workers", "mosec", _MOSEC, workers=2, max_batch=8, wait_ms=1),
    Server(
        "mosec OpenVINO 2 workers",
        "mosec",
        _MOSEC,
        workers=2,
        max_batch=8,
        wait_ms=1,
        openvino=True,
    ),
    Server("LitServe", "litserve", _LITSERVE),
    Server("FastAPI", "fastapi", _FASTAPI),
    # A request larger than its batch would be refused.
    Server("BentoML depends+batchable", "bentoml", _BENTOML, max_batch=128),
]


def environment(
    server: Server, file: Path, engine: tuple[str, str], z_dim: int, cores: int, port: int, home: Path
) -> dict[str, str]:
    """The caller's environment without what would change a server, and what this one needs.

    file: FOLDER/NAME/generator.onnx; engine: name and precision.
    """
    dropped = ("GANSERVE_", "BENTOML_", "BENCH_", "PROMETHEUS_", "PYTHON", "OMP_", "MOSEC_")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(dropped)}
    common = {
        "CUDA_VISIBLE_DEVICES": "",  # every server on the CPU, whatever else there is
        "BENTOML_HOME": str(home),
        "PYTHONPATH": str(ROOT),
    }
    if server.venv is None:
        ours = {"GANSERVE_MODELS": str(file.parents[1]), "GANSERVE_DRAIN_SECONDS": "0"}
        named = {
            "GANSERVE_ENGINE": engine[0],
            "GANSERVE_PRECISION": engine[1],
            "GANSERVE_WORKERS": str(server.workers),
        }
        return kept | common | ours | (named if server.workers else {})
    return (
        kept
        | common
        | {
            "BENCH_FILE": str(file),
            "BENCH_ENGINE": engine[0],
            "BENCH_PRECISION": engine[1],
            "BENCH_THREADS": str(max(1, cores // server.workers)),
            "BENCH_WORKERS": str(server.workers),
            "BENCH_MAX_BATCH": str(server.max_batch),
            "BENCH_WAIT_MS": str(server.wait_ms),
            "BENCH_PORT": str(port),
            "BENCH_Z_DIM": str(z_dim),
        }
    )
