"""From an image to a program's input, in NumPy.

    share = crop / resize
    box   = the largest centred box with the input's aspect, its sides times `share`
    input = (bilinear(box) / 255 - mean) / std

With `share` 1 this is, to the bit, how training images are fitted (`sluicegate/data/pixels.py`): Pillow's bilinear
filter, a triangle over `max(scale, 1)` pixels to each side, weights in 22 bits, along the rows first, rounded to whole
levels after either pass.

H W pixels of the image, C channels, h w pixels of the program's input, T taps of the filter.
"""

import math
from collections.abc import Sequence

import numpy as np

from .errors import InputError
from .program import Preprocessing, Program

IMAGENET = Preprocessing(mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))
NONE = Preprocessing()  # pixels in [0, 1] as they are

_BITS = 22  # of a weight
_GREY = np.array([19595, 38470, 7471])  # ITU-R 601 in 16 bits, as Pillow has it


def preprocessing_of(program: Program, given: Preprocessing | None = None) -> Preprocessing:
    """How images become the program's input: as `given`, else as the program says. InputError if neither is known,
    or where the figures are not one a channel."""
    how = program.preprocessing if given is None else given
    if how is None:
        raise InputError(
            "preprocessing: the model was exported without any, so how its images were normalised is unknown; "
            "say --preprocessing none, imagenet or MEAN/STD, or export it with preprocessing=..."
        )
    channels = program.shape(program.input)[0]
    if len(how.mean) not in (0, channels) or len(how.std) != len(how.mean):
        raise InputError(
            f"preprocessing: {len(how.mean)} means, {len(how.std)} stds; the network has {channels} channels"
        )
    return how


def parse_preprocessing(text: str) -> Preprocessing:
    """`none` (pixels in [0, 1]), `imagenet`, or `MEAN/STD` with one figure a channel: `0.5,0.5,0.5/0.25,0.25,0.25`.
    InputError for anything else."""
    known = {"none": NONE, "imagenet": IMAGENET}
    if text in known:
        return known[text]
    try:
        mean, std = (tuple(float(figure) for figure in part.split(",")) for part in text.split("/"))
    except ValueError:
        raise InputError(f"preprocessing: {text!r} is not none, imagenet or MEAN/STD such as 0.5,0.5/0.2,0.2") from None
    if len(mean) != len(std) or not all(map(math.isfinite, mean)) or not all(0 < figure < math.inf for figure in std):
        raise InputError(f"preprocessing: {text!r} must have as many stds as means, all of them above 0")
    return Preprocessing(mean=mean, std=std)


def prepare(pixels: np.ndarray, program: Program, preprocessing: Preprocessing | None = None) -> np.ndarray:
    """uint8 [H, W, C] -> float32 [C', h, w], as the program wants it; grey becomes colour, and colour grey. InputError
    where the channels do not fit, or as in `preprocessing_of`."""
    how = preprocessing_of(program, preprocessing)
    channels, *size = program.shape(program.input)
    share = how.crop / how.resize if how.crop and how.resize else 1.0
    fitted = fitted_to(with_channels(pixels, channels), size, share)
    scaled = fitted.transpose(2, 0, 1).astype(np.float32) / np.float32(255)
    if how.mean:
        scaled = (scaled - _column(how.mean)) / _column(how.std)
    return np.ascontiguousarray(scaled)


def with_channels(pixels: np.ndarray, channels: int) -> np.ndarray:
    """[H, W, C] -> [H, W, channels]: grey becomes colour, and colour grey. InputError if it is neither."""
    has = pixels.shape[2]
    if has == 1:
        return np.repeat(pixels, channels, axis=2)
    if (has, channels) == (3, 1):
        return ((pixels @ _GREY + (1 << 15)) >> 16).astype(np.uint8)[:, :, None]
    if has != channels:
        raise InputError(f"image: has {has} channels, but the network takes {channels}")
    return pixels


def fitted_to(pixels: np.ndarray, size: Sequence[int], share: float) -> np.ndarray:
    """[H, W, C] -> [h, w, C]."""
    if pixels.shape[:2] == tuple(size) and share == 1:
        return pixels
    scale = share * min(side / wanted for side, wanted in zip(pixels.shape, size, strict=False))
    across = _resampled(pixels.swapaxes(0, 1), size[1], size[1] * scale).swapaxes(0, 1)  # [H, w, C]
    return _resampled(across, size[0], size[0] * scale)


def _resampled(pixels: np.ndarray, size: int, length: float) -> np.ndarray:
    """[side, ...] -> [size, ...]: the `length` pixels in the middle, filtered."""
    taps, weights = _filter(len(pixels), size, length)
    total = np.full((size, *pixels.shape[1:]), 1 << (_BITS - 1), np.int32)
    for tap, weight in zip(taps, weights, strict=True):
        total += pixels[tap] * weight[:, None, None]
    return np.clip(total >> _BITS, 0, 255).astype(np.uint8)


def _filter(side: int, size: int, length: float) -> tuple[np.ndarray, np.ndarray]:
    """[T, size] each: which pixels every output looks at, and with what weight."""
    length = min(length, side)  # which rounding may have left a trifle above
    begin, end = np.float32((side - length) / 2), np.float32((side + length) / 2)  # Pillow keeps boxes in 32 bits
    scale = float(end - begin) / size
    reach = max(scale, 1.0)
    centre = float(begin) + (np.arange(size) + 0.5) * scale
    first = np.maximum((centre - reach + 0.5).astype(np.int64), 0)
    after = np.minimum((centre + reach + 0.5).astype(np.int64), side)
    taps = first + np.arange((after - first).max())[:, None]
    weight = np.where(taps < after, np.maximum(1 - np.abs((taps - centre + 0.5) / reach), 0), 0)
    weight /= weight.sum(0)
    return np.minimum(taps, side - 1), (weight * (1 << _BITS) + 0.5).astype(np.int32)


def _column(per_channel: tuple[float, ...]) -> np.ndarray:
    return np.array(per_channel, np.float32)[:, None, None]
