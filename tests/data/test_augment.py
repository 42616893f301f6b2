"""Batch augmentation: right for each image, drawn for each image apart, alike on one process and on many."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from sluicegate.data import HorizontalFlip, Normalize, PadCrop, augment
from sluicegate.errors import InputError


def pictures(n: int, channels: int = 3, height: int = 6, width: int = 5) -> Tensor:
    """Random images without a black pixel, so that padding can be told from content."""
    generator = torch.Generator().manual_seed(n)
    return torch.randint(1, 256, (n, channels, height, width), dtype=torch.uint8, generator=generator)


def crops(image: Tensor, padding: int) -> list[Tensor]:
    """Every crop that padding allows, in the order of (y, x)."""
    height, width = image.shape[1:]
    padded = nn.functional.pad(image, (padding,) * 4)
    places = range(2 * padding + 1)
    return [padded[:, y : y + height, x : x + width] for y in places for x in places]


@given(padding=st.integers(1, 4), n=st.integers(1, 5), channels=st.integers(1, 3))
def test_a_padded_crop_is_one_of_those_possible(padding: int, n: int, channels: int) -> None:
    images = pictures(n, channels)
    for image, result in zip(images, PadCrop(padding)(images), strict=True):
        assert any(torch.equal(result, crop) for crop in crops(image, padding))


def test_every_image_is_cropped_at_a_place_of_its_own() -> None:
    """Of 9 places each is met by a ninth of the images of one batch, to 5 standard deviations."""
    n = 4500
    torch.manual_seed(0)
    image = pictures(1)
    results = PadCrop(1)(image.expand(n, -1, -1, -1))
    counts = [int((results == crop).flatten(1).all(1).sum()) for crop in crops(image[0], 1)]
    assert sum(counts) == n
    assert all(abs(count - n / 9) < 5 * math.sqrt(n / 9 * 8 / 9) for count in counts)


def test_every_image_is_flipped_or_not_on_its_own() -> None:
    n = 4000
    torch.manual_seed(0)
    image = pictures(1)
    results = HorizontalFlip()(image.expand(n, -1, -1, -1))
    flipped = (results == image.flip(-1)).flatten(1).all(1)
    kept = (results == image).flatten(1).all(1)
    assert (flipped ^ kept).all()
    assert abs(int(flipped.sum()) - n / 2) < 5 * math.sqrt(n / 4)
    neighbours = int((flipped[1:] == flipped[:-1]).sum())  # as often equal as not, if drawn apart
    assert abs(neighbours - n / 2) < 5 * math.sqrt(n / 4)


@pytest.mark.parametrize("module", [PadCrop(2), HorizontalFlip()])
def test_evaluation_leaves_images_alone(module: nn.Module) -> None:
    images = pictures(8)
    assert torch.equal(module.eval()(images), images)


@pytest.mark.parametrize("module", [PadCrop(4), HorizontalFlip()])
@pytest.mark.parametrize("world", [2, 3])
def test_many_processes_augment_as_one(module: nn.Module, world: int, monkeypatch: pytest.MonkeyPatch) -> None:
    images = pictures(12)
    torch.manual_seed(7)
    whole = module(images)
    monkeypatch.setattr(augment.dist, "is_initialized", lambda: True)
    monkeypatch.setattr(augment.dist, "get_world_size", lambda: world)
    for rank in range(world):
        monkeypatch.setattr(augment.dist, "get_rank", lambda rank=rank: rank)
        torch.manual_seed(7)
        assert torch.equal(module(images[rank::world]), whole[rank::world])


def test_normalize_has_the_stated_formula_and_no_state() -> None:
    images = pictures(2)
    mean, std = (0.1, 0.2, 0.3), (0.4, 0.5, 0.6)
    module = Normalize(mean, std)
    result = module(images)
    assert result.dtype == torch.float32
    for channel in range(3):
        expected = (images[:, channel].double() / 255 - mean[channel]) / std[channel]
        assert torch.allclose(result[:, channel].double(), expected, atol=1e-6)
    assert module.state_dict() == {}


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(InputError, match="padding: 0 must be 1 or more"):
        PadCrop(0)
    with pytest.raises(InputError, match=r"std: \[1\.0\] must have the length of mean, 2"):
        Normalize((0.0, 0.0), (1.0,))
    with pytest.raises(InputError, match="images: 3 channels, but mean and std have 1"):
        Normalize((0.0,), (1.0,))(pictures(2))
