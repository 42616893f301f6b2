"""Parquet, IDX and image folders, written by hand, read whole and read when broken."""

import gzip
import io
import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image

from sluicegate.data import ImageSet, load
from sluicegate.errors import InputError, RunError

RNG = np.random.default_rng(0)
COLOUR = RNG.integers(0, 256, (5, 6, 7, 3), np.uint8)  # [N, H, W, C]
GREY = RNG.integers(0, 256, (5, 6, 7), np.uint8)  # [N, H, W]
LABELS = [1, 0, 2, 1, 0]


def png(pixels: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def write_parquet(file: Path, pixels: np.ndarray, labels: list[int], described: bool = True) -> None:
    """A file in the layout of the Hugging Face hub, with or without its description of the columns."""
    images = [{"bytes": png(image), "path": None} for image in pixels]
    struct = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    table = pa.table({"img": pa.array(images, struct), "label": pa.array(labels, pa.int64())})
    features = {"img": {"_type": "Image"}, "label": {"_type": "ClassLabel", "names": ["ant", "bee", "cat"]}}
    if described:
        table = table.replace_schema_metadata({"huggingface": json.dumps({"info": {"features": features}})})
    file.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, file)


def write_idx(file: Path, values: np.ndarray) -> None:
    header = bytes([0, 0, 8, values.ndim]) + np.array(values.shape, ">u4").tobytes()
    content = header + values.astype(np.uint8).tobytes()
    file.write_bytes(gzip.compress(content) if file.suffix == ".gz" else content)


def write_idx_set(folder: Path, prefix: str, suffix: str = "") -> None:
    write_idx(folder / f"{prefix}-images-idx3-ubyte{suffix}", GREY)
    write_idx(folder / f"{prefix}-labels-idx1-ubyte{suffix}", np.array(LABELS))


def write_image(file: Path, pixels: np.ndarray) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(file)


def assert_holds(images: ImageSet, pixels: np.ndarray, labels: list[int]) -> None:
    expected = pixels[:, None] if pixels.ndim == 3 else pixels.transpose(0, 3, 1, 2)
    assert torch.equal(images.images, torch.from_numpy(expected.copy()))
    assert images.labels.tolist() == labels


@pytest.mark.parametrize("place", ["train-00000-of-00002.parquet", "data/train-00000-of-00002.parquet"])
def test_parquet_is_read_in_the_order_of_its_files(tmp_path: Path, place: str) -> None:
    write_parquet(tmp_path / place.replace("00000", "00001"), COLOUR[3:], LABELS[3:])
    write_parquet(tmp_path / place, COLOUR[:3], LABELS[:3])
    images = load("bugs", "train", data_dir=tmp_path)
    assert_holds(images, COLOUR, LABELS)
    assert images.classes == ("ant", "bee", "cat")


def test_parquet_without_description_is_read_by_the_columns_names(tmp_path: Path) -> None:
    write_parquet(tmp_path / "train-0.parquet", GREY, LABELS, described=False)
    images = load("bugs", "train", data_dir=tmp_path)
    assert_holds(images, GREY, LABELS)
    assert images.classes == ("0", "1", "2")


@pytest.mark.parametrize("name", ["test", "validation"])
def test_the_test_split_has_several_names_and_the_training_split_s_statistics(tmp_path: Path, name: str) -> None:
    write_parquet(tmp_path / "train-0.parquet", COLOUR, LABELS)
    write_parquet(tmp_path / f"{name}-0.parquet", COLOUR[:2], LABELS[:2])
    test = load("bugs", "test", data_dir=tmp_path)
    assert_holds(test, COLOUR[:2], LABELS[:2])
    assert test.mean == pytest.approx((COLOUR / 255).mean((0, 1, 2)))
    assert test.std == pytest.approx((COLOUR / 255).std((0, 1, 2)))


@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_idx_is_read(tmp_path: Path, suffix: str) -> None:
    write_idx_set(tmp_path, "train", suffix)
    write_idx_set(tmp_path, "t10k", suffix)
    assert_holds(load("mnist", "test", data_dir=tmp_path), GREY, LABELS)
    assert_holds(load("mnist", "train", data_dir=tmp_path), GREY, LABELS)


def test_fashion_mnist_has_named_classes(tmp_path: Path) -> None:
    write_idx_set(tmp_path, "train")
    assert load("fashion_mnist", "train", data_dir=tmp_path).classes[9] == "Ankle boot"


