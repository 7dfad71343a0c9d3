"""The bento: what `bentoml build` packs serves on its own."""

import subprocess
import sys

from tests.system.serving import ROOT, environment, serving


def test_a_bento_serves_from_an_empty_folder_and_holds_neither_training_nor_tests(tmp_path):
    home = tmp_path / "home"
    home.mkdir()
    build = subprocess.run(
        [sys.executable, "-m", "bentoml", "build", "-o", "tag"],
        cwd=ROOT,
        env=environment(home, {}),
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert build.returncode == 0, build.stderr
    tag = build.stdout.rpartition("__tag__:")[2].strip()
    (source,) = (home / "bentos").glob("ganserve/*/src")
    assert {path.name for path in source.iterdir()} == {"service", "models", "bentofile.yaml"}
    empty = tmp_path / "empty"
    empty.mkdir()
    with serving(home, bento=tag, folder=empty) as bento, serving(tmp_path / "other") as repository:
        asked = {"label": "Sneaker", "n": 4, "seed": 1}
        assert bento.samples(**asked).content == repository.samples(**asked).content
