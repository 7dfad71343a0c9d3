"""`make sbom`: what both images install, as CycloneDX."""

import json
import re
import subprocess

import pytest

from tests.system.serving import ROOT


@pytest.fixture(scope="module")
def dist():
    # As it would be where the environment is up to date; `make test` has seen to it.
    subprocess.run(["make", "-o", ".venv-dev/.installed", "sbom"], cwd=ROOT, check=True, timeout=120)
    return ROOT / "dist"


@pytest.mark.parametrize(
    ("file", "lock"),
    [("ganserve.cdx.json", "requirements.lock"), ("ganserve-cuda.cdx.json", "requirements.cuda.lock")],
)
def test_it_has_what_the_image_installs_and_nothing_else(dist, file, lock):
    document = json.loads((dist / file).read_text())
    assert document["bomFormat"] == "CycloneDX"
    assert document["metadata"]["component"]["name"] == "ganserve"
    installed = set(re.findall(r"^([\w.-]+)(?:\[.*\])?==([^\s;]+)", (ROOT / lock).read_text(), re.MULTILINE))
    assert {(one["name"], one["version"]) for one in document["components"]} == installed
    assert installed
