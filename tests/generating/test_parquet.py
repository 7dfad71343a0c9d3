"""Parquet, in the layout of the Hugging Face Hub."""

import io
import json

import numpy as np
import pyarrow.parquet as pq

from tests.generating.written import pixels, run, served
from tests.generators import CLASSES


def test_parquet_has_the_hubs_columns_and_a_card(models, tmp_path):
    run("--model", models / "tiny", "--n", 12, "--shard-images", 6, "--out", tmp_path / "train.parquet")
    table = pq.read_table(tmp_path / "train-00001-of-00002.parquet")
    assert table.column("seed").to_pylist() == list(range(6, 12))
    assert table.column("label").to_pylist() == [seed % 10 for seed in range(6, 12)]
    features = json.loads(table.schema.metadata[b"huggingface"])["info"]["features"]
    assert features["image"] == {"_type": "Image"}
    assert features["label"]["names"] == list(CLASSES)
    drawn = [pixels(io.BytesIO(row["bytes"])) for row in table.column("image").to_pylist()]
    assert np.array_equal(drawn, served(models / "tiny", range(6, 12), [seed % 10 for seed in range(6, 12)]))
    run("--verify", tmp_path, "--model", models / "tiny")
    card = (tmp_path / "README.md").read_text()
    assert "- train-00000-of-00002.parquet\n" in card
    assert "12 images of tiny" in card


def test_a_readme_of_others_is_not_overwritten(models, tmp_path):
    (tmp_path / "README.md").write_text("mine")
    said = run("--model", models / "tiny", "--n", 3, "--out", tmp_path / "a.parquet", code=1).output
    assert "README.md exists" in said
    assert [path.name for path in tmp_path.iterdir()] == ["README.md"]
