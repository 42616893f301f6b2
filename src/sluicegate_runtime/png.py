"""PNG with zlib and NumPy: 8 or 16 bits a channel, grey or colour, with or without alpha, not interlaced.

    signature, then chunks:  4 bytes length L, 4 bytes type, L bytes, 4 bytes CRC-32 over type and bytes
    IHDR    width, height, bits, colour type, compression, filter method, interlacing
    IDAT    all of them joined, inflated: per row one byte that names its filter, then the row
    eXIf    which way up it is (see `exif.py`)

Each byte of a row is stored as its distance from what the filter predicts of `a` (the same byte of the pixel to the
left), `b` (above) and `c` (above to the left), modulo 256. Of 16 bits the upper 8 are kept.

Source: https://www.w3.org/TR/png-3/, sections 5, 9 and 11. H W pixels, C channels, B bytes of a pixel.
"""

import struct
import zlib
from collections.abc import Callable, Iterator

import numpy as np

from .errors import InputError
from .exif import orientation_of, upright

SIGNATURE = b"\x89PNG\r\n\x1a\n"
MAX_SIDE = 16_384
CHANNELS = {0: 1, 2: 3, 4: 2, 6: 4}  # by colour type: grey, colour, grey with alpha, colour with alpha


def decode_png(content: bytes) -> np.ndarray:
    """uint8 [H, W, C] with C = 1 or 3: alpha is dropped. InputError if the file is damaged or of another kind."""
    chunks = list(_chunks(content))
    if not chunks or chunks[0][0] != b"IHDR" or len(chunks[0][1]) != 13:
        raise InputError("is a damaged PNG file: it does not begin with its header")
    width, height, bits, colour, *_, interlacing = struct.unpack(">IIBBBBB", chunks[0][1])
    if bits not in (8, 16) or colour not in CHANNELS or interlacing:
        raise InputError(
            "is a PNG file with a palette, less than 8 bits or interlacing, which Pillow reads, but is not installed"
        )
    if not (0 < width <= MAX_SIDE and 0 < height <= MAX_SIDE):
        raise InputError(f"is {width}x{height}, outside 1..{MAX_SIDE} pixels a side")
    channels, each = CHANNELS[colour], bits // 8
    packed = b"".join(data for kind, data in chunks if kind == b"IDAT")
    rows = _inflated(packed, height * (1 + width * channels * each)).reshape(height, -1)
    pixels = _unfiltered(rows[:, 0], rows[:, 1:].reshape(height, width, channels * each))[:, :, ::each]
    turn = next((orientation_of(data) for kind, data in chunks if kind == b"eXIf"), 1)
    return upright(pixels[:, :, : 3 if channels > 2 else 1], turn)


def _chunks(content: bytes) -> Iterator[tuple[bytes, bytes]]:
    """(type, bytes) up to the end or to where the file is cut off."""
    at = len(SIGNATURE)
    while at + 12 <= len(content):
        end = at + 8 + int.from_bytes(content[at : at + 4], "big")
        if zlib.crc32(content[at + 4 : end]).to_bytes(4, "big") != content[end : end + 4]:
            raise InputError("is a damaged PNG file: a chunk does not match its CRC")
        yield content[at + 4 : at + 8], content[at + 8 : end]
        at = end + 4


def _inflated(packed: bytes, size: int) -> np.ndarray:
    try:
        data = zlib.decompressobj().decompress(packed, size)  # a bomb is inflated no further
    except zlib.error:
        data = b""
    if len(data) != size:
        raise InputError("is a damaged PNG file: its pixels are cut short")
    return np.frombuffer(data, np.uint8)


def _unfiltered(filters: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """[H], [H, W, B] -> [H, W, B]."""
    if filters.max() >= len(_FILTERS):
        raise InputError(f"is a damaged PNG file: there is no filter {filters.max()}")
    pixels = np.empty_like(rows)
    above = np.zeros_like(rows[0])
    for y, kind in enumerate(filters):
        above = pixels[y] = _FILTERS[kind](rows[y], above)
    return pixels


def _none(row: np.ndarray, above: np.ndarray) -> np.ndarray:
    return row


def _sub(row: np.ndarray, above: np.ndarray) -> np.ndarray:
    return np.cumsum(row, axis=0, dtype=np.uint8)


def _up(row: np.ndarray, above: np.ndarray) -> np.ndarray:
    return row + above


def _average(row: np.ndarray, above: np.ndarray) -> np.ndarray:
    return _from_the_left(row, above, lambda a, b, c: (a + b) >> 1)


def _paeth(row: np.ndarray, above: np.ndarray) -> np.ndarray:
    return _from_the_left(row, above, _nearest)


def _from_the_left(row: np.ndarray, above: np.ndarray, predict: Callable[[int, int, int], int]) -> np.ndarray:
    """Each pixel needs the one before it: byte by byte, on Python's own numbers."""
    found = np.empty_like(row)
    for channel in range(row.shape[1]):
        a = c = 0
        out = bytearray()
        for x, b in zip(row[:, channel].tolist(), above[:, channel].tolist(), strict=True):
            a, c = (x + predict(a, b, c)) & 255, b
            out.append(a)
        found[:, channel] = np.frombuffer(out, np.uint8)
    return found


def _nearest(a: int, b: int, c: int) -> int:
    """Whichever of the three is nearest to a + b - c; of equally near ones the first."""
    to_a, to_b, to_c = abs(b - c), abs(a - c), abs(a + b - 2 * c)
    if to_a <= to_b and to_a <= to_c:
        return a
    return b if to_b <= to_c else c


_FILTERS = (_none, _sub, _up, _average, _paeth)