def test_an_image_folder_is_read_by_class(tmp_path: Path) -> None:
    for i, label in enumerate(LABELS):
        write_image(tmp_path / "train" / "abc"[label] / f"{i}.png", COLOUR[i])
    (tmp_path / "train" / "a" / "notes.txt").write_text("not an image")
    order = [1, 4, 0, 3, 2]
    assert_holds(load("pets", "train", data_dir=tmp_path), COLOUR[order], [LABELS[i] for i in order])


def test_a_test_folder_that_lacks_a_class_keeps_the_training_labels(tmp_path: Path) -> None:
    for name in ("train/a", "train/b", "train/c", "val/c"):
        write_image(tmp_path / name / "1.png", COLOUR[0])
    test = load("pets", "test", data_dir=tmp_path)
    assert test.classes == ("a", "b", "c") and test.labels.tolist() == [2]
    write_image(tmp_path / "val" / "d" / "1.png", COLOUR[0])
    with pytest.raises(InputError, match=r"val' has class 'd', which '.*train' has not"):
        load("pets", "test", data_dir=tmp_path)


def test_grey_images_among_coloured_become_colour(tmp_path: Path) -> None:
    write_image(tmp_path / "train" / "a" / "1.png", GREY[0])
    write_image(tmp_path / "train" / "a" / "2.png", COLOUR[0])
    images = load("pets", "train", data_dir=tmp_path).images
    assert torch.equal(images[0], torch.from_numpy(GREY[0]).expand(3, 6, 7))


def test_size_scales_the_shortest_side_and_crops_the_centre(tmp_path: Path) -> None:
    wide = np.zeros((10, 30), np.uint8)
    wide[:, 8:22] = 200  # the middle third is what is left, and scaling looks two pixels further
    write_image(tmp_path / "train" / "a" / "1.png", wide)
    images = load("pets", "train", data_dir=tmp_path, size=5).images
    assert images.shape == (1, 1, 5, 5)
    assert (images == 200).all()


def test_images_of_several_sizes_need_a_size(tmp_path: Path) -> None:
    write_image(tmp_path / "train" / "a" / "1.png", COLOUR[0])
    write_image(tmp_path / "train" / "a" / "2.png", COLOUR[0].transpose(1, 0, 2).copy())
    message = r"^size: None, but .* has images of 6x7 and 7x6; give a size to resize and crop them to$"
    with pytest.raises(InputError, match=message):
        load("pets", "train", data_dir=tmp_path)
    assert load("pets", "train", data_dir=tmp_path, size=6).images.shape == (2, 3, 6, 6)


def test_a_folder_without_the_split_is_refused(tmp_path: Path) -> None:
    write_parquet(tmp_path / "train-0.parquet", COLOUR, LABELS)
    with pytest.raises(InputError, match=r"has no test split; it must hold .* named test, t10k, validation"):
        load("bugs", "test", data_dir=tmp_path)


def test_an_empty_split_is_refused(tmp_path: Path) -> None:
    (tmp_path / "train").mkdir()
    with pytest.raises(InputError, match=r"^data: .*train' holds no images; it must hold a folder for each class$"):
        load("pets", "train", data_dir=tmp_path)


def test_a_label_outside_the_classes_is_refused(tmp_path: Path) -> None:
    write_parquet(tmp_path / "train-0.parquet", COLOUR, [0, 1, 2, 3, 0])
    with pytest.raises(InputError, match=r"^labels: 0\.\.3 must lie in 0\.\.2"):
        load("bugs", "train", data_dir=tmp_path)


def truncate(file: Path, keep: int) -> None:
    file.write_bytes(file.read_bytes()[:keep])


def assert_unreadable(folder: Path, message: str) -> None:
    with pytest.raises(RunError, match=message) as caught:
        load("bugs", "train", data_dir=folder)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("keep", [0, 10, 300])
def test_a_truncated_parquet_file_is_named(tmp_path: Path, keep: int) -> None:
    write_parquet(tmp_path / "train-0.parquet", COLOUR, LABELS)
    truncate(tmp_path / "train-0.parquet", keep)
    assert_unreadable(tmp_path, r"train-0\.parquet is not a readable parquet file")


def test_a_parquet_file_of_other_columns_is_named(tmp_path: Path) -> None:
    pq.write_table(pa.table({"text": ["a"], "label": [0]}), tmp_path / "train-0.parquet")
    assert_unreadable(tmp_path, r"train-0\.parquet has columns \['text', 'label'\], but an image and a label")


