"""Generators that read a text: declared, checked at load, and run by every engine."""

from pathlib import Path

import msgspec
import numpy as np
import pytest
from onnx import helper as h

from service.errors import ContractError, InvalidField
from service.generator import contract, golden, loading
from service.generator.engines import race
from service.generator.file.inputs import Input
from service.generator.text.reading import ids_of_words, words_in
from service.settings import Settings
from tests.generators.texts import CLASSED, WORDS, WORDY, Reader

TEXTS = ["a dark bag", "", "t-shirt", "A large, bright BAG!", "bag", "a", "dark dark dark bag bag bag"]


def loaded(folder: Path, file: bytes, engine: str = "onnxruntime", threads: int = 1) -> loading.Loaded:
    path = folder / "reader" / "generator.onnx"
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(file)
    return loading.load(loading.read(path), Settings(engine=engine, threads=threads, models=folder))


@pytest.mark.parametrize("engine", ["onnxruntime", "openvino"])
@pytest.mark.parametrize("model", [WORDY, CLASSED], ids=["alone", "beside a class"])
def test_every_engine_draws_what_the_text_says(tmp_path, engine, model):
    got = loaded(tmp_path, model.file(), engine, threads=2)
    assert got.golden is not None
    assert got.contract.row_dim == 22
    label = np.arange(7) % 2 if model.classes else None
    rows = got.contract.rows(range(7), TEXTS)
    for forward in (got.engine.wide, *got.engine.lanes):
        for count in (1, 3, 7):
            part = None if label is None else label[:count]
            want = model.drawn(rows[:count, :16], model.text.reading.ids(TEXTS[:count], count), part)
            assert golden.difference(forward(rows[:count], part), want).max <= 1


def test_the_race_of_engines_measures_such_a_file():
    assert {one.engine for one in race.measure(WORDY.file()).figures} == {"onnxruntime", "openvino"}


def test_words_are_found_in_lower_case_whatever_is_between_them():
    assert words_in("A dark T-shirt, the dog's; 7!") == ["a", "dark", "t-shirt", "the", "dog's", "7"]


def test_a_word_is_its_place_in_the_file_and_nothing_is_0():
    assert ids_of_words("Dark bag", WORDS, 4) == [4, 2, 0, 0]
    assert ids_of_words(" ... ", WORDS, 4) == [0, 0, 0, 0]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("a green bag", "does not know 'green'; its words: a, bag, bright, dark, large, t-shirt"),
        ("bag " * 7, "text has 7 words; this model reads 6 at most"),
    ],
)
def test_a_text_that_can_not_be_read_is_refused_and_never_cut(text, says):
    with pytest.raises(InvalidField, match=says):
        WORDY.contract().rows([1], [text])


def test_seeds_alone_have_the_empty_text():
    said = WORDY.contract()
    np.testing.assert_array_equal(said.rows([1, 2]), said.rows([1, 2], ["", ""]))
    np.testing.assert_array_equal(said.seeded([1, 2], 1.0, None).rows(), said.rows([1, 2]))
    np.testing.assert_array_equal(
        said.seeded([1], 0.5, None, texts=["dark"]).rows()[:, 16:], said.rows([1], ["dark"])[:, 16:]
    )


def test_golden_samples_hold_the_texts_that_they_are_of(tmp_path):
    said = contract.parse(WORDY.file())
    texts = [sample.text for sample in said.golden]
    assert len(set(texts)) > 1
    assert set(" ".join(texts).split()) <= set(WORDS)
    others = [msgspec.structs.replace(one, text="large large large") for one in said.golden]
    with pytest.raises(ContractError, match="other pictures than the trained network"):
        loaded(tmp_path, contract.write(WORDY.model(), msgspec.structs.replace(said, golden=others)))


def test_a_generator_that_does_not_read_its_text_is_refused(tmp_path):
    graph = WORDY.model()
    gather = next(node for node in graph.graph.node if node.op_type == "Gather")
    graph.graph.node.insert(0, h.make_node("Mod", ["ids", "one"], ["nothing"]))
    graph.graph.initializer.append(h.make_tensor("one", 7, [], [1]))
    gather.input[1] = "nothing"
    file = contract.write(graph, msgspec.structs.replace(WORDY.contract(), golden=[]))
    with pytest.raises(ContractError, match="the text that it is given changes nothing"):
        loaded(tmp_path, file)


def test_a_table_without_a_row_for_every_token_is_refused():
    with pytest.raises(ContractError, match="there are 7 tokens, and Gather looks them up in 6 rows"):
        contract.write(Reader(rows=6).model(), WORDY.contract())


Z = Input("noise", "z", [16])
WRONG = {
    "has the shape": [Z, Input("ids", "text", words=["a"])],
    "words, or a tokenizer": [Z, Input("ids", "text", [6])],
    "words are in lower case": [Z, Input("ids", "text", [6], words=["Bag"])],
    "each once": [Z, Input("ids", "text", [6], words=["bag", "bag"])],
    "the tokenizer can't be read": [Z, Input("ids", "text", [6], tokenizer="{}")],
    "pad is 7, of 7 tokens": [Z, Input("ids", "text", [6], words=list(WORDS), pad=7)],
    "one input at most is a text": [Z, WORDY.text, msgspec.structs.replace(WORDY.text, name="more")],
    "can't be called that": [Z, WORDY.text, Input("text", "scalar", low=0, high=1, default=0)],
    "the first input is z": [WORDY.text, Z],
}


@pytest.mark.parametrize("says", WRONG)
def test_a_declaration_that_can_not_be_is_refused(says):
    with pytest.raises(ContractError, match=says):
        contract.write(WORDY.model(), msgspec.structs.replace(WORDY.contract(), inputs=WRONG[says]))


def test_a_golden_sample_has_no_text_where_the_file_reads_none():
    said = WORDY.contract()
    plain = msgspec.structs.replace(said, inputs=[Z])
    with pytest.raises(ContractError, match="there is no text"):
        contract.write(WORDY.model(), plain)
    with pytest.raises(InvalidField, match="This model reads no text"):
        plain.rows([1], ["dark"])
