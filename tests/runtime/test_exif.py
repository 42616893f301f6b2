"""EXIF blocks are read as Pillow reads them, and damaged ones say nothing."""

import numpy as np
import pytest

from sluicegate_runtime.exif import ORIENTATION, orientation_of

pytest.importorskip("PIL", reason="Pillow is not installed")

from PIL import Image


def block(orientation: int) -> bytes:
    exif = Image.Exif()
    exif[0x010F], exif[0x0110], exif[ORIENTATION] = "a maker", "a model", orientation
    return exif.tobytes().removeprefix(b"Exif\0\0")


@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_orientation_is_found_among_other_tags(orientation: int) -> None:
    assert orientation_of(block(orientation)) == orientation


def test_either_byte_order_is_read() -> None:
    assert orientation_of(b"MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0") == 6
    assert orientation_of(b"II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0") == 6


def test_a_damaged_block_says_nothing() -> None:
    whole = block(6)
    assert {orientation_of(whole[:cut]) for cut in range(len(whole) + 1)} <= {1, 6}
    assert orientation_of(b"") == orientation_of(block(0)) == orientation_of(block(9)) == 1
    rng = np.random.default_rng(0)
    for _ in range(500):
        spoilt = bytearray(whole)
        spoilt[int(rng.integers(len(whole)))] = int(rng.integers(256))
        assert 1 <= orientation_of(bytes(spoilt)) <= 8
