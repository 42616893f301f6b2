"""Scales, crops and mirror images of a scene: the mask goes where the image goes."""

import numpy as np
import pytest
from scene_folders import colour, scene

from sluicegate.data.scene_draws import SceneAugment, View, resized, seen
from sluicegate.data.scenes import IGNORE
from sluicegate.errors import InputError


def both(view: View, size: tuple[int, int], sides: tuple[int, int] = (32, 48)) -> tuple[np.ndarray, np.ndarray]:
    image, mask = scene(np.random.default_rng(1), sides)
    return seen(image, view, size, np.array([1, 2, 3], np.uint8)), seen(mask, view, size, np.uint8(IGNORE))


@pytest.mark.parametrize("mirrored", [False, True])
@pytest.mark.parametrize("corner", [(0, 0), (5, 9), (16, 16)])
def test_a_crop_is_those_pixels(corner, mirrored):
    image, mask = scene(np.random.default_rng(1), (32, 48))
    found, labels = both(View((32, 48), corner, mirrored), (16, 32))
    rows, columns = slice(corner[0], corner[0] + 16), slice(corner[1], corner[1] + 32)
    turn = slice(None, None, -1 if mirrored else 1)
    assert np.array_equal(found, image[rows, columns][:, turn])
    assert np.array_equal(labels, mask[rows, columns][:, turn])


@pytest.mark.parametrize("sides", [(64, 96), (50, 75), (20, 30)])
@pytest.mark.parametrize("mirrored", [False, True])
def test_image_and_mask_stay_together_at_any_scale(sides, mirrored):
    found, labels = both(View(sides, (3, 2), mirrored), (16, 24))
    colours = colour(np.arange(3)).astype(int)  # [3, 3]
    looked = np.abs(found[:, :, None].astype(int) - colours).sum(-1).argmin(-1)
    assert (looked == labels).mean() > 0.9, "all but some edges of blocks, where colours mix; by chance a third"


def test_a_scaled_crop_is_the_crop_of_the_scaled_scene():
    image, mask = scene(np.random.default_rng(1), (32, 48))
    found, labels = both(View((64, 96), (10, 20), False), (24, 32))
    assert np.abs(found.astype(int) - resized(image, (64, 96))[10:34, 20:52]).max() <= 1
    assert np.array_equal(labels, resized(mask, (64, 96))[10:34, 20:52])


def test_around_what_is_too_small_stands_the_fill():
    found, labels = both(View((16, 24), (0, 0), False), (20, 24))
    assert (found[:2] == [1, 2, 3]).all() and (found[18:] == [1, 2, 3]).all()
    assert (labels[:2] == IGNORE).all() and (labels[18:] == IGNORE).all() and (labels[2:18] != IGNORE).all()


def test_draws_lie_in_their_ranges():
    augment = SceneAugment((16, 24), (0.5, 2.0), flip=True)
    rng = np.random.default_rng(0)
    views = [augment.draw((32, 48), rng) for _ in range(400)]
    heights = [view.sides[0] for view in views]
    assert min(heights) < 18 and max(heights) > 62 and all(16 <= height <= 64 for height in heights)
    assert all(0 <= view.corner[0] <= max(0, view.sides[0] - 16) for view in views)
    assert 0.4 < np.mean([view.mirrored for view in views]) < 0.6
    assert np.mean(heights) == pytest.approx(40, abs=2), "uniform in the factor"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"crop": (0, 8)}, r"crop: \[0, 8\] must be a height and a width"),
        ({"crop": (8, 8), "scale": (2.0, 0.5)}, r"scale: \[2\.0, 0\.5\] must be two factors"),
        ({"scale": (0.5, 2.0)}, r"scale: \[0\.5, 2\.0\] needs a crop"),
    ],
)
def test_what_cannot_be_drawn_is_refused(arguments, message):
    with pytest.raises(InputError, match=message):
        SceneAugment(**arguments)
