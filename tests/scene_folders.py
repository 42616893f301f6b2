"""Tiny data sets of images with masks."""

from pathlib import Path

import numpy as np
from PIL import Image

SIDES = (24, 32)


def scene(rng: np.random.Generator, sides: tuple[int, int] = SIDES, classes: int = 3) -> tuple[np.ndarray, np.ndarray]:
    """An image uint8 [H, W, 3] and its mask uint8 [H, W]: blocks of 8 x 8 pixels, each of the colour of its class."""
    blocks = rng.integers(0, classes, (-(-sides[0] // 8), -(-sides[1] // 8)))
    mask = blocks.repeat(8, 0).repeat(8, 1)[: sides[0], : sides[1]].astype(np.uint8)
    return colour(mask), mask


def colour(mask: np.ndarray) -> np.ndarray:
    """The image that goes with a mask: [H, W] -> [H, W, 3]."""
    return np.stack([40 * mask + 20, 200 - 60 * mask, 30 + 10 * mask], axis=-1).astype(np.uint8)


def save(image: np.ndarray, mask: np.ndarray, image_file: Path, mask_file: Path) -> None:
    for file, pixels in ((image_file, image), (mask_file, mask)):
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(file)


def camvid_like(folder: Path, train: int = 8, test: int = 4, classes: str = "road\nsky\ntree\n") -> Path:
    """A folder of CamVid's layout, with three classes of its own."""
    rng = np.random.default_rng(0)
    for split, count in (("train", train), ("test", test)):
        for number in range(count):
            save(*scene(rng), folder / split / f"{number}.png", folder / f"{split}annot" / f"{number}.png")
    (folder / "classes.txt").write_text(classes)
    return folder


def cityscapes_like(folder: Path, labels: tuple[int, ...] = (7, 23, 21, 3, 255)) -> Path:
    """A folder of Cityscapes' layout: one image a split, with one column of pixels of each of these label ids."""
    mask = np.array([labels] * 4, np.uint8)
    for split in ("train", "val"):
        place = Path(split, "ulm", "ulm_000000_000019_")
        image_file = Path(f"{folder / 'leftImg8bit' / place}leftImg8bit.png")
        mask_file = Path(f"{folder / 'gtFine' / place}gtFine_labelIds.png")
        save(np.zeros((*mask.shape, 3), np.uint8), mask, image_file, mask_file)
        Image.fromarray(mask).save(mask_file.with_name(mask_file.name.replace("labelIds", "instanceIds")))
    return folder
