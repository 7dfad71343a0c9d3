"""`ganserve generate`: the service's own pictures, in files that loaders read, whatever happened meanwhile."""

import json
import os
import signal
import subprocess
import sys
import tarfile
from pathlib import Path

import numpy as np
import pytest

from ganserve.generating.sets import Progress
from tests import generators
from tests.generating.written import pixels, run, served
from tests.generators import Tiny
from tests.system.serving import ROOT
from tests.waiting import wait_until


def test_npz_has_the_services_pictures_in_the_order_of_the_seeds(models, tmp_path):
    run(
        "--model", models / "colour", "--n", 30, "--seed", 7, "--truncation", 0.5, "--out", tmp_path / "a.npz"
    )
    with np.load(tmp_path / "a.npz") as found:
        assert found["seeds"].tolist() == list(range(7, 37))
        assert found["labels"].tolist() == [seed % 10 for seed in range(7, 37)]
        want = served(models / "colour", range(7, 37), found["labels"].tolist(), 0.5)
        assert np.array_equal(found["images"], want)


def test_a_folder_has_a_subfolder_per_class_as_image_folder_reads_it(models, tmp_path):
    words = ("--label", "Bag", "--class", "sneaker", "--per-class", 3)
    run("--model", models / "tiny", *words, "--out", tmp_path / "set")
    found = {str(path.relative_to(tmp_path / "set")): path for path in tmp_path.glob("set/*/*.png")}
    # Even seeds have the first of the classes that take turns.
    assert set(found) == {f"bag/{seed}.png" for seed in (0, 2, 4)} | {
        f"sneaker/{seed}.png" for seed in (1, 3, 5)
    }
    want = served(models / "tiny", range(6), [8, 7] * 3)
    for path in found.values():
        assert np.array_equal(pixels(path), want[int(path.stem)])


def test_tar_has_webdatasets_pairs_in_shards(models, tmp_path):
    run("--model", models / "tiny", "--n", 25, "--shard-images", 10, "--out", tmp_path / "set.tar")
    want, seed = served(models / "tiny", range(25), [seed % 10 for seed in range(25)]), 0
    for number in range(3):
        with tarfile.open(tmp_path / f"set-{number:05}-of-00003.tar") as archive:
            members = archive.getmembers()
            for picture, label in zip(members[::2], members[1::2], strict=True):
                assert (picture.name, label.name) == (f"{seed:016}.png", f"{seed:016}.cls")
                assert np.array_equal(pixels(archive.extractfile(picture)), want[seed])
                content = archive.extractfile(label)
                assert content is not None
                assert int(content.read()) == seed % 10
                seed += 1
    assert seed == 25


def test_a_tar_is_what_tarfile_writes_of_the_same_files(models, tmp_path):
    run("--model", models / "tiny", "--n", 12, "--seed", 2**53 - 12, "--out", tmp_path / "set.tar")
    with (
        tarfile.open(tmp_path / "set.tar") as found,
        tarfile.open(tmp_path / "own.tar", "w", format=tarfile.USTAR_FORMAT) as own,
    ):
        for member in found:
            again = tarfile.TarInfo(member.name)
            again.size = member.size
            own.addfile(again, found.extractfile(member))
    assert (tmp_path / "own.tar").read_bytes() == (tmp_path / "set.tar").read_bytes()


def test_an_unconditional_model_has_one_folder_and_no_labels(models, tmp_path):
    run("--model", models / "bare", "--n", 4, "--out", tmp_path / "set")
    run("--model", models / "bare", "--n", 4, "--out", tmp_path / "set.npz")
    with np.load(tmp_path / "set.npz") as found:
        assert set(found.files) == {"images", "seeds"}
        for seed in range(4):
            assert np.array_equal(pixels(tmp_path / "set" / "images" / f"{seed}.png"), found["images"][seed])
    assert (
        "no classes"
        in run("--model", models / "bare", "--per-class", 4, "--out", tmp_path / "b", code=1).output
    )


