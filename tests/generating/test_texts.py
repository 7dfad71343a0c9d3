"""Sets of a model that reads a text: the pictures of `/v1/samples`, with their texts beside them."""

import tarfile

import numpy as np
import pyarrow.parquet as pq
import pytest

from service.generator import loading
from service.settings import Settings
from tests import generators
from tests.generating.written import pixels, run
from tests.generators.texts import Reader
from tests.system.serving import serving

TEXTS = ["a bright bag", "a dark bag", ""]
WORDS = [word for text in TEXTS for word in ("--text", text)]


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    files = {"reader": Reader().file(), "tiny": generators.Tiny().file()}
    return generators.folder(tmp_path_factory.mktemp("models"), files)


def drawn(models, seeds: range) -> np.ndarray:
    """uint8 [N, H, W, C]."""
    loaded = loading.load(loading.read(models / "reader/generator.onnx"), Settings(engine="onnxruntime"))
    rows = loaded.contract.rows(seeds, [TEXTS[seed % 3] for seed in seeds])
    return loaded.engine.wide(rows, None).transpose(0, 2, 3, 1)


def test_texts_take_turns_by_the_seed_and_are_beside_the_pictures(models, tmp_path):
    words = ("--model", models / "reader", "--n", 7, "--seed", 2, *WORDS, "--out")
    for out in ("set.npz", "set.tar", "hub/train.parquet"):
        run(*words, tmp_path / out)
    want, texts = drawn(models, range(2, 9)), [TEXTS[seed % 3] for seed in range(2, 9)]
    assert not np.array_equal(want[0], want[1])
    with np.load(tmp_path / "set.npz") as found:
        assert np.array_equal(found["images"], want)
        assert found["texts"].tolist() == texts
    with tarfile.open(tmp_path / "set.tar") as archive:
        files = {one.name: archive.extractfile(one) for one in archive}
        for seed, text in zip(range(2, 9), texts, strict=True):
            told, picture = files[f"{seed:016}.txt"], files[f"{seed:016}.png"]
            assert told is not None
            assert told.read().decode() == text
            assert np.array_equal(pixels(picture), want[seed - 2])
    table = pq.read_table(tmp_path / "hub/train.parquet")
    assert table.column_names == ["image", "text", "seed"]
    assert table["text"].to_pylist() == texts
    for place in (tmp_path / "set.tar", tmp_path / "set.npz", tmp_path / "hub"):
        run("--verify", place, "--model", models / "reader")


def test_a_server_gives_the_same_set(models, tmp_path):
    with serving(
        tmp_path / "home", models=models, engine="onnxruntime", provenance="on", default_model="reader"
    ) as server:
        words = ("--model", "reader", "--n", 40, *WORDS, "--truncation", 0.5, "--out")
        run("--url", server.url, *words, tmp_path / "there.tar")
    words = ("--model", models / "reader", *words[2:])
    run(*words, tmp_path / "here.tar")
    assert (tmp_path / "there.tar").read_bytes() == (tmp_path / "here.tar").read_bytes()


def test_what_a_model_does_not_read_is_one_line(models, tmp_path):
    for model, text, said in (("reader", "a zebra", "zebra"), ("tiny", "a bag", "This model reads no text")):
        words = ("--model", models / model, "--n", 3, "--text", text, "--out", tmp_path / "set.tar")
        assert said in run(*words, code=1).output
    assert not list(tmp_path.iterdir())
