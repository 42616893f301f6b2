"""Images with masks as they lie in folders; what is wrong with them is said in one line that names the file."""

import numpy as np
import pytest
from PIL import Image
from scene_folders import camvid_like, cityscapes_like

from sluicegate.data.scenes import IGNORE, has_scenes, read_mask, read_scenes
from sluicegate.errors import InputError, RunError, SluicegateError


def test_camvids_layout_is_read_in_the_order_of_names(tmp_path):
    scenes = read_scenes(camvid_like(tmp_path), "train")
    assert [file.name for file in scenes.images] == [f"{n}.png" for n in range(8)]
    assert [file.parent.name for file in scenes.masks] == ["trainannot"] * 8
    assert scenes.classes == ("road", "sky", "tree") and scenes.sides == (24, 32)
    stored = np.asarray(Image.open(scenes.masks[3]))
    assert np.array_equal(read_mask(scenes.masks[3], scenes), stored)


def test_without_names_the_classes_are_camvids(tmp_path):
    (camvid_like(tmp_path) / "classes.txt").unlink()
    classes = read_scenes(tmp_path, "test").classes
    assert len(classes) == 11 and (classes[0], classes[3], classes[10]) == ("sky", "road", "bicyclist")


@pytest.mark.parametrize("value", [3, 255])
def test_void_counts_for_nothing(tmp_path, value):
    scenes = read_scenes(camvid_like(tmp_path), "train")
    Image.fromarray(np.full((24, 32), value, np.uint8)).save(scenes.masks[0])
    assert (read_mask(scenes.masks[0], scenes) == IGNORE).all()


def test_cityscapes_label_ids_become_its_19_classes(tmp_path):
    scenes = read_scenes(cityscapes_like(tmp_path), "test")
    assert scenes.images[0].parts[-3:] == ("val", "ulm", "ulm_000000_000019_leftImg8bit.png")
    assert len(scenes.classes) == 19
    found = read_mask(scenes.masks[0], scenes)[0]
    names = [scenes.classes[n] if n != IGNORE else None for n in found]
    assert names == ["road", "sky", "vegetation", None, None]


def test_a_set_of_scenes_is_told_by_its_folders(tmp_path):
    assert has_scenes(camvid_like(tmp_path / "a")) and has_scenes(cityscapes_like(tmp_path / "b"))
    (tmp_path / "c" / "train" / "cat").mkdir(parents=True)
    assert not has_scenes(tmp_path / "c")


def refusal(tmp_path, kind: type[SluicegateError] = InputError):
    with pytest.raises(kind) as refused:
        read_scenes(tmp_path, "train")
    assert "\n" not in str(refused.value)
    return str(refused.value)


def test_a_missing_mask_is_named_by_its_image(tmp_path):
    (camvid_like(tmp_path) / "trainannot" / "5.png").unlink()
    assert f"image {tmp_path / 'train' / '5.png'} has no mask in" in refusal(tmp_path)


def test_a_missing_image_is_named_by_its_mask(tmp_path):
    (camvid_like(tmp_path) / "train" / "5.png").unlink()
    assert f"mask {tmp_path / 'trainannot' / '5.png'} has no image" in refusal(tmp_path)


def test_a_mask_of_another_size_is_named(tmp_path):
    file = camvid_like(tmp_path) / "trainannot" / "5.png"
    Image.fromarray(np.zeros((24, 31), np.uint8)).save(file)
    assert f"mask {file} is 24x31 pixels, its image 24x32 pixels; they must be equal" in refusal(tmp_path)


def test_a_scene_of_another_size_is_named(tmp_path):
    folder = camvid_like(tmp_path)
    for split in ("train", "trainannot"):
        Image.fromarray(np.zeros((16, 32), np.uint8)).save(folder / split / "5.png")
    assert f"image {folder / 'train' / '5.png'} is 16x32 pixels, others 24x32" in refusal(tmp_path)


@pytest.mark.parametrize("place", ["train", "trainannot"])
def test_a_folder_that_is_not_there_is_named(tmp_path, place):
    (camvid_like(tmp_path) / place).rename(tmp_path / "elsewhere")
    assert f"{str(tmp_path / place)!r} is not a folder" in refusal(tmp_path)


def test_two_images_of_one_name_are_named(tmp_path):
    folder = camvid_like(tmp_path)
    Image.open(folder / "train" / "5.png").save(folder / "train" / "5.bmp")
    assert "5.bmp and " in refusal(tmp_path) and "have one name, and so one mask" in refusal(tmp_path)


def test_an_image_that_is_to_be_turned_is_named(tmp_path):
    file = camvid_like(tmp_path) / "train" / "5.png"
    exif = Image.Exif()
    exif[0x0112] = 3
    Image.open(file).save(file, exif=exif)
    assert f"{file} is to be turned by its EXIF orientation" in refusal(tmp_path, RunError)


@pytest.mark.parametrize(("text", "message"), [("", "0 names"), ("a\nb\na", "3 names"), ("a\udcff", "is not text")])
def test_classes_that_are_none_are_refused(tmp_path, text, message):
    (camvid_like(tmp_path) / "classes.txt").write_bytes(text.encode(errors="surrogateescape"))
    assert message in refusal(tmp_path)


def test_a_damaged_image_is_named(tmp_path):
    file = camvid_like(tmp_path) / "train" / "5.png"
    file.write_bytes(file.read_bytes()[:20])
    assert f"{file} is not a readable image" in refusal(tmp_path, RunError)


def test_a_class_index_out_of_range_is_named(tmp_path):
    scenes = read_scenes(camvid_like(tmp_path), "train")
    Image.fromarray(np.full((24, 32), 4, np.uint8)).save(scenes.masks[0])
    with pytest.raises(RunError, match=r"mask .*0\.png holds class index 4; known are 0\.\.3, 255, for 3 classes"):
        read_mask(scenes.masks[0], scenes)


def test_an_unknown_label_of_cityscapes_is_named(tmp_path):
    scenes = read_scenes(cityscapes_like(tmp_path, (7, 34)), "train")
    with pytest.raises(RunError, match=r"labelIds\.png holds class index 34; known are 0\.\.33, 255, for 19 classes"):
        read_mask(scenes.masks[0], scenes)


def test_a_mask_in_colour_is_named(tmp_path):
    scenes = read_scenes(camvid_like(tmp_path), "train")
    Image.fromarray(np.zeros((24, 32, 3), np.uint8)).save(scenes.masks[0])
    with pytest.raises(RunError, match=r"mask .*0\.png is of mode RGB; it must have one channel of 8 bits"):
        read_mask(scenes.masks[0], scenes)