def test_a_set_that_lies_there_in_two_forms_is_refused(tmp_path: Path) -> None:
    for form in ("160px", "320px"):
        write_parquet(tmp_path / form / "train-0.parquet", COLOUR, LABELS)
    with pytest.raises(InputError, match=r"160px' and '.*320px' both have train files; name one with --data-dir$"):
        load("bugs", "train", data_dir=tmp_path)
    assert len(load("bugs", "train", data_dir=tmp_path / "160px")) == len(LABELS)


@pytest.mark.parametrize("name", [".ipynb_checkpoints", "__MACOSX"])
def test_a_computer_s_own_folders_hold_no_parquet(name: str, tmp_path: Path) -> None:
    for place in (tmp_path, tmp_path / name):
        write_parquet(place / "train-0.parquet", COLOUR, LABELS)
    assert len(load("bugs", "train", data_dir=tmp_path)) == len(LABELS)


def test_images_may_be_a_column_of_bytes(tmp_path: Path) -> None:
    pq.write_table(pa.table({"image": [png(one) for one in GREY], "label": LABELS}), tmp_path / "train-0.parquet")
    assert_holds(load("bugs", "train", data_dir=tmp_path), GREY, LABELS)


@pytest.mark.parametrize("metadata", [b"", b"{", b"[]", b'{"info": {"features": []}}'])
def test_a_strange_description_is_passed_over(metadata: bytes, tmp_path: Path) -> None:
    table = pa.table({"image": [png(one) for one in GREY], "label": LABELS})
    pq.write_table(table.replace_schema_metadata({b"huggingface": metadata}), tmp_path / "train-0.parquet")
    assert_holds(load("bugs", "train", data_dir=tmp_path), GREY, LABELS)


@pytest.mark.parametrize(
    ("labels", "images", "message"),
    [
        (["ant", "bee"], [b"", b""], "has labels of type string, 0 missing; all must be whole"),
        ([0, None], [b"", b""], "has labels of type int64, 1 missing; all must be whole"),
        ([0, 1], [png(GREY[0]), None], "has an image without bytes; it must hold the images themselves"),
        ([0, 1], [1, 2], "has an image without bytes; it must hold the images themselves"),
    ],
)
def test_parquet_that_lacks_something_is_named(labels: list, images: list, message: str, tmp_path: Path) -> None:
    pq.write_table(pa.table({"image": images, "label": labels}), tmp_path / "train-0.parquet")
    assert_unreadable(tmp_path, rf"train-0\.parquet {message}")


def test_a_test_split_has_the_training_split_s_classes(tmp_path: Path) -> None:
    write_parquet(tmp_path / "train-0.parquet", COLOUR, LABELS, described=False)
    write_parquet(tmp_path / "test-0.parquet", COLOUR[:2], LABELS[:2], described=False)
    assert load("bugs", "test", data_dir=tmp_path).classes == ("0", "1", "2")
    write_parquet(tmp_path / "test-0.parquet", COLOUR, LABELS)
    with pytest.raises(InputError, match=r"^data: .* and .* have other classes, or in another order$"):
        load("bugs", "test", data_dir=tmp_path)


@pytest.mark.parametrize("keep", [0, 3, 9, 16, 100])
def test_a_truncated_idx_file_is_named(tmp_path: Path, keep: int) -> None:
    write_idx_set(tmp_path, "train")
    truncate(tmp_path / "train-images-idx3-ubyte", keep)
    assert_unreadable(tmp_path, "train-images-idx3-ubyte is not a readable IDX file")


def test_a_truncated_gzip_file_is_named(tmp_path: Path) -> None:
    write_idx_set(tmp_path, "train", ".gz")
    truncate(tmp_path / "train-images-idx3-ubyte.gz", 50)
    assert_unreadable(tmp_path, r"train-images-idx3-ubyte\.gz is not a readable IDX file")


def test_idx_labels_that_are_missing_or_too_few_are_named(tmp_path: Path) -> None:
    write_idx_set(tmp_path, "train")
    write_idx(tmp_path / "train-labels-idx1-ubyte", np.array(LABELS[:4]))
    assert_unreadable(tmp_path, r"train-images-idx3-ubyte is \[5, 6, 7\], but its labels are \[4\]")
    (tmp_path / "train-labels-idx1-ubyte").unlink()
    assert_unreadable(tmp_path, "train-labels-idx1-ubyte is not a readable IDX file")


def test_a_truncated_image_is_named(tmp_path: Path) -> None:
    write_image(tmp_path / "train" / "a" / "1.png", COLOUR[0])
    truncate(tmp_path / "train" / "a" / "1.png", 60)
    assert_unreadable(tmp_path, r"1\.png is not a readable image")
