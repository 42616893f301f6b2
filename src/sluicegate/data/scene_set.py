"""A set of scenes: images and masks, augmented together, decoded by workers or held in memory.

What is drawn (`scene_draws.py`) depends on the seed, the epoch and the row alone, so a set in memory and one that
workers decode give the same numbers.

Legend: N scenes of the set, n of a batch, C channels, H W pixels of a file, h w of what comes out.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from torch import Tensor

from sluicegate.data.pixels import read_pixels
from sluicegate.data.scene_draws import SceneAugment, resized, seen
from sluicegate.data.scenes import IGNORE, Scenes, has_scenes, read_mask, read_scenes
from sluicegate.data.sources import IMAGENET_STATISTICS, check_split, local_folder
from sluicegate.data.spec import DataSpec
from sluicegate.data.streaming import Decoded
from sluicegate.errors import InputError
from sluicegate_runtime.preprocess import with_channels

CHANNELS = 3

Pair = tuple[np.ndarray, np.ndarray]
"""An image uint8 [H, W, C] and its mask uint8 [H, W]."""


@dataclass(frozen=True, eq=False)
class SceneSet(Decoded):
    """Scenes of one size, decoded when they are wanted; `load_scenes` finds some.

    Attributes:
        scenes: the files.
        sides: h and w of a whole scene.
        mean, std: see `ImageSet`.
        workers: processes that decode; 0: this one does.
        augment: what is drawn for each scene; None: the whole scene.
        pairs: decoded scenes, where they are held in memory.

    Raises:
        InputError: a number of workers that cannot be.
    """

    scenes: Scenes
    sides: tuple[int, int]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    workers: int = 0
    augment: SceneAugment | None = None
    pairs: tuple[Pair, ...] | None = None

    def __post_init__(self) -> None:
        if self.workers < 0:
            raise InputError(f"workers: {self.workers} must be 0 or more")
        DataSpec(self.shape, self.classes, self.mean, self.std)  # refuses what does not fit

    def __len__(self) -> int:
        return len(self.scenes.images)

    @property
    def classes(self) -> tuple[str, ...]:
        """A name for each class."""
        return self.scenes.classes

    @property
    def place(self) -> str:
        """Where the scenes are from."""
        return self.scenes.place

    @property
    def shape(self) -> tuple[int, int, int]:
        """C, h and w of what comes out."""
        crop = self.augment.crop if self.augment else None
        return CHANNELS, *(crop or self.sides)

    @property
    def spec(self) -> DataSpec:
        """The set without its scenes."""
        return DataSpec(self.shape, self.classes, self.mean, self.std)

    def plain(self) -> "SceneSet":
        """The same scenes, of each the middle; none of them augmented."""
        crop = self.augment.crop if self.augment else None
        return replace(self, augment=SceneAugment(crop, centred=True))

    def subset(self, indices: Tensor | Sequence[int]) -> "SceneSet":
        """The scenes of these indices, in their order."""
        chosen = np.asarray(indices, np.int64)
        pairs = None if self.pairs is None else tuple(self.pairs[i] for i in chosen.tolist())
        return replace(self, scenes=self.scenes.take(chosen), pairs=pairs)

    def decode(self, rows: np.ndarray, seed: tuple[int, int]) -> Pair:
        """See `Decoded`: images uint8 [n, C, h, w], masks int64 [n, h, w]."""
        pairs = [self._changed(int(row), np.random.default_rng((*seed, int(row)))) for row in rows]
        images = np.stack([image.transpose(2, 0, 1) for image, _ in pairs])
        return images, np.stack([mask for _, mask in pairs]).astype(np.int64)

    def in_memory(self) -> "SceneSet":
        """The same set with every scene decoded, once and for all."""
        return replace(self, workers=0, pairs=tuple(self._whole(row) for row in range(len(self))))

    def _whole(self, row: int) -> Pair:
        if self.pairs is not None:
            return self.pairs[row]
        image = with_channels(read_pixels(self.scenes.images[row], self.place), CHANNELS)
        mask = read_mask(self.scenes.masks[row], self.scenes)
        return resized(image, self.sides), resized(mask, self.sides)

    def _changed(self, row: int, rng: np.random.Generator) -> Pair:
        image, mask = self._whole(row)
        if self.augment is None:
            return image, mask
        view = self.augment.draw(self.sides, rng)
        size = self.augment.crop or self.sides
        fill = np.round(np.multiply(self.mean, 255)).astype(np.uint8)
        return seen(image, view, size, fill), seen(mask, view, size, np.uint8(IGNORE))


def scenes_folder(name: str, data_dir: str | Path | None = None) -> Path | None:
    """The folder of a data set of scenes, where `load` would look for it; None if no scenes lie there."""
    folder = local_folder(name, data_dir)
    return folder if folder is not None and has_scenes(folder) else None


def load_scenes(
    folder: Path,
    split: str,
    limit: int | None = None,
    size: int | None = None,
    workers: int | None = None,
    augment: SceneAugment | None = None,
) -> SceneSet:
    """A split of a data set of scenes.

    Args:
        folder: of CamVid's or Cityscapes' layout (`scenes.py`).
        split: "train" or "test".
        limit: take at most so many scenes, at equal distances.
        size: resize the shorter side to so many pixels.
        workers: processes that decode scenes while they are used; None: all are decoded at once and held in memory.
        augment: what is drawn for each scene; None: the whole scene.

    Raises:
        InputError, RunError: see `read_scenes` and `SceneSet`.

    Example:
        train = load_scenes(Path("camvid"), "train", augment=SceneAugment((320, 320), (0.5, 2.0), flip=True))
        for images, masks in train.batches(8, shuffle=True):  # uint8 [8, 3, 320, 320], int64 [8, 320, 320]
            ...
    """
    check_split(split, limit, size)
    scenes = read_scenes(folder, split)
    scenes = scenes.take(np.arange(count := min(limit or len(scenes), len(scenes))) * len(scenes) // count)
    height, width = scenes.sides
    share = 1 if size is None else size / min(scenes.sides)
    found = SceneSet(scenes, (round(height * share), round(width * share)), *IMAGENET_STATISTICS, workers or 0, augment)
    return found.in_memory() if workers is None else found
