import msgspec
import pytest
import yaml

from service.generator.contract import parse
from service.generator.file.front_matter import front_matter
from tests.generators import Tiny
from tests.service.test_shipped_models import FILES


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
