"""What Pillow opens, as pixels of 8 bits a channel, upright. Only this file imports Pillow.

| the file's pixels | become |
|---|---|
| grey, 1 bit to 8 bits, with or without alpha | grey |
| grey, 16 bits | grey: the upper 8 bits, as Pillow itself takes them of colours with 16 bits |
| palette, red-green-blue, YCbCr, CMYK, with or without alpha | red, green, blue |
| anything else: floating point, 32 bits, 12 bits, Lab | refused: nobody knows which value is white |

Alpha is dropped. Of a file with several pictures the first is read.

H W pixels, C channels: 1 or 3.
"""

import io
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

from .errors import InputError, one_line
from .exif import ORIENTATION, upright

# All formats that store pixels. Others are left out on purpose: for EPS, for example, Pillow starts Ghostscript.
_FORMATS = (
    *("AVIF", "BMP", "DIB", "GIF", "ICO", "JPEG", "JPEG2000", "MPO"),
    *("PCX", "PNG", "PPM", "SGI", "TGA", "TIFF", "WEBP"),
)
_GREY = ("1", "L", "LA", "La")
_COLOUR = ("P", "PA", "RGB", "RGBA", "RGBX", "RGBa", "YCbCr", "CMYK")
_GREY_16 = ("I;16", "I;16B", "I;16L", "I;16N")
_GREY_16_WITH_ALPHA = "LA;16B"  # of a PNG, which Pillow opens as colour
_GREY_16_AS_32 = ("PNG", "PPM")  # formats whose 16 bits some versions of Pillow hand over in mode "I", of 32
_BITS_PER_SAMPLE, _PHOTOMETRIC, _WHITE_IS_ZERO = 258, 262, 0  # tags of TIFF, and a value of the second


def decode_with_pillow(content: bytes) -> np.ndarray:
    """uint8 [H, W, C] of a file's bytes. InputError, one line, where they are no picture that can be read."""
    if not content:
        raise InputError("is not a readable image (it is empty)")
    try:
        with _opened(io.BytesIO(content)) as picture:
            grey = _has_grey(picture)
            picture.load()
            return upright(_eight_bits(picture, grey), _orientation(picture))
    except InputError:
        raise
    except UnidentifiedImageError:  # whose words are of a stream at some address
        raise InputError("is not a readable image (of no known kind, or damaged where it begins)") from None
    except Exception as error:  # Pillow can raise any exception of its readers
        raise InputError(f"is not a readable image ({one_line(error)})") from None


def is_grey(source: bytes | Path) -> bool:
    """Whether `decode_with_pillow` would give one channel, by the file's header alone. Of a file that is no picture,
    True: whoever reads its pixels will say so."""
    try:
        with _opened(source if isinstance(source, Path) else io.BytesIO(source)) as picture:
            return _has_grey(picture)
    except Exception:  # as above
        return True


def _opened(source: io.BytesIO | Path) -> Image.Image:
    Image.init()  # without it a format that is only known later is looked up in vain
    return Image.open(source, formats=[name for name in _FORMATS if name in Image.OPEN])


def _has_grey(picture: Image.Image) -> bool:
    """Of a picture that is not yet loaded."""
    return picture.mode in (*_GREY, *_GREY_16, "I", "F") or _raw_mode(picture) == _GREY_16_WITH_ALPHA


def _raw_mode(picture: Image.Image) -> str:
    """How the file has its pixels, where that is a matter of one word."""
    tile = getattr(picture, "tile", None)
    how = tile[0][3] if tile else ""
    return how if isinstance(how, str) else ""


def _eight_bits(picture: Image.Image, grey: bool) -> np.ndarray:
    """[H, W, C], as it is stored."""
    if picture.mode in _GREY_16 or (picture.mode == "I" and picture.format in _GREY_16_AS_32):
        _check_tiff(picture)
        return (np.asarray(picture) >> 8).astype(np.uint8)[:, :, None]
    if picture.mode in _GREY or (grey and picture.mode == "RGBA"):
        return np.asarray(_flat(picture).convert("L"))[:, :, None]
    if picture.mode in _COLOUR:
        return np.asarray(_flat(picture).convert("RGB"))
    raise InputError(f"has pixels of Pillow's mode {picture.mode!r}; only 8 and 16 bits are read, grey, colour or CMYK")


def _flat(picture: Image.Image) -> Image.Image:
    """Ready for a conversion that drops alpha: colours not multiplied with it, and no warning about a palette's."""
    if picture.mode in ("La", "RGBa"):
        return picture.convert({"La": "LA", "RGBa": "RGBA"}[picture.mode])
    return picture.convert("RGBA") if picture.mode == "P" and "transparency" in picture.info else picture


def _check_tiff(picture: Image.Image) -> None:
    """TIFF has kinds of 16 bits that Pillow hands over as they are stored."""
    tags = getattr(picture, "tag_v2", {})
    if tags.get(_PHOTOMETRIC) == _WHITE_IS_ZERO:
        raise InputError("has 16 bits with 0 for white, which is not read; save it with 0 for black")
    if tags.get(_BITS_PER_SAMPLE, (16,)) != (16,):
        raise InputError(f"has {tags[_BITS_PER_SAMPLE][0]} bits a value, not 8 or 16; which value is white is unknown")


def _orientation(picture: Image.Image) -> int:
    try:
        return picture.getexif().get(ORIENTATION, 1)
    except Exception:  # the picture can be read even if the camera's notes are damaged
        return 1
