"""What cameras, scanners and the web hand over is read as it looks, or refused in one line."""

import io
import warnings
from typing import Any

import numpy as np
import pytest

from sluicegate_runtime import InputError

pytest.importorskip("PIL", reason="Pillow is not installed")

from PIL import Image

from sluicegate_runtime.pillow import decode_with_pillow, is_grey

RAMP = np.tile(np.arange(64, dtype=np.uint8) * 4, (48, 1))  # [48, 64], left dark, right bright
COLOUR = np.stack([RAMP, 255 - RAMP, np.full_like(RAMP, 90)], -1)
LOSSY = 4  # levels of 255 by which JPEG and a palette may be off on average


def file(image: Image.Image, kind: str, **options: Any) -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def rotated(orientation: int) -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif


GREY, RGB = Image.fromarray(RAMP), Image.fromarray(COLOUR)
GREY_16 = Image.fromarray(RAMP.astype(np.uint16) * 257)
GREY_KINDS = {
    "16-bit PNG": file(GREY_16, "PNG"),
    "16-bit TIFF": file(GREY_16, "TIFF"),
    "16-bit PGM": file(GREY_16, "PPM"),
    "16-bit JPEG 2000": file(GREY_16, "JPEG2000"),
    "PNG with alpha": file(GREY.convert("LA"), "PNG"),
    "JPEG": file(GREY, "JPEG", quality=95),
}
COLOUR_KINDS = {
    "palette PNG": file(RGB.quantize(128), "PNG"),
    "palette GIF": file(RGB, "GIF"),
    "PNG with alpha": file(RGB.convert("RGBA"), "PNG"),
    "CMYK JPEG": file(RGB.convert("CMYK"), "JPEG", quality=95, subsampling=0),
    "CMYK TIFF": file(RGB.convert("CMYK"), "TIFF"),
    "YCbCr TIFF": file(RGB.convert("YCbCr"), "TIFF"),
    "lossless WebP": file(RGB, "WEBP", lossless=True),
    "BMP": file(RGB, "BMP"),
}


@pytest.mark.parametrize(("kinds", "wanted"), [(GREY_KINDS, RAMP[:, :, None]), (COLOUR_KINDS, COLOUR)])
def test_pictures_are_read_as_they_look(kinds: dict[str, bytes], wanted: np.ndarray) -> None:
    for name, content in kinds.items():
        found = decode_with_pillow(content)
        assert found.shape == wanted.shape and found.dtype == np.uint8, name
        assert np.abs(found.astype(int) - wanted).mean() <= LOSSY, name
        assert is_grey(content) == (wanted.shape[2] == 1), name


def test_one_bit_is_black_and_white() -> None:
    found = decode_with_pillow(file(Image.fromarray(RAMP > 99), "PNG"))
    assert np.array_equal(found[:, :, 0], (RAMP > 99) * np.uint8(255))


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF", "WEBP"])
@pytest.mark.parametrize(("orientation", "turns"), [(1, 0), (6, -1), (3, 2), (8, 1)])
def test_a_photo_is_turned_upright(kind: str, orientation: int, turns: int) -> None:
    found = decode_with_pillow(file(RGB, kind, exif=rotated(orientation), quality=95))
    wanted = np.rot90(COLOUR, turns)
    assert found.shape == wanted.shape
    assert np.abs(found.astype(int) - wanted).mean() <= LOSSY


def test_mirrored_photos_are_mirrored_back() -> None:
    wanted = {2: COLOUR[:, ::-1], 4: COLOUR[::-1], 5: COLOUR.swapaxes(0, 1), 7: np.rot90(COLOUR, 2).swapaxes(0, 1)}
    for orientation, seen in wanted.items():
        assert np.array_equal(decode_with_pillow(file(RGB, "PNG", exif=rotated(orientation))), seen), orientation


def test_an_orientation_that_does_not_exist_turns_nothing() -> None:
    assert np.array_equal(decode_with_pillow(file(RGB, "PNG", exif=rotated(9))), COLOUR)
    damaged = file(RGB, "PNG", exif=b"Exif\0\0II*\0\xff\xff")
    assert np.array_equal(decode_with_pillow(damaged), COLOUR)


def test_a_palette_with_transparency_is_read_without_a_warning() -> None:
    content = file(RGB.quantize(128), "PNG", transparency=bytes(range(128)))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = decode_with_pillow(content)
    assert np.abs(found.astype(int) - COLOUR).mean() <= LOSSY


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (file(Image.fromarray(RAMP.astype(np.float32)), "TIFF"), "mode 'F'; only 8 and 16 bits are read"),
        (file(Image.fromarray(RAMP.astype(np.int32)), "TIFF"), "mode 'I'; only 8 and 16 bits are read"),
        (file(Image.merge("LAB", RGB.split()), "TIFF"), "mode 'LAB'; only 8 and 16 bits are read"),
        (file(GREY_16, "TIFF", tiffinfo={262: 0}), "16 bits with 0 for white"),
        (file(RGB, "EPS"), "not a readable image"),
        (b"nothing", "not a readable image \\(of no known kind, or damaged where it begins\\)$"),
        (b"", "not a readable image \\(it is empty\\)$"),
    ],
)
def test_what_cannot_be_read_right_is_refused(content: bytes, message: str) -> None:
    with pytest.raises(InputError, match=message) as refusal:
        decode_with_pillow(content)
    assert "\n" not in str(refusal.value)


@pytest.mark.filterwarnings("ignore::UserWarning:PIL")
@pytest.mark.parametrize("name", [*COLOUR_KINDS, *GREY_KINDS])
def test_damage_is_refused_or_seen_through(name: str) -> None:
    """Cut off and overwritten at random: pixels, or an InputError of one line; nothing else."""
    content = {**COLOUR_KINDS, **GREY_KINDS}[name]
    rng = np.random.default_rng(0)
    for _ in range(60):
        spoilt = bytearray(content[: int(rng.integers(len(content) + 1))] if rng.random() < 0.5 else content)
        for place in rng.integers(len(spoilt), size=4) if spoilt else ():
            spoilt[place] = rng.integers(256)
        try:
            assert decode_with_pillow(bytes(spoilt)).ndim == 3
        except InputError as refusal:
            assert "\n" not in str(refusal)