def process(*words: object) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, "-m", "ganserve.generating.command", *map(str, words)],
        cwd=ROOT,
        env=os.environ | {"GANSERVE_ENGINE": "onnxruntime"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def shards(part: Path) -> int:
    """How many the journal has."""
    return max(0, part.read_bytes().count(b"\n") - 1) if part.exists() else 0


@pytest.mark.parametrize("out", ["set.tar", "set"])
def test_a_set_that_was_killed_and_interrupted_is_the_one_that_was_not(models, tmp_path, out):
    slow = generators.folder(tmp_path, {"slow": Tiny(burn=4).file()}) / "slow"
    words = ("--model", slow, "--n", 2000, "--shard-images", 50)
    place = tmp_path / "killed" / out
    name = f"{out}.manifest.json" if out.endswith("tar") else f"{out}/manifest.json"
    part = tmp_path / "killed" / f"{name}.part"
    for number, (end, code) in enumerate(((signal.SIGKILL, -signal.SIGKILL), (signal.SIGINT, 130)), 1):
        begun = process(*words, "--out", place)
        wait_until(lambda number=number: shards(part) >= 3 * number)
        begun.send_signal(end)
        _, said = begun.communicate(timeout=60)
        assert begun.returncode == code, said
    assert said == "Interrupted; the same command goes on.\n"
    left = 2000 - 50 * shards(part)
    assert left > 0, "it was over before it could be interrupted"
    facts = json.loads(run(*words, "--out", place, "--json").output)
    assert facts["drawn"] == left
    run(*words, "--out", tmp_path / "whole" / out)
    manifests = [json.loads((tmp_path / way / name).read_text()) for way in ("killed", "whole")]
    for manifest in manifests:
        del manifest["command"]
    assert manifests[0] == manifests[1]
    assert {str(path.relative_to(tmp_path / "killed")) for path in tmp_path.glob("killed/**/*")} == {
        str(path.relative_to(tmp_path / "whole")) for path in tmp_path.glob("whole/**/*")
    }
    run("--verify", place, "--model", slow, "--samples", 5)
    assert json.loads(run(*words, "--out", place, "--json").output)["drawn"] == 0


@pytest.mark.parametrize("out", ["set.tar", "set.npz", "set"])
def test_verify_sees_what_was_changed(models, tmp_path, out):
    folder = tmp_path / "sets"
    run("--model", models / "tiny", "--n", 20, "--shard-images", 10, "--out", folder / out)
    facts = json.loads(run("--verify", folder / out, "--model", models / "tiny", "--json").output)
    assert facts["drawn_again"] == 16
    assert facts["levels"] == {"max": 0, "p99": 0, "mean": 0}
    other = run("--verify", folder / out, "--model", models / "colour", code=1).output
    assert "the set is of" in other
    victim = sorted(
        path for path in folder.rglob("*") if path.suffix in (".tar", ".npz", ".parquet", ".png")
    )[-1]
    content = victim.read_bytes()
    victim.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    assert "has other bytes" in run("--verify", folder / out, "--samples", 0, code=1).output
    victim.unlink()
    assert f"{victim.name} is not there" in run("--verify", folder / out, "--samples", 0, code=1).output


def test_verify_sees_pictures_that_the_model_does_not_draw(models, tmp_path):
    run("--model", models / "tiny", "--n", 20, "--out", tmp_path / "set.npz")
    path = tmp_path / "set.npz.manifest.json"
    manifest = json.loads(path.read_text())
    path.write_text(json.dumps(manifest | {"truncation": 0.25}))  # the files are what their hashes say
    said = run("--verify", tmp_path, "--model", models / "tiny", code=1).output
    assert "is not the one that tiny@" in said


def test_another_set_under_the_same_name_is_refused(models, tmp_path):
    words = ("--model", models / "tiny", "--out", tmp_path / "set.npz")
    run(*words, "--n", 20)
    assert "its images is 20, not 30" in run(*words, "--n", 30, code=1).output
    assert "another set" in run(*words, "--n", 20, "--seed", 1, code=1).output


def test_what_cannot_be_made_is_one_line(models, tmp_path):
    tiny = models / "tiny"
    assert (
        "'Hat' is no class of tiny"
        in run(*("--model", tiny, "--n", 1, "--label", "Hat", "--out", tmp_path / "a"), code=1).output
    )
    assert "no model 'nothing'" in run("--model", "nothing", "--n", 1, "--out", tmp_path / "a", code=1).output
    assert (
        "--n 7 is not --per-class 1 times 10"
        in run(*("--model", tiny, "--n", 7, "--per-class", 1, "--out", tmp_path / "a"), code=1).output
    )
    assert "How many?" in run("--model", tiny, "--out", tmp_path / "a", code=2).output
    for words, said in (
        (("--verify", tmp_path, "--n", 1, "--ray", "auto"), "it has no use for --n, --ray"),
        (("--model", tiny, "--n", 1, "--samples", 3, "--out", tmp_path / "a"), "--samples is of --verify"),
        (("--n", 1, "--url", "http://a", "--ray", "auto", "--out", tmp_path / "a"), "--url, or --ray"),
    ):
        assert said in run(*words, code=2).output
    many = run("--model", tiny, "--n", 2**53 - 1, "--out", tmp_path / "a", code=1).output
    assert "90,071,992,548 shards of 100,000, and 100,000 are the most" in many
    for out in ("a.zip", "a.tar.gz", "a.TAR", "a.png"):
        assert (
            "is no format of a set: .tar, .parquet, .npz, or a folder"
            in run("--model", tiny, "--n", 1, "--out", tmp_path / out, code=1).output
        )
    assert list(tmp_path.iterdir()) == []


def test_memory_is_bounded_however_large_the_set(models, tmp_path):
    def peak(n: int) -> int:
        begun = process("--model", models / "colour", "--n", n, "--out", tmp_path / f"{n}.npz")
        _, status, used = os.wait4(begun.pid, 0)
        begun.returncode = os.waitstatus_to_exitcode(status)
        begun.communicate()
        assert begun.returncode == 0
        return used.ru_maxrss * 1024

    small, large = peak(4000), peak(60_000)
    assert (tmp_path / "60000.npz").stat().st_size > 45_000_000
    assert large - small < 15_000_000


def test_the_bar_says_how_fast_it_goes_and_how_long_it_will_take(monkeypatch):
    now, said = [100.0], []
    monkeypatch.setattr("ganserve.generating.sets.time.monotonic", lambda: now[0])
    progress = Progress(10_000, lambda images, text: said.append((images, text)))
    progress(1000)  # were there
    for _ in range(2):
        now[0] += 1.0
        progress(50)
    assert said == [(1000, "0 images/s"), (50, "50 images/s, 2:59 left"), (50, "50 images/s, 2:58 left")]
    assert (progress.drawn, progress.images_per_second) == (100, 50)
