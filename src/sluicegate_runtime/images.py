"""Image files as pixels, with NumPy alone if possible. Training and prediction both read files with this module.

If Pillow is installed, it reads the formats that `pillow.py` lists. Without it, `.npy`, PGM and PPM (binary, 8 bits)
and most PNG files (see `png.py`) can be read. Pictures are turned upright by their EXIF orientation, of 16-bit channels
the upper 8 bits are kept, and alpha is dropped.

H W pixels, C channels: 1 (grey) or 3 (red, green, blue); a `.npy` may have any number.
"""

import io
import os
import re
from pathlib import Path

import numpy as np

from .errors import InputError, one_line
from .png import SIGNATURE, decode_png

# Magic, width, height and largest value, apart by white space and comments; one white space, then the pixels.
_PNM_HEADER = re.compile(rb"P([56])" + 3 * rb"(?:\s|#[^\n]*\n)+(\d{1,9})" + rb"\s")


def read_image(path: str | os.PathLike[str]) -> np.ndarray:
    """The pixels of a file, uint8 [H, W, C]. InputError, one line with the path, where it is no image that can be
    read here."""
    try:
        return decode_image(Path(path).read_bytes())
    except OSError as error:
        raise InputError(f"image: {path} cannot be read: {error.strerror or one_line(error)}") from None
    except InputError as error:
        raise InputError(f"image: {path} {error}") from None


def decode_image(content: bytes) -> np.ndarray:
    """The pixels of a file's bytes, uint8 [H, W, C]. InputError if they are no image that can be read here; its text
    goes on where a name was said: "is not ..."."""
    if content.startswith(b"\x93NUMPY"):
        return _from_npy(content)
    try:
        from .pillow import decode_with_pillow
    except ImportError:
        return _without_pillow(content)
    return decode_with_pillow(content)


def _without_pillow(content: bytes) -> np.ndarray:
    if content.startswith(SIGNATURE):
        return decode_png(content)
    if content[:2] in (b"P5", b"P6"):
        return _from_pnm(content)
    raise InputError("is not .npy, PNG, PGM or PPM; Pillow reads other kinds, but is not installed")


def _from_npy(content: bytes) -> np.ndarray:
    try:
        pixels = np.load(io.BytesIO(content), allow_pickle=False)
    except Exception:  # NumPy reads the header with Python's parser, which can raise any exception
        raise InputError("is a damaged .npy file") from None
    if pixels.dtype != np.uint8 or pixels.ndim not in (2, 3) or not pixels.size:
        raise InputError(f"holds {pixels.dtype} {pixels.shape}, not uint8 [H, W] or [H, W, C]")
    return _with_channels(pixels)


def _from_pnm(content: bytes) -> np.ndarray:
    header = _PNM_HEADER.match(content)
    if header is None:
        raise InputError("is a damaged PGM or PPM file")
    kind, width, height, most = (int(number) for number in header.groups())
    if most != 255:
        raise InputError(f"counts to {most}; without Pillow only PGM and PPM of 8 bits, to 255, are read")
    pixels = np.frombuffer(content, np.uint8, offset=header.end())
    channels = 1 if kind == 5 else 3
    if not pixels.size or pixels.size != height * width * channels:
        raise InputError(f"is cut short: {pixels.size} bytes are no {width}x{height} pixels")
    return pixels.reshape(height, width, channels)


def _with_channels(pixels: np.ndarray) -> np.ndarray:
    return pixels[:, :, None] if pixels.ndim == 2 else pixels
