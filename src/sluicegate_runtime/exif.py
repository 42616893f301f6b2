"""Which way up a picture is, by the EXIF tag `Orientation`, and how it is turned upright.

    value   1        2             3      4          5           6          7            8
    turn    none     left-right    180    up-down    transpose   90 right   transverse   90 left

An EXIF block is a small TIFF file: byte order, 42, place of a directory; the directory is a count, then entries of 12
bytes: tag, type, count, value.

Source: CIPA DC-008 (Exif 3.0), section 4.6.5. H W pixels, C channels.
"""

import struct

import numpy as np

ORIENTATION = 0x0112
_SHORT = 3  # the type of a number of two bytes
_ORDERS = {b"II*\0": "<", b"MM\0*": ">"}


def orientation_of(block: bytes) -> int:
    """1 to 8; 1, upright, where the block says nothing or is damaged."""
    order = _ORDERS.get(block[:4])
    if order is None:
        return 1
    try:
        (start,) = struct.unpack_from(order + "I", block, 4)
        (entries,) = struct.unpack_from(order + "H", block, start)
        for place in range(start + 2, start + 2 + 12 * entries, 12):
            tag, kind, _, value = struct.unpack_from(order + "HHIH", block, place)
            if (tag, kind) == (ORIENTATION, _SHORT):
                return value if 1 <= value <= 8 else 1
    except struct.error:  # the block ends before what it names
        pass
    return 1


def upright(pixels: np.ndarray, orientation: int) -> np.ndarray:
    """[H, W, C] as it is stored -> as it is to be seen, [H, W, C] or [W, H, C]."""
    if orientation in (5, 6, 7, 8):
        pixels = pixels.swapaxes(0, 1)
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    return np.ascontiguousarray(pixels)
