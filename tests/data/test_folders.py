"""Image folders as users have them: what computers put beside the images is no class and no image."""

import os
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from sluicegate.data import load
from sluicegate.data.folders import NOT_OURS
from sluicegate.errors import InputError, RunError


def write(path: Path, value: int = 0, mode: str = "RGB") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, (4, 4), value).save(path)


@pytest.fixture
def pets(tmp_path: Path) -> Path:
    for split in ("train", "test"):
        for label, name in enumerate(("cat", "dog")):
            for number in range(2):
                write(tmp_path / split / name / f"{number}.png", 40 * label + number)
    return tmp_path


def assert_unchanged(pets: Path) -> None:
    for split in ("train", "test"):
        found = load("pets", split, pets)
        assert found.classes == ("cat", "dog") and found.labels.tolist() == [0, 0, 1, 1]


@pytest.mark.parametrize("name", [".ipynb_checkpoints", ".git", *sorted(NOT_OURS)])
def test_a_computer_s_own_folders_are_no_classes(name: str, pets: Path) -> None:
    for split in ("train", "test"):
        write(pets / split / name / "0.png")
        write(pets / split / "cat" / name / "0.png")
    assert_unchanged(pets)


@pytest.mark.parametrize("name", ["._0.png", ".0.png", ".DS_Store", "Thumbs.db", "desktop.ini", "notes.txt"])
def test_a_computer_s_own_files_are_no_images(name: str, pets: Path) -> None:
    for place in ("train", "test", "train/cat", "test/dog"):
        (pets / place / name).write_bytes(b"\0\5\x16\7\0\2\0\0Mac OS X")
    assert_unchanged(pets)


def test_a_folder_named_like_an_image_is_a_folder(pets: Path) -> None:
    write(pets / "train" / "cat" / "more.png" / "2.png", 2)
    assert load("pets", "train", pets).labels.tolist() == [0, 0, 0, 1, 1]


def test_links_are_followed_and_never_in_circles(pets: Path) -> None:
    (pets / "elsewhere").mkdir()
    (pets / "train" / "dog").rename(pets / "elsewhere" / "dog")
    (pets / "train" / "dog").symlink_to(pets / "elsewhere" / "dog")
    (pets / "train" / "cat" / "again").symlink_to(pets / "train" / "cat")
    assert_unchanged(pets)


@pytest.mark.parametrize(
    "names", [("grey cat", "Hündchen, klein", "日本 50%"), ("a=b", "c:d", "[e]*"), ("0", "1", "10")]
)
def test_classes_may_have_any_name(names: tuple[str, ...], tmp_path: Path) -> None:
    for name in names:
        write(tmp_path / "train" / name / "ein Bild #1.png")
    assert load("pets", "train", tmp_path).classes == tuple(sorted(names))


def test_a_grey_test_split_of_a_colour_set_is_in_colour(pets: Path) -> None:
    for name in ("cat", "dog"):
        for number in range(2):
            write(pets / "test" / name / f"{number}.png", 7, "L")
    test = load("pets", "test", pets)
    assert test.images.shape == (4, 3, 4, 4) and torch.all(test.images == 7)


def test_a_colour_test_split_of_a_grey_set_is_grey(tmp_path: Path) -> None:
    write(tmp_path / "train" / "cat" / "0.png", 7, "L")
    write(tmp_path / "test" / "cat" / "0.png", 0x030201)
    assert load("pets", "test", tmp_path).images.flatten().unique().tolist() == [2]


def test_a_rare_image_in_colour_makes_the_set_colour(tmp_path: Path) -> None:
    for number in range(1100):  # more than are measured for the statistics
        write(tmp_path / "train" / "one" / f"{number:04}.png", number % 200, "RGB" if number == 5 else "L")
    train = load("pets", "train", tmp_path)
    assert train.images.shape == (1100, 3, 4, 4) and len(train.mean) == 3
    assert load("pets", "train", tmp_path, limit=2).mean == train.mean


def test_images_that_never_change_have_a_spread_to_divide_by(tmp_path: Path) -> None:
    write(tmp_path / "train" / "one" / "0.png", 9, "L")
    assert load("pets", "train", tmp_path).std == (1.0,)


@pytest.mark.parametrize("name", ["IMG_1.HEIC", "a.jxl"])
def test_pictures_that_are_not_read_are_not_passed_over(name: str, pets: Path) -> None:
    (pets / "train" / "cat" / name).write_bytes(b"a picture")
    with pytest.raises(InputError, match=rf"^data: '.*{name}' is of a kind that is not read; images end in \.avif"):
        load("pets", "train", pets)


def test_a_class_without_images_is_named(pets: Path) -> None:
    (pets / "train" / "emu").mkdir()
    with pytest.raises(InputError, match=r"^data: class 'emu' of '.*train' holds no images; images end in"):
        load("pets", "train", pets)
    (pets / "train" / "emu").rmdir()
    (pets / "test" / "emu").mkdir()
    assert_unchanged(pets)


def test_images_without_classes_are_refused(tmp_path: Path) -> None:
    write(tmp_path / "train" / "0.png")
    with pytest.raises(InputError, match=r"^data: '.*train' holds no images; it must hold a folder for each class$"):
        load("pets", "train", tmp_path)


@pytest.mark.parametrize("place", ["train", "train/cat", "train/cat/more"])
def test_a_folder_that_may_not_be_read_is_named(place: str, pets: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The system's answer is played, since root may read everything."""
    write(pets / "train" / "cat" / "more" / "2.png")
    scandir = os.scandir

    def refusing(path):
        if Path(path) == pets / place:
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refusing)
    with pytest.raises(RunError, match=r"^data: '.*' cannot be read: .*Permission denied"):
        load("pets", "train", pets)


def test_a_folder_that_fails_while_it_is_read_is_named(pets: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def scandir(path):
        raise OSError(5, "Input/output error", str(path))

    monkeypatch.setattr(os, "scandir", scandir)
    with pytest.raises(RunError, match=r"^data: '.*' cannot be read: .*Input/output error"):
        load("pets", "train", pets)


def test_pixels_are_in_the_order_of_classes(pets: Path) -> None:
    assert np.array_equal(load("pets", "train", pets).images[:, 0, 0, 0].numpy(), [0, 1, 40, 41])
