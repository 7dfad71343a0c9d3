import io
import json
import re
from functools import partial

import numpy as np
import pytest
from PIL import Image

from tests.client.command.processes import process
from tests.client.conftest import MAX_IMAGES
from tests.terminal import on_a_terminal


def pixels(file: object) -> np.ndarray:
    with Image.open(file) as image:  # pyright: ignore[reportArgumentType]
        return np.asarray(image)


@pytest.mark.parametrize("suffix", ["png", "webp"])
def test_a_grid_is_that_of_the_server(run, server, suffix):
    result = run(
        "sample", "--label", "Sneaker", "-n", 15, "--seed", 1, "-o", f"grid.{suffix}", "--model", "colour"
    )
    assert result.stdout.startswith(f"grid.{suffix}: 15 images, seeds 1 to 15, of colour@")
    assert result.stderr == ""
    want = server.samples(label="Sneaker", n=15, seed=1, model="colour")
    np.testing.assert_array_equal(pixels(f"grid.{suffix}"), pixels(io.BytesIO(want.content)))


def test_npy_has_all_images_whatever_the_server_gives_at_once(run, server):
    run("sample", "-n", 3 * MAX_IMAGES + 1, "--seed", 5, "--truncation", 0.5, "-o", "images.npy")
    images = np.load("images.npy")
    assert images.shape == (3 * MAX_IMAGES + 1, 8, 8, 1)
    last = server.samples(seed=5 + 3 * MAX_IMAGES, truncation=0.5, format="npy").content
    np.testing.assert_array_equal(images[-1], np.load(io.BytesIO(last))[0])


def test_a_folder_gets_each_image_under_its_class_and_seed(run, server, tmp_path):
    result = run("sample", "-n", 3, "--seed", 7, "-o", "out/")
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "ankle-boot-9.png",
        "bag-8.png",
        "sneaker-7.png",
    ]
    assert result.stdout.startswith("out: 3 images, seeds 7 to 9, of tiny@")
    alone = server.samples(seed=8, label="Bag").content
    np.testing.assert_array_equal(pixels("out/bag-8.png"), pixels(io.BytesIO(alone)))
    run("sample", "-n", 2, "--seed", 3, "--model", "bare", "-o", "out", "--format", "webp")
    assert (tmp_path / "out/4.webp").is_file()
    taken = run("sample", "-n", 3, "--seed", 8, "-o", "out/", code=2)
    assert "out/bag-8.png and 1 more exist: --force overwrites." in taken.stderr
    assert not (tmp_path / "out/t-shirt-top-10.png").exists(), "all of them or none"


def test_stdout_has_the_picture_and_nothing_else(run, server):
    result = run("sample", "--seed", 4, "-o", "-")
    np.testing.assert_array_equal(
        pixels(io.BytesIO(result.stdout_bytes)), pixels(io.BytesIO(server.samples(seed=4).content))
    )
    result = run("sample", "--seed", 4, "-o", "-", "--format", "npy")
    assert np.load(io.BytesIO(result.stdout_bytes)).shape == (1, 8, 8, 1)


def test_nothing_is_overwritten_unasked(run, tmp_path):
    file = tmp_path / "grid.png"
    file.write_bytes(b"mine")
    result = run("sample", "-o", "grid.png", code=2)
    assert "grid.png exists: --force overwrites." in result.stderr
    assert file.read_bytes() == b"mine"
    run("sample", "-o", "grid.png", "--force")
    assert pixels(file).shape == (8, 8)
    assert list(tmp_path.iterdir()) == [file]


def test_json_says_where_everything_is(run):
    facts = json.loads(run("sample", "-n", 2, "--seed", 9, "-o", "out/", "--json").stdout)
    assert facts["files"] == ["out/ankle-boot-9.png", "out/t-shirt-top-10.png"]
    assert (facts["model"], facts["labels"], facts["seeds"]) == ("tiny", [9, 0], [9, 10])


def test_z_of_a_file_gives_its_images(run, server):
    reply = server.samples(seed=6, n=4, format="json", include_z=True).json()["images"]
    np.save("z.npy", np.array([one["z"] for one in reply], np.float32))
    run("sample", "--z", "z.npy", "-o", "z-images.npy")
    labels = [i % 10 for i in range(len(reply))]
    want = server.samples(seed=6, n=len(reply), label=labels, format="npy").content
    np.testing.assert_array_equal(np.load("z-images.npy"), np.load(io.BytesIO(want)))


def test_a_table_shows_each_model_and_json_its_whole_card(run, server):
    table = [line.split() for line in run("models").stdout.splitlines()]
    assert [line[0] for line in table] == ["model", "bare", "colour", "tiny"]
    assert table[2][2:] == ["ready", "10", "16x16x3", "8", "onnxruntime", "fp32"]
    cards = json.loads(run("models", "--json").stdout)
    assert cards == server.get("/v1/models").json()["data"]


def test_the_way_between_seeds_is_a_row_or_an_animation(run, server):
    run("interpolate", 1, 2, 3, "--steps", 4, "--label", "Bag", "-o", "way.png")
    row = pixels("way.png")
    assert row.shape == (8, 7 * 8)
    for place, seed in ((0, 1), (3, 2), (6, 3)):
        alone = pixels(io.BytesIO(server.samples(seed=seed, label="Bag").content))
        np.testing.assert_array_equal(row[:, 8 * place : 8 * place + 8], alone)
    facts = json.loads(run("interpolate", 1, 2, "--steps", 5, "-o", "way.gif", "--json").stdout)
    assert (facts["seeds"], facts["files"]) == ([1, 2], ["way.gif"])
    with Image.open("way.gif") as animation:
        assert getattr(animation, "n_frames", 1) > 1
    run("interpolate", 5, 6, "--path", "linear", "--steps", 3, "--loop", "-o", "loop.npy")
    assert np.load("loop.npy").shape == (4, 8, 8, 1)


def test_bench_shows_percentiles_and_speed(run):
    closed = run("bench", "--seconds", 0.2, "--connections", 2, "-n", 2)
    assert "closed loop, 2 connections, n 2, png" in closed.stdout
    rows = [line.split() for line in closed.stdout.splitlines()[1:7]]
    assert [name for name, _ in rows] == ["latency", "p50", "p90", "p99", "p99.9", "max"]
    assert all(float(ms) > 0 for _, ms in rows[1:])
    assert re.search(r" images/s(, [\d,]+ images per core-second)?\n$", closed.stdout)
    assert closed.stderr == ""
    opened = json.loads(run("bench", "--seconds", 0.2, "--rate", 50, "--format", "npy", "--json").stdout)
    assert (opened["loop"], opened["requests"], opened["answered"], opened["errors"]) == ("open", 10, 10, {})
    assert opened["latency_ms"]["p50"] <= opened["latency_ms"]["max"]
    assert opened["model"].startswith("tiny@")


def test_an_option_wins_over_its_variable(run, server):
    run("models", "--url", server.url, "--api-key", "any", "--timeout", 5, url="http://127.0.0.1:1")


def test_a_bar_is_shown_on_a_terminal_and_on_stderr_only(server):
    ended = on_a_terminal(partial(process, "sample", "-n", "40", "-o", "-", "--url", server.url))
    assert ended.code == 0
    assert b"40/40" in ended.shown
    assert pixels(io.BytesIO(ended.stdout)).shape == (6 * 8, 7 * 8)
