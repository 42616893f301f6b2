"""Augmentation of single images: in its range, of its own for each, and refused where it cannot be."""

import sys

import numpy as np
import pytest
import torch
from PIL import Image

from sluicegate.data import Augment, draws
from sluicegate.data.draws import draw_box
from sluicegate.errors import InputError

PIXELS = np.random.default_rng(0).integers(0, 256, (40, 60, 3), np.uint8)


def rng(seed: int) -> np.random.Generator:
    return np.random.default_rng(seed)


def test_boxes_lie_in_the_image_with_areas_and_aspects_in_range() -> None:
    for seed in range(500):
        box = draw_box(40, 60, (0.2, 0.9), rng(seed))
        assert box is not None
        top, left, h, w = box
        assert 0 <= top <= 40 - h and 0 <= left <= 60 - w
        assert 0.18 < h * w / 2400 < 0.93  # sides are rounded
        assert 0.7 < w / h < 1.42


def test_boxes_are_drawn_as_torchvision_draws_them() -> None:
    """Means of place, height and width over 4,000 draws of either, to 5 standard deviations of their difference."""
    crop = pytest.importorskip("torchvision.transforms").RandomResizedCrop
    image, n = torch.zeros(1, 90, 120), 4000
    torch.manual_seed(0)
    theirs = np.array([crop.get_params(image, (0.08, 1.0), (3 / 4, 4 / 3)) for _ in range(n)])
    ours = np.array([box for box in (draw_box(90, 120, (0.08, 1.0), rng(seed)) for seed in range(n)) if box])
    assert len(ours) > 0.99 * n  # torchvision's centre, where none is found, is not told apart
    spread = np.sqrt((ours.var(0) + theirs.var(0)) / n)
    assert (np.abs(ours.mean(0) - theirs.mean(0)) < 5 * spread).all()


def test_a_strip_has_no_such_box_and_its_centre_is_taken() -> None:
    strip = np.repeat(np.arange(200, dtype=np.uint8)[None, :, None], 2, 0)  # 2 x 200
    assert draw_box(2, 200, (0.5, 1.0), rng(0)) is None
    found = Augment(crop_scale=(0.5, 1.0), flip=False)(strip, 2, rng(0))
    assert found[:, :, 0].tolist() == [[99, 100], [99, 100]]


def test_a_crop_is_that_part_resized() -> None:
    augment = Augment(crop_scale=(0.2, 0.5), flip=False)
    for seed in range(20):
        box = draw_box(40, 60, (0.2, 0.5), rng(seed))
        assert box is not None
        top, left, h, w = box
        part = Image.fromarray(PIXELS[top : top + h, left : left + w])
        wanted = np.asarray(part.resize((16, 16), Image.Resampling.BILINEAR)).astype(int)
        assert np.abs(augment(PIXELS, 16, rng(seed)) - wanted).max() <= 1  # Pillow rounds once where it may


def test_every_other_image_is_mirrored() -> None:
    plain, flipped = Augment(crop_scale=None, flip=False), Augment(crop_scale=None)
    straight = plain(PIXELS, 16, rng(0))
    found = [flipped(PIXELS, 16, rng(seed)) for seed in range(400)]
    mirrored = sum(np.array_equal(one, straight[:, ::-1]) for one in found)
    assert mirrored + sum(np.array_equal(one, straight) for one in found) == 400
    assert abs(mirrored - 200) < 5 * 10  # standard deviation 10


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("options", [{"jitter": 0.4}, {"rand_augment": 9}, {"jitter": 0.2, "rand_augment": 15}])
def test_colours_change_by_the_draw_alone(options: dict, channels: int) -> None:
    pytest.importorskip("torchvision")
    augment, pixels = Augment(crop_scale=None, flip=False, **options), PIXELS[:, :, :channels]
    torch.manual_seed(1)
    first = [augment(pixels, 16, rng(seed)) for seed in range(4)]
    torch.manual_seed(2)
    again = [augment(pixels, 16, rng(seed)) for seed in range(4)]
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    assert len({one.tobytes() for one in first}) > 1
    assert first[0].shape == (16, 16, channels) and first[0].dtype == np.uint8
    assert torch.equal(torch.rand(1), torch.rand(1, generator=torch.Generator().manual_seed(2)))


def test_without_torchvision_crops_are_drawn_and_colours_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torchvision.transforms.v2", None)
    draws.transforms.cache_clear()
    try:
        assert Augment()(PIXELS, 16, rng(0)).shape == (16, 16, 3)
        for jitter, magnitude in ((0.1, None), (0.0, 0)):
            with pytest.raises(InputError, match=r"^augment: jitter and rand_augment need torchvision, .* pip install"):
                Augment(jitter=jitter, rand_augment=magnitude)
    finally:
        draws.transforms.cache_clear()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"crop_scale": (0, 1)}, r"crop_scale: \[0, 1\] must be two shares"),
        ({"crop_scale": (0.5, 0.2)}, r"crop_scale: \[0.5, 0.2\] must be"),
        ({"crop_scale": (0.5, 1.2)}, r"crop_scale: \[0.5, 1.2\] must be"),
        ({"jitter": -0.1}, "jitter: -0.1 is not in"),
        ({"rand_augment": 31}, "rand_augment: 31 is not in"),
    ],
)
def test_what_cannot_be_drawn_is_refused(options: dict, message: str) -> None:
    with pytest.raises(InputError, match=f"^{message}"):
        Augment(**options)
