from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml
from huggingface_hub import ModelCard

from service.generator.contract import parse
from service.generator.file.front_matter import front_matter, with_front_matter
from service.generator.loading import CARD
from tests.generators import Tiny

FILES = sorted((Path(__file__).parents[4] / "models").glob("*/generator.onnx"))


def read(text: str) -> dict:
    assert text.startswith("---\n")
    assert text.endswith("\n---\n\n")
    return yaml.safe_load(text.split("---\n")[1])


def test_a_card_says_licence_tags_and_figures_as_the_hub_reads_them():
    shipped = next(path for path in FILES if path.parent.name == "fashion-mnist")
    said = read(front_matter(parse(shipped.read_bytes()), "mit"))
    assert said["license"] == "mit"
    assert {"onnx", "class-conditional"} <= set(said["tags"])
    assert said["datasets"] == ["fashion-mnist"]
    (result,) = said["model-index"][0]["results"]
    assert "frechet_distance" in {metric["type"] for metric in result["metrics"]}
    assert all(isinstance(metric["value"], float) for metric in result["metrics"])


@pytest.mark.parametrize("quality", [{}, {"verdicts": 3}, {"verdicts": [{"figures": {}}]}])
def test_figures_of_another_making_are_left_out(quality):
    contract = msgspec.structs.replace(Tiny(golden_samples=0).contract(), quality=quality)
    assert "model-index" not in read(front_matter(contract, None))


def test_a_licence_or_name_can_not_write_other_lines():
    said = read(front_matter(Tiny(golden_samples=0).contract(), 'mit"\nevil: true\n---\n'))
    assert said["license"].startswith('mit"')
    assert "evil" not in said


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.parent.name)
def test_the_hub_reads_the_card_of_every_model_that_is_shipped(path):
    """What it shows of them is what the file says."""
    contract, text = parse(path.read_bytes()), path.with_name(CARD).read_text("utf-8")
    # Where the images have a licence of their own, or none, the card says it in words.
    licence = "mit" if contract.training["dataset"] == "fashion-mnist" else None
    assert with_front_matter(text, contract, licence) == text
    card = ModelCard(text)
    assert card.text.strip().startswith(f"# {contract.name}\n")
    data: Any = card.data
    # Of a generator that is there to teach a classifier nothing was measured.
    verdicts = contract.quality.get("verdicts", [])
    assert bool(verdicts) == (contract.name != "few-labels")
    assert (data.license, data.to_dict()["library_name"], data.model_name) == (
        licence or "unknown",
        "ganserve",
        contract.name if verdicts else None,
    )
    of_file = [verdict["figures"]["frechet_distance"]["value"] for verdict in verdicts]
    read = [one.metric_value for one in data.eval_results or () if one.metric_type == "frechet_distance"]
    assert read == [round(value, 4) for value in of_file]


def test_a_new_head_takes_the_place_of_the_old_one_and_keeps_its_licence():
    contract = Tiny(golden_samples=0).contract()
    body = "# tiny\n\n---\n\nlicense: none of the head\n"
    bare = with_front_matter(body, contract, "mit")
    assert bare == front_matter(contract, "mit") + body
    assert with_front_matter(bare, contract, "apache-2.0") == bare
    assert with_front_matter(front_matter(contract, None) + body, contract, "mit") == bare
