"""Image files read with NumPy alone are what Pillow reads, and are fitted as Pillow fits them."""

import io
import struct
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest

from sluicegate_runtime import InputError
from sluicegate_runtime.exif import ORIENTATION
from sluicegate_runtime.images import decode_image, read_image
from sluicegate_runtime.png import SIGNATURE, decode_png
from sluicegate_runtime.preprocess import fitted_to

pytest.importorskip("PIL", reason="Pillow is not installed")

from PIL import Image, ImageOps


@pytest.fixture
def no_pillow(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("PIL", "sluicegate_runtime.pillow"):
        monkeypatch.setitem(sys.modules, name, None)


def picture(mode: str, height: int = 13, width: int = 17) -> Image.Image:
    channels = {"L": 1, "LA": 2, "RGB": 3, "RGBA": 4}[mode]
    pixels = np.random.default_rng(0).integers(0, 256, (height, width, channels), dtype=np.uint8)
    return Image.fromarray(pixels.squeeze(), mode)


def png(filters: list[int], height: int = 5, width: int = 4, channels: int = 3, bits: int = 8) -> bytes:
    """A PNG whose rows claim these filters; its stored bytes are random."""
    rows = np.random.default_rng(1).integers(0, 256, (height, 1 + bits // 8 * channels * width), dtype=np.uint8)
    rows[:, 0] = filters
    colour_type = {1: 0, 2: 4, 3: 2, 4: 6}[channels]
    header = struct.pack(">IIBBBBB", width, height, bits, colour_type, 0, 0, 0)
    parts = (b"IHDR", header), (b"IDAT", zlib.compress(rows.tobytes())), (b"IEND", b"")
    chunks = (
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in parts
    )
    return SIGNATURE + b"".join(chunks)


@pytest.mark.parametrize("mode", ["L", "LA", "RGB", "RGBA"])
def test_png_is_read_as_pillow_reads_it(mode: str) -> None:
    file = io.BytesIO()
    picture(mode).save(file, "PNG")
    wanted = np.asarray(picture(mode).convert("L" if mode[0] == "L" else "RGB")).reshape(13, 17, -1)
    assert np.array_equal(decode_png(file.getvalue()), wanted)


@pytest.mark.parametrize("kind", range(5))
def test_every_filter_of_png_is_undone_as_pillow_undoes_it(kind: int) -> None:
    content = png([kind, 0, kind, kind, 4])
    assert np.array_equal(decode_png(content), np.asarray(Image.open(io.BytesIO(content))))


@pytest.mark.parametrize("name", ["a.png", "a.pgm", "a.ppm"])
def test_files_are_the_same_with_and_without_pillow(name: str, tmp_path: Path, request) -> None:
    picture("L" if name == "a.pgm" else "RGB").save(tmp_path / name)
    with_pillow = read_image(tmp_path / name)
    request.getfixturevalue("no_pillow")
    assert np.array_equal(read_image(tmp_path / name), with_pillow)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_png_is_turned_upright_with_and_without_pillow(orientation: int) -> None:
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    file = io.BytesIO()
    picture("RGB").save(file, "PNG", exif=exif)
    wanted = np.asarray(ImageOps.exif_transpose(Image.open(file)))
    assert np.array_equal(decode_png(file.getvalue()), wanted)
    assert np.array_equal(decode_image(file.getvalue()), wanted)


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize("kind", range(5))
def test_16_bits_become_the_upper_8_with_and_without_pillow(channels: int, kind: int) -> None:
    content = png([kind, 0, kind, kind, 4], channels=channels, bits=16)
    assert np.array_equal(decode_png(content), decode_image(content))


def test_16_bits_of_grey_keep_their_brightness() -> None:
    file = io.BytesIO()
    levels = np.arange(256, dtype=np.uint16).reshape(16, 16)
    Image.fromarray(levels * 257).save(file, "PNG")
    for read in (decode_png, decode_image):
        assert np.array_equal(read(file.getvalue())[:, :, 0], levels)


def test_arrays_are_read(tmp_path: Path) -> None:
    pixels = np.asarray(picture("L"))
    np.save(tmp_path / "a.npy", pixels)
    assert np.array_equal(read_image(tmp_path / "a.npy")[:, :, 0], pixels)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "not .npy, PNG, PGM or PPM"),
        (SIGNATURE, "does not begin with its header"),
        (png([0] * 5)[:-20], "CRC"),
        (png([0] * 5)[:33], "cut short"),
        (png([9] * 5), "no filter 9"),
        (png([0] * 5).replace(b"IDAT", b"JDAT"), "CRC"),
        (b"P5 4 4 255\nabc", "cut short"),
        (b"P5 4 4 65535\n" + bytes(32), "8 bits"),
        (b"\x93NUMPY damaged", "damaged .npy"),
        (b"\x93NUMPY\x01\x00\x02\x00((", "damaged .npy"),
    ],
)
@pytest.mark.usefixtures("no_pillow")
def test_damaged_files_are_named_in_one_line(content: bytes, message: str, tmp_path: Path) -> None:
    (tmp_path / "a.img").write_bytes(content)
    with pytest.raises(InputError, match=message) as error:
        read_image(tmp_path / "a.img")
    assert "a.img" in str(error.value) and "\n" not in str(error.value)


def test_fitting_is_that_of_pillow_to_one_level() -> None:
    rng = np.random.default_rng(2)
    for _ in range(200):
        (height, width), (h, w) = rng.integers(1, 200, 2), rng.integers(1, 80, 2).tolist()
        pixels = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
        wanted = np.asarray(ImageOps.fit(Image.fromarray(pixels), (w, h), Image.Resampling.BILINEAR))
        assert np.abs(fitted_to(pixels, [h, w], 1.0).astype(int) - wanted).max() <= 1, (height, width, h, w)


def test_cropping_takes_the_middle() -> None:
    pixels = np.arange(64, dtype=np.uint8).reshape(8, 8, 1)
    assert np.array_equal(fitted_to(pixels, [4, 4], 0.5), pixels[2:6, 2:6])
