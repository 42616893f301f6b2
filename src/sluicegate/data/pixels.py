"""From encoded images to pixels of one size and one number of channels.

Files are read as prediction reads them (`sluicegate_runtime.images`), and fitted as it fits them: the same pixels, to
the bit. Shapes: N images, C channels, H x W pixels of a file, h x w of the set.
"""

import os
import warnings
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from PIL import Image

from sluicegate.errors import InputError, RunError
from sluicegate_runtime.images import decode_image, read_image
from sluicegate_runtime.pillow import is_grey
from sluicegate_runtime.preprocess import with_channels

DECODE_CHUNK = 256


Encoded = bytes | Path | np.ndarray
"""One image: an encoded file's bytes, its path, or uint8 pixels [H, W]."""


def channels_of(images: Iterable[Encoded]) -> int:
    """1 where every image is grey, else 3; only the headers of files are read, up to the first in colour."""
    return 1 if all(isinstance(image, np.ndarray) or is_grey(image) for image in images) else 3


def decode_images(images: Sequence[Encoded], size: int | None, channels: int, place: str) -> np.ndarray:
    """The pixels of one image at least, uint8 [N, C, h, w].

    Args:
        images: still encoded.
        size: resize the shortest side to it and crop the centre. None takes images as they are.
        channels: 1 or 3; grey images become colour, and colour images grey.
        place: where they are from, for errors.

    Raises:
        InputError: `size` is None and the images differ in size.
        RunError: an image is not readable.
    """
    chunks = [images[i : i + DECODE_CHUNK] for i in range(0, len(images), DECODE_CHUNK)]
    with warnings.catch_warnings(), ThreadPoolExecutor(os.cpu_count()) as pool:  # decoding does not hold Python's lock
        warnings.filterwarnings("ignore", module="PIL")  # about unusual camera notes, which do not matter here
        decoded = pool.map(lambda chunk: [pixels(image, size, channels, place) for image in chunk], chunks)
        return _stack([image for chunk in decoded for image in chunk], place)


def pixels(image: Encoded, size: int | None, channels: int, place: str) -> np.ndarray:
    """One image, uint8 [C, h, w]; `size` and `channels` as in `decode_images`.

    Raises:
        RunError: it is not readable; where it has no path, `place` is named.
    """
    read = with_channels(read_pixels(image, place), channels)
    return (read if size is None else fit(read, (size, size))).transpose(2, 0, 1)


def read_pixels(image: Encoded, place: str) -> np.ndarray:
    """uint8 [H, W, C], as it is stored in the file, upright. RunError as in `pixels`."""
    try:
        if isinstance(image, np.ndarray):
            return image[:, :, None]
        return read_image(image) if isinstance(image, Path) else decode_image(image)
    except InputError as error:
        raise RunError(f"data: {_reason(error, image, place)}") from error


def _reason(error: InputError, image: Encoded, place: str) -> str:
    return str(error).removeprefix("image: ") if isinstance(image, Path) else f"an image of {place} {error}"


def fit(read: np.ndarray, size: Sequence[int], box: Sequence[float] | None = None) -> np.ndarray:
    """uint8 [H, W, C] -> [h, w, C].

    Args:
        read: the pixels.
        size: h and w.
        box: left, top, right and bottom of what is to fill the size; of the largest centred box of that shape if None.
    """
    height, width = read.shape[:2]
    if box is None and (height, width) == tuple(size):
        return read
    left, top, right, bottom = _centred(read.shape[:2], size) if box is None else box
    picture = Image.fromarray(read.squeeze(2) if read.shape[2] == 1 else read)
    # One pass at a time: otherwise Pillow processes the columns of some images first, which rounds differently.
    picture = picture.resize((size[1], height), Image.Resampling.BILINEAR, (left, 0, right, height))
    picture = picture.resize((size[1], size[0]), Image.Resampling.BILINEAR, (0, top, size[1], bottom))
    return np.asarray(picture).reshape(*size, -1)


def _centred(shape: Sequence[int], size: Sequence[int]) -> tuple[float, float, float, float]:
    scale = min(side / wanted for side, wanted in zip(shape, size, strict=True))
    height, width = shape
    h, w = (
        min(wanted * scale, side) for side, wanted in zip(shape, size, strict=True)
    )  # one of them, but for rounding
    return (width - w) / 2, (height - h) / 2, (width + w) / 2, (height + h) / 2


def _stack(images: list[np.ndarray], place: str) -> np.ndarray:
    shape = images[0].shape
    for image in images:
        if image.shape != shape:
            sizes = f"{shape[1]}x{shape[2]} and {image.shape[1]}x{image.shape[2]}"
            raise InputError(f"size: None, but {place} has images of {sizes}; give a size to resize and crop them to")
    return np.stack(images)
