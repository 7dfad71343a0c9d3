"""`prepare`: what it packs, what it says, what it refuses."""

from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.needs import needs
from tests.training.tiny import command, stripes, write_folder, write_idx
from training.data.formats import load
from training.data.layouts.idx import FASHION_MNIST


def test_idx_folder_keeps_its_own_test_split(tmp_path: Path) -> None:
    result = command("prepare", "--data", write_idx(tmp_path / "idx"), "--out", tmp_path / "out.npz")

    assert result.exit_code == 0, result.output
    assert "30 training images and 30 test images (given by the source), 28x28, grey" in result.output
    packed = load(tmp_path / "out.npz")
    images, labels = stripes(30, 28, 1, 3)
    assert np.array_equal(packed.images[:, 0], images[..., 0])
    assert np.array_equal(packed.labels, labels)
    assert packed.class_names == ("0", "1", "2")
    assert packed.spec.dataset == "idx"


@pytest.mark.parametrize("size", [28, 32, 64, 128])
@pytest.mark.parametrize("channels", [1, 3])
def test_folder_of_images_is_packed_in_any_size_and_colour(tmp_path: Path, size: int, channels: int) -> None:
    folder = write_folder(tmp_path / "stripes", size=size, channels=channels)
    result = command("prepare", "--data", folder, "--out", tmp_path / "out.npz", "--name", "My stripes")

    assert result.exit_code == 0, result.output
    packed = load(tmp_path / "out.npz")
    assert asdict(packed.spec) == {
        "dataset": "My stripes",
        "channels": channels,
        "height": size,
        "width": size,
        "class_names": ("middle", "narrow", "wide"),
    }
    assert packed.images.shape == (21, channels, size, size)
    # One of each eight is held out, the same ones whenever the folder is read.
    assert np.bincount(packed.test_labels).tolist() == [1, 1, 1]
    assert np.array_equal(packed.test_images, load(folder).test_images)


def test_picture_shows_one_image_of_each_class(tmp_path: Path) -> None:
    command("prepare", "--data", write_folder(tmp_path / "stripes"), "--out", tmp_path / "out.npz")

    with Image.open(tmp_path / "out_classes.png") as picture:
        assert picture.size == (3 * 28, 28)
        wide = np.asarray(picture)[:, 56:]
    packed = load(tmp_path / "out.npz")
    assert np.array_equal(wide, packed.images[packed.labels == 2][0, 0])


def test_size_crops_the_middle_of_oblong_pictures(tmp_path: Path) -> None:
    for name in ("red", "blue"):
        (tmp_path / "set" / name).mkdir(parents=True)
        for index in range(4):
            picture = Image.new("RGB", (90 + index, 40), "white")
            picture.paste(name, (20, 0, 70, 40))
            picture.save(tmp_path / "set" / name / f"{index}.png")

    result = command("prepare", "--data", tmp_path / "set", "--out", tmp_path / "out.npz", "--size", 32)

    assert result.exit_code == 0, result.output
    packed = load(tmp_path / "out.npz")
    assert np.array_equal(packed.images[packed.labels == 0][0, :, 16, 16], (0, 0, 255))
    assert packed.images.shape[2:] == (32, 32)


def test_remarks_name_rare_classes_and_few_images(tmp_path: Path) -> None:
    images, labels = stripes(60, 28, 1, 3)
    labels[:58] = 0
    labels[58:] = (1, 2)
    np.savez(tmp_path / "rare.npz", images=images, labels=labels)

    result = command("prepare", "--data", tmp_path / "rare.npz", "--out", tmp_path / "out.npz")

    assert "'1' has 1 training images" in result.output
    assert "--augment" in result.output
    assert "no test image of 1, 2" in result.output


def test_one_level_too_high_is_told_which_to_give(tmp_path: Path) -> None:
    write_folder(tmp_path / "set" / "paper")
    write_folder(tmp_path / "set" / "cloth")
    assert_refused(tmp_path / "set", "one level too high", "'cloth'")


def test_empty_class_folder_is_named(tmp_path: Path) -> None:
    write_folder(tmp_path / "set")
    (tmp_path / "set" / "none").mkdir()
    assert_refused(tmp_path / "set", "none holds no images")


def test_mixed_sizes_are_named_with_the_remedy(tmp_path: Path) -> None:
    write_folder(tmp_path / "set")
    Image.new("L", (30, 30)).save(tmp_path / "set" / "wide" / "odd.png")
    assert_refused(tmp_path / "set", "mixes 2 sizes", "wide/odd.png", "--size N")


def test_size_that_no_network_makes_is_refused_with_the_remedy(tmp_path: Path) -> None:
    assert_refused(
        write_folder(tmp_path / "set", size=40), "40x40", "28x28, 32x32, 64x64, 128x128", "--size N"
    )


def test_cut_idx_file_is_named(tmp_path: Path) -> None:
    folder = write_idx(tmp_path / "idx")
    file = folder / "train-images-idx3-ubyte.gz"
    file.write_bytes(file.read_bytes()[:-50])
    assert_refused(folder, "train-images-idx3-ubyte.gz cannot be read")


def test_missing_idx_file_is_named(tmp_path: Path) -> None:
    folder = write_idx(tmp_path / "idx")
    (folder / "t10k-labels-idx1-ubyte.gz").unlink()
    assert_refused(folder, "t10k-labels-idx1-ubyte.gz")


def test_class_without_images_is_named(tmp_path: Path) -> None:
    images, _ = stripes(9, 28, 1, 3)
    np.savez(tmp_path / "gap.npz", images=images, labels=np.arange(9) % 2 * 2)
    assert_refused(tmp_path / "gap.npz", "no training image of class 1")


def test_pickled_npz_is_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "objects.npz", images=np.array([object()]), labels=np.array([0]))
    assert_refused(tmp_path / "objects.npz", "without pickles")


def assert_refused(data: Path, *words: str) -> None:
    """One line that holds these words; exit code 1; nothing written."""
    out = data.parent / "refused.npz"
    result = command("prepare", "--data", data, "--out", out)
    assert result.exit_code == 1, result.output
    assert result.output.startswith("Error: ")
    assert result.output.count("\n") == 1
    for word in words:
        assert word in result.output
    assert not list(data.parent.glob("refused*"))


def test_fashion_mnist_gets_its_class_names() -> None:
    folder = Path("/usr/share/datasets/fashion-mnist")
    needs(folder.is_dir(), "dataset-fashion-mnist")
    dataset = load(folder)
    assert dataset.class_names == FASHION_MNIST
    assert (len(dataset.images), len(dataset.test_images)) == (60_000, 10_000)
