"""Weights over classes in the place of a label, by the client and its command line: what is sent."""

import click
import numpy as np
import pytest

from ganserve.client import Client
from ganserve.options import labels
from tests.client.test_scalars import MOST, server


def test_weights_for_all_images_are_sent_with_each_piece_and_those_of_a_list_are_cut_with_the_images():
    seen: list[dict] = []
    both = {"Sneaker": np.float32(0.25), "Bag": 0.75}
    with Client("http://x", transport=server(seen)) as client:
        client.sample(both, n=MOST + 1, seed=1, model="styled")
        client.sample([both, "Bag", 3, 3, both], seed=1, model="styled")
    told = {"Sneaker": 0.25, "Bag": 0.75}
    assert [one["label"] for one in seen[:2]] == [told, told]
    by_seed = {one["seed"]: one["label"] for one in seen[2:]}
    assert by_seed == {1: [told, "Bag", 3], 4: [3, told]}


@pytest.mark.parametrize(
    ("given", "label"),
    [
        (["Sneaker=0.3,Ankle boot=0.7"], {"Sneaker": 0.3, "Ankle boot": 0.7}),
        (["7=1, 8=3"], {"7": 1, "8": 3}),
        (["Bag", "Bag=1"], ["Bag", {"Bag": 1}]),
        (["a=b"], "a=b"),
        (["x=1,y"], "x=1,y"),
        ([""], ""),
        ([], None),
    ],
)
def test_text_is_weights_where_each_part_ends_in_a_number(given, label):
    assert labels(*CONTEXT, tuple(given)) == label


def test_a_weight_that_is_no_number_is_wrong_usage():
    with pytest.raises(click.BadParameter):
        labels(*CONTEXT, ("Bag=nan",))


CONTEXT = click.Context(click.Command("sample")), click.Option(["--label"])
