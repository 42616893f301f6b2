"""Random augmentation of a scene, the same for its image and its mask.

    scale   both sides by a factor uniform in `scale`
    crop    `crop` pixels at a random place; a smaller scene is padded with a fill value
    mirror  left to right with a chance of one half

Images are resized by Pillow's bilinear filter, masks take the nearest pixel.

Source: Zhao et al. 2017 (PSPNet), section 5.1; batch shaping, appendix B.3.

Legend: C channels, H W pixels of a scene, h w of what comes out.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from PIL import Image

from sluicegate.errors import InputError


class View(NamedTuple):
    """What is looked at of a scaled scene: its sides, the corner, and whether it is mirrored."""

    sides: tuple[int, int]
    corner: tuple[int, int]
    mirrored: bool


@dataclass(frozen=True)
class SceneAugment:
    """What is drawn for each training scene.

    Args:
        crop: h and w; None: the whole scene, which is then not scaled.
        scale: least and largest factor.
        flip: whether some are mirrored.
        centred: crop the middle instead of a random place.

    Raises:
        InputError: a value outside its range.

    Example:
        >>> SceneAugment(crop=(448, 672), scale=(0.5, 2.0), flip=True)  # batch shaping's, for Cityscapes
    """

    crop: tuple[int, int] | None = None
    scale: tuple[float, float] = (1.0, 1.0)
    flip: bool = False
    centred: bool = False

    def __post_init__(self) -> None:
        if self.crop is not None and min(self.crop) < 1:
            raise InputError(f"crop: {list(self.crop)} must be a height and a width of 1 or more")
        if not 0 < self.scale[0] <= self.scale[1]:
            raise InputError(f"scale: {list(self.scale)} must be two factors above 0, the least first")
        if self.crop is None and self.scale != (1.0, 1.0):
            raise InputError(f"scale: {list(self.scale)} needs a crop: scenes of a batch must be of one size")

    def draw(self, sides: tuple[int, int], rng: np.random.Generator) -> View:
        """What to look at of a scene of h and w."""
        factor = rng.uniform(*self.scale)
        scaled = (max(1, round(sides[0] * factor)), max(1, round(sides[1] * factor)))
        room = [max(0, have - want) for have, want in zip(scaled, self.crop or scaled, strict=True)]
        corner = [spare // 2 if self.centred else int(rng.integers(spare + 1)) for spare in room]
        return View(scaled, (corner[0], corner[1]), bool(self.flip and rng.random() < 0.5))


def seen(pixels: np.ndarray, view: View, size: tuple[int, int], fill: np.ndarray | np.uint8) -> np.ndarray:
    """A view of an image [H, W, C] or a mask [H, W] at a size of h and w; `fill` stands around what is too small."""
    inner = [min(have, want) for have, want in zip(view.sides, size, strict=True)]
    ratio = [side / scaled for side, scaled in zip(pixels.shape, view.sides, strict=False)]
    begin = [at * one for at, one in zip(view.corner, ratio, strict=True)]
    end = [(at + side) * one for at, side, one in zip(view.corner, inner, ratio, strict=True)]
    found = resized(pixels, (inner[0], inner[1]), (begin[1], begin[0], end[1], end[0]))
    if view.mirrored:
        found = found[:, ::-1]
    if inner == list(size):
        return found
    whole = np.full((*size, *pixels.shape[2:]), fill, np.uint8)
    top, left = ((want - have) // 2 for want, have in zip(size, inner, strict=True))
    whole[top : top + inner[0], left : left + inner[1]] = found
    return whole


def resized(
    pixels: np.ndarray, size: tuple[int, int], box: tuple[float, float, float, float] | None = None
) -> np.ndarray:
    """An image [H, W, C], bilinear, or a mask [H, W], nearest, at h and w; of a box: left, top, right and bottom."""
    if pixels.shape[:2] == size and box in (None, (0, 0, size[1], size[0])):
        return pixels
    resampling = Image.Resampling.NEAREST if pixels.ndim == 2 else Image.Resampling.BILINEAR
    sides = pixels.shape[:2]
    box = box and (box[0], box[1], min(box[2], sides[1]), min(box[3], sides[0]))  # which rounding may have left above
    return np.asarray(Image.fromarray(pixels).resize((size[1], size[0]), resampling, box))
