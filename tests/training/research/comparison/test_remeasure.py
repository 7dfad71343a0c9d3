"""`remeasure`: figures of models that there are, by judges of today."""

import json
from pathlib import Path

import msgspec
from click.testing import CliRunner

from service.generator.contract import parse
from service.generator.loading import CARD, FILE
from tests.training.research.comparison.test_command import BUDGET, compare, tiny
from training.research.comparison.remeasure import command

__all__ = ["tiny"]


def remeasure(folder: Path, *options: object):
    words = [folder / "out" / "table.json", "--data", folder / "stripes.npz", "--models", folder / "out" / "models",
             "--images", 24, "--judge", "plain", "--judge-images", 200, "--cache", folder / "judges", *options]  # fmt: skip
    return CliRunner().invoke(command, list(map(str, words)))


def test_models_are_measured_anew_once_into_files_cards_and_table(tmp_path: Path, tiny: str):
    assert compare(tmp_path, f"{tiny}:2", *BUDGET).exit_code == 0
    table, models = tmp_path / "out" / "table.json", tmp_path / "out" / "models"
    (models / "tiny-seed-1").rename(tmp_path / "alone")
    files = [folder / FILE for folder in (models / "tiny", tmp_path / "alone")]
    before = [parse(file.read_bytes()) for file in files]

    result = remeasure(tmp_path, "--draws", 2, "--also", tmp_path / "alone")
    assert result.exit_code == 0, result.output
    (run,) = json.loads(table.read_text())["runs"]
    assert run["seed"] == 0, "what has no model left has no figures"
    assert [judge["architecture"] for judge in run["judges"]] == ["plain"]
    assert run["figures"]["frechet_distance"]["spread"] > 0
    for file, old in zip(files, before, strict=True):
        new = parse(file.read_bytes())
        assert [verdict["judge"]["architecture"] for verdict in new.quality["verdicts"]] == ["plain"]
        assert msgspec.structs.replace(new, quality=old.quality) == old
        card = (file.parent / CARD).read_text()
        assert "2 draws of seeds" in card
        assert "'mixer'" not in card

    card, written = models / "tiny" / CARD, table.stat().st_mtime_ns
    card.write_text("untouched")
    assert remeasure(tmp_path, "--draws", 2).exit_code == 0
    assert (card.read_text(), table.stat().st_mtime_ns) == ("untouched", written), "nothing is done twice"
