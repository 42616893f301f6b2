"""Masks as PNG files in which every class has its colour.

    signature, IHDR (colour type 3: one byte a pixel, an index), PLTE (three bytes a colour), IDAT, IEND

Colours are those of PASCAL VOC: the bits of an index, spread over the upper bits of red, green and blue.

Source: https://www.w3.org/TR/png-3/, sections 5 and 11. H W pixels, K classes.
"""

import os
import struct
import zlib

import numpy as np

from .errors import InputError
from .files import whole_file
from .png import SIGNATURE

MAX_CLASSES = 256


def palette(count: int = MAX_CLASSES) -> np.ndarray:
    """uint8 [count, 3]: red, green and blue of each class.

    Example:
        >>> palette()[mask]  # uint8 [H, W, 3]
    """
    index = np.arange(count)[:, None]
    bits = [((index >> (3 * bit + np.arange(3))) & 1) << (7 - bit) for bit in range(3)]
    return np.sum(bits, axis=0).astype(np.uint8)


def save_mask(path: str | os.PathLike[str], mask: np.ndarray) -> None:
    """Write a mask, integers [H, W] in 0..255, whole or not at all. InputError if nothing can be written there."""
    with whole_file(path, folders=True) as part:
        part.write_bytes(encode_mask(mask))


def encode_mask(mask: np.ndarray) -> bytes:
    """The bytes of a PNG file. InputError if the mask is no [H, W] of integers in 0..255."""
    if mask.ndim != 2 or not mask.size or mask.min() < 0 or mask.max() >= MAX_CLASSES:
        raise InputError(f"mask: {mask.dtype} {mask.shape} must be [H, W] with classes in 0..{MAX_CLASSES - 1}")
    height, width = mask.shape
    rows = np.zeros((height, width + 1), np.uint8)  # a row begins with its filter, 0: none
    rows[:, 1:] = mask
    chunks = [
        (b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 3, 0, 0, 0)),
        (b"PLTE", palette().tobytes()),
        (b"IDAT", zlib.compress(rows.tobytes())),
        (b"IEND", b""),
    ]
    return SIGNATURE + b"".join(_chunk(kind, data) for kind, data in chunks)


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
