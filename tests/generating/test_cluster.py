"""`ganserve generate --ray`: one machine's set, drawn by a cluster, whatever of it is killed meanwhile."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import psutil
import pytest

from ganserve.generating.cluster import Job, _drawn
from ganserve.generating.engine import LocalModel
from ganserve.generating.plan import Block, Refused, Shard
from service.settings import Settings
from tests import generators
from tests.generating.test_generate import process, shards
from tests.generating.written import run
from tests.generators import Tiny
from tests.system.serving import ROOT
from tests.waiting import wait_until

FORMATS = ("set.tar", "set.npz", "set", "hub/train.parquet")
# It ends with its stdin.
NODES = """
import json, sys
from ray.cluster_utils import Cluster
cluster = Cluster(True, head_node_args={"num_cpus": 1, "include_dashboard": False})
nodes = [cluster.head_node, cluster.add_node(num_cpus=1)]
raylets = [node.all_processes["raylet"][0].process.pid for node in nodes]
print(json.dumps([cluster.address, *raylets]), flush=True)
sys.stdin.read()
cluster.shutdown()
"""
# The command of several sets, in one process.
EACH = """
import json, sys
from ganserve.generating.command import generate
for words in json.loads(sys.argv[1]):
    generate.main(words, standalone_mode=False)
"""


@dataclass(frozen=True)
class Cluster:
    """Of two nodes with a core each; `auto` finds it, too. A node is what Ray calls a raylet, and all that it started."""

    address: str
    head: psutil.Process
    other: psutil.Process


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    # The paths of Ray's sockets have 107 letters at most.
    with TemporaryDirectory(prefix="ray", dir="/tmp") as folder, pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_TMPDIR", folder)
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        patch.setenv("PYTHONPATH", str(ROOT))  # for the nodes' workers
        words = [sys.executable, "-c", NODES]
        with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as nodes:
            assert nodes.stdout
            address, *raylets = json.loads(nodes.stdout.readline())
            yield Cluster(address, *map(psutil.Process, raylets))


def workers(one: psutil.Process) -> list[psutil.Process]:
    """Those of a node that draw at the moment, as Ray titles them."""
    found = []
    for child in one.children(recursive=True):
        try:
            if "ray::_drawn" in " ".join(child.cmdline()):
                found.append(child)
        except psutil.Error:  # it has ended
            continue
    return found


def files(folder: Path) -> dict[str, bytes]:
    """Those of a set, without the command that made it, which its manifest and its card tell."""
    found = {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    for name, content in found.items():
        if name.endswith("manifest.json"):
            found[name] = json.dumps(json.loads(content) | {"command": ""}).encode()
        elif name.endswith("README.md"):
            found[name] = b"".join(line for line in content.splitlines() if b"| made by |" not in line)
    return found


def test_a_cluster_draws_one_machines_sets_in_every_format(cluster, models, tmp_path):
    words = ["--model", str(models / "colour"), "--n", "600", "--seed", "3", "--truncation", "0.5"]
    words += ["--shard-images", "250"]
    there = [[*words, "--ray", cluster.address, "--out", str(tmp_path / "there" / out)] for out in FORMATS]
    done = subprocess.run(
        [sys.executable, "-c", EACH, json.dumps(there)],
        cwd=ROOT,
        env=os.environ | {"GANSERVE_ENGINE": "onnxruntime"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert (done.returncode, done.stderr) == (0, "")
    for out in FORMATS:
        run(*words, "--out", tmp_path / "here" / out)
    assert files(tmp_path / "there") == files(tmp_path / "here")


def test_killed_are_a_worker_a_node_and_the_command_and_nothing_is_lost_or_there_twice(cluster, tmp_path):
    slow = generators.folder(tmp_path, {"slow": Tiny(burn=8).file()}) / "slow"
    words = ("--model", slow, "--n", 3000, "--shard-images", 50)
    place = tmp_path / "there" / "set.tar"
    part = place.with_name("set.tar.manifest.json.part")
    begun = process(*words, "--ray", "auto", "--out", place)
    further(part)
    at_work(cluster.head).kill()
    further(part)
    at_work(cluster.other)
    for one in [cluster.other, *cluster.other.children(recursive=True)]:  # as where the power fails
        one.kill()
    further(part)
    begun.kill()
    begun.communicate(timeout=60)
    left = 3000 - 50 * shards(part)
    assert left > 0, "it was over before it could be killed"
    begun = process(*words, "--ray", "auto", "--out", place, "--json")
    said, _ = begun.communicate(timeout=120)
    assert json.loads(said)["drawn"] == left
    run(*words, "--out", tmp_path / "here" / "set.tar")
    assert files(tmp_path / "there") == files(tmp_path / "here")


def at_work(one: psutil.Process) -> psutil.Process:
    """A worker of the node, once it draws."""
    found: list[psutil.Process] = []
    wait_until(lambda: found.extend(workers(one)) or found, 120)
    return found[0]


def further(part: Path) -> None:
    """Until two more shards are there."""
    wanted = shards(part) + 2
    wait_until(lambda: shards(part) >= wanted, 120)


def test_a_node_that_would_draw_otherwise_is_refused(models):
    model = LocalModel(str(models / "tiny"), Settings(engine="onnxruntime"))
    drawn_by = (model.origin.version, "onnxruntime", "tf32", "CUDAExecutionProvider")
    files = {path.name: np.fromfile(path, np.uint8) for path in model.files}
    job = Job(files, "tiny", drawn_by, model.settings, 1.0, False, lambda drawn: drawn.pixels())
    with pytest.raises(
        Refused, match="draws with onnxruntime fp32 CPUExecutionProvider, and not with onnxruntime tf32 CUDA"
    ):
        _drawn(job, Block(Shard(0, range(1)), range(1), [0]))


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("127.0.0.1:9", "There is no Ray cluster at 127.0.0.1:9: Connection refused."),
        ("ray://127.0.0.1:9", "it is auto, or HOST:PORT"),
        ("", "it is auto, or HOST:PORT"),
    ],
)
def test_no_cluster_is_one_line(models, tmp_path, address, said):
    words = ("--model", models / "tiny", "--n", 1, "--out", tmp_path / "a", "--ray", address)
    assert said in run(*words, code=1).output
    assert not (tmp_path / "a").exists()
