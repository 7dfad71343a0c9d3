"""deploy/kubernetes/bulk: an indexed Job that Kubernetes knows, whose parts are one set."""

import os
import subprocess
from pathlib import Path

from ganserve.generating.command import generate
from tests.deploy.test_kubernetes import read, validate

JOB = read("bulk/job.yaml")


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
