"""Augmentation of one image at a time, as worker processes do it; every image gets draws of its own.

    crop    a share of the area, uniform in `crop_scale`, with an aspect log-uniform in [3/4, 4/3], resized to the set's
            size (Szegedy et al. 2015, "Going deeper with convolutions", section 6; boxes as torchvision draws them)
    flip    left to right with a chance of one half
    jitter  brightness, contrast and saturation, each times a factor uniform in [1 - jitter, 1 + jitter]
    rand_augment  two random operations of that magnitude, 0 to 30 (Cubuk et al. 2020)

The last two are torchvision's (`transforms.v2`), which need not be installed for the others.

Shapes: H x W pixels of a file, h x w of the set, C channels.
"""

import importlib
import math
from dataclasses import dataclass
from functools import lru_cache
from types import ModuleType

import numpy as np
import torch

from sluicegate.data.pixels import fit
from sluicegate.errors import InputError, one_line

ASPECT = 3 / 4, 4 / 3
TRIES = 10  # to find a crop that lies in the image
RAND_AUGMENT_OPS = 2


@dataclass(frozen=True)
class Augment:
    """What is drawn for each training image.

    Args:
        crop_scale: least and most share of the area; None: the largest centred square, always the same.
        flip: whether some are mirrored.
        jitter: in [0, 1].
        rand_augment: magnitude, 0 to 30; None: none.

    Raises:
        InputError: a value outside its range, or torchvision is needed and does not import.

    Example:
        train = stream("photos", "train", "folder/of/photos", size=224, augment=Augment(crop_scale=(0.25, 1)))
    """

    crop_scale: tuple[float, float] | None = (0.08, 1.0)
    flip: bool = True
    jitter: float = 0.0
    rand_augment: int | None = None

    def __post_init__(self) -> None:
        if self.crop_scale is not None and not 0 < self.crop_scale[0] <= self.crop_scale[1] <= 1:
            raise InputError(f"crop_scale: {list(self.crop_scale)} must be two shares in (0, 1], the least first")
        if not 0 <= self.jitter <= 1:
            raise InputError(f"jitter: {self.jitter} is not in [0, 1]")
        if self.rand_augment is not None and not 0 <= self.rand_augment <= 30:
            raise InputError(f"rand_augment: {self.rand_augment} is not in 0..30")
        if self.jitter or self.rand_augment is not None:
            transforms()

    def __call__(self, read: np.ndarray, size: int, rng: np.random.Generator) -> np.ndarray:
        """uint8 [H, W, C] -> [h, w, C] with h = w = size; what is drawn depends on `rng` alone."""
        box = None if self.crop_scale is None else draw_box(read.shape[0], read.shape[1], self.crop_scale, rng)
        fitted = fit(read, (size, size)) if box is None else _cropped(read, box, size)
        if self.flip and rng.random() < 0.5:
            fitted = fitted[:, ::-1]
        return _recoloured(fitted, self, rng) if self.jitter or self.rand_augment is not None else fitted


def draw_box(
    height: int, width: int, scale: tuple[float, float], rng: np.random.Generator
) -> tuple[int, int, int, int] | None:
    """Top, left, height and width of a crop; None if none was found that lies in the image."""
    for _ in range(TRIES):
        area = height * width * rng.uniform(scale[0], scale[1])
        aspect = math.exp(rng.uniform(math.log(ASPECT[0]), math.log(ASPECT[1])))
        w, h = round(math.sqrt(area * aspect)), round(math.sqrt(area / aspect))
        if 0 < w <= width and 0 < h <= height:
            return int(rng.integers(height - h + 1)), int(rng.integers(width - w + 1)), h, w
    return None


def _cropped(read: np.ndarray, box: tuple[int, int, int, int], size: int) -> np.ndarray:
    top, left, h, w = box
    return fit(read[top : top + h, left : left + w], (size, size), box=(0, 0, w, h))


def _recoloured(fitted: np.ndarray, augment: Augment, rng: np.random.Generator) -> np.ndarray:
    image = torch.from_numpy(np.array(fitted.transpose(2, 0, 1), order="C"))  # [C, h, w], ours to write to
    with torch.random.fork_rng(devices=[]):  # torchvision draws from torch's own generator
        torch.manual_seed(int(rng.integers(2**63)))
        for change in _changes(augment):
            image = change(image)
    return image.numpy().transpose(1, 2, 0)


@lru_cache
def _changes(augment: Augment) -> list:
    strength = augment.jitter
    jitter = [transforms().ColorJitter(strength, strength, strength)] if strength else []
    if augment.rand_augment is None:
        return jitter
    return [*jitter, transforms().RandAugment(RAND_AUGMENT_OPS, augment.rand_augment)]


@lru_cache
def transforms() -> ModuleType:
    """torchvision's transforms; it raises RuntimeError where its binary part does not fit torch."""
    try:
        return importlib.import_module("torchvision.transforms.v2")
    except (ImportError, RuntimeError) as error:
        needs = "jitter and rand_augment need torchvision, which does not import"
        raise InputError(f"augment: {needs} ({one_line(error)}); try: pip install torchvision") from error
