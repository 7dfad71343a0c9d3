"""deploy/kubernetes/bulk: an indexed Job that Kubernetes knows, whose parts are one set; and a RayJob that KubeRay knows."""

import json
import os
import shlex
import subprocess
from importlib.metadata import version
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from ganserve.generating.command import generate
from tests.deploy.test_kubernetes import read, validate

JOB = read("bulk/job.yaml")
RAY_JOB = read("bulk/rayjob.yaml")
CLUSTER = RAY_JOB["spec"]["rayClusterSpec"]
GROUPS = [CLUSTER["headGroupSpec"], *CLUSTER["workerGroupSpecs"]]
SCHEMA = json.loads(Path(__file__).with_name("kuberay").joinpath("rayjob.json").read_text())


def test_the_job_is_what_kubernetes_knows():
    validate(JOB)


def test_its_parts_have_all_seeds_and_each_once(tmp_path):
    (container,) = JOB["spec"]["template"]["spec"]["containers"]
    fake = tmp_path / "ganserve"
    fake.write_text('#!/bin/sh\nprintf "%s\\n" "$@"\n')
    fake.chmod(0o755)
    variables = {one["name"]: one["value"] for one in container["env"]}
    seeds, places = [], set()
    for index in range(JOB["spec"]["completions"]):
        environ = os.environ | variables | {"JOB_COMPLETION_INDEX": str(index)}
        environ["PATH"] = f"{tmp_path}:{os.environ['PATH']}"
        said = subprocess.run(
            [*container["command"], *container["args"]],
            env=environ,
            capture_output=True,
            text=True,
            check=True,
        )
        command, *words = said.stdout.split()
        assert command == "generate"
        given = generate.make_context("generate", words).params
        seeds += [given["seed"], given["seed"] + given["n"]]
        places.add(Path(given["out"]).name)
    assert seeds[1:-1:2] == seeds[2::2]
    assert (seeds[0], seeds[-1]) == (0, 10 * int(variables["IMAGES"]))
    assert len(places) == 10


def test_the_rayjob_is_what_kuberay_knows():
    jsonschema.validate(RAY_JOB, SCHEMA)
    for group in GROUPS:
        template = group["template"]
        pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "ray"} | template["metadata"]}
        validate(pod | {"spec": template["spec"]})


@pytest.mark.parametrize("place", [(), ("rayClusterSpec",), ("rayClusterSpec", "headGroupSpec")])
def test_a_field_that_kuberay_does_not_know_is_seen(place):
    document: dict[str, Any] = json.loads(json.dumps(RAY_JOB))
    at = document["spec"]
    for name in place:
        at = at[name]
    at["replica"] = 1
    with pytest.raises(jsonschema.ValidationError, match="'replica' was unexpected"):
        jsonschema.validate(document, SCHEMA)


def test_the_rayjob_draws_on_its_cluster_and_writes_where_its_head_has_the_claim():
    command, generating, *words = shlex.split(RAY_JOB["spec"]["entrypoint"])
    assert (command, generating) == ("ganserve", "generate")
    given = generate.make_context("generate", words).params
    assert given["ray"] == "auto"
    (head,) = CLUSTER["headGroupSpec"]["template"]["spec"]["containers"]
    claims = [
        v["name"] for v in CLUSTER["headGroupSpec"]["template"]["spec"]["volumes"] if "emptyDir" not in v
    ]
    mounted = [Path(mount["mountPath"]) for mount in head["volumeMounts"] if mount["name"] in claims]
    assert mounted == [given["out"].parent]


def test_the_rayjob_has_the_ray_that_is_tested_and_tells_nobody_of_it():
    assert CLUSTER["rayVersion"] == version("ray")
    for group in GROUPS:
        (container,) = group["template"]["spec"]["containers"]
        assert {"name": "RAY_USAGE_STATS_ENABLED", "value": "0"} in container["env"]
