"""Masks as PNG files, read back by another library."""

import io

import numpy as np
import pytest

from sluicegate_runtime import InputError, palette, save_mask
from sluicegate_runtime.masks import encode_mask

pytest.importorskip("PIL", reason="Pillow is not installed")

from PIL import Image


@pytest.mark.parametrize("sides", [(1, 1), (5, 7), (120, 160)])
def test_a_mask_comes_back_with_its_colours(sides):
    mask = np.random.default_rng(0).integers(0, 256, sides)
    picture = Image.open(io.BytesIO(encode_mask(mask)))
    picture.load()
    assert picture.mode == "P" and np.array_equal(np.asarray(picture), mask)
    assert np.array_equal(np.asarray(picture.convert("RGB")), palette()[mask])


def test_the_palette_is_pascal_vocs():
    known = [(0, 0, 0), (128, 0, 0), (0, 128, 0), (128, 128, 0), (0, 0, 128), (128, 0, 128), (0, 128, 128)]
    assert [tuple(one) for one in palette()[:7].tolist()] == known
    assert palette()[255].tolist() == [224, 224, 192]
    assert len(np.unique(palette(), axis=0)) == 256


def test_a_file_is_whole_or_not_there(tmp_path):
    save_mask(tmp_path / "made" / "a.png", np.ones((2, 3), np.int64))
    assert np.asarray(Image.open(tmp_path / "made" / "a.png")).sum() == 6
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot be written"):
        save_mask(tmp_path / "file" / "a.png", np.ones((2, 3), np.int64))


@pytest.mark.parametrize("mask", [np.full((2, 2), 256), np.full((2, 2), -1), np.zeros((2, 2, 1)), np.zeros((0, 2))])
def test_what_is_no_mask_is_refused(mask):
    with pytest.raises(InputError, match=r"must be .* with classes in 0\.\.255"):
        encode_mask(mask)
