"""Images with a class for each pixel: where they lie, and how a pair is read.

| layout | files of the split `train` |
|---|---|
| CamVid's | `train/NAME.*` and `trainannot/NAME.png`; values are classes, the one after the last and 255 are void |
| Cityscapes' | `leftImg8bit/train/CITY/NAME_leftImg8bit.png`, `gtFine/train/CITY/NAME_gtFine_labelIds.png` |

The split `test` is CamVid's `test`; Cityscapes publishes no labels of its test images, so it is `val` there. A folder
of CamVid's layout may name its own classes in `classes.txt`, one a line.

Legend: H W pixels.
"""

import warnings
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from PIL import Image

from sluicegate.data.folders import IMAGE_SUFFIXES, is_foreign
from sluicegate.data.paths import PathList
from sluicegate.errors import InputError, RunError, one_line

IGNORE = 255
"""The label of a pixel that counts for nothing: void, or outside of the image."""

CAMVID = (
    *("sky", "building", "pole", "road", "pavement", "tree"),
    *("sign", "fence", "car", "pedestrian", "bicyclist"),
)

CITYSCAPES = {
    **{7: "road", 8: "sidewalk", 11: "building", 12: "wall", 13: "fence", 17: "pole", 19: "traffic light"},
    **{20: "traffic sign", 21: "vegetation", 22: "terrain", 23: "sky", 24: "person", 25: "rider", 26: "car"},
    **{27: "truck", 28: "bus", 31: "train", 32: "motorcycle", 33: "bicycle"},
}
"""Label ids that are evaluated; 0 to 33 and 255, which is -1, are the known ones (labels.py of cityscapesScripts)."""

_ORIENTATION = 0x0112  # the EXIF tag
_CITYSCAPES_VOID = (*(label for label in range(34) if label not in CITYSCAPES), 255)


@dataclass(frozen=True)
class Scenes:
    """The images of one split and their masks, still encoded.

    Attributes:
        place: where they are from.
        images, masks: their files.
        sides: H and W of them all.
        classes: a name for each class.
        table: uint8 [256], from a value in a mask file to a class or `IGNORE`; `known` says which values may be there.
        known: bool [256].
    """

    place: str
    images: PathList
    masks: PathList
    sides: tuple[int, int]
    classes: tuple[str, ...]
    table: np.ndarray
    known: np.ndarray

    def __len__(self) -> int:
        return len(self.images)

    def take(self, indices: np.ndarray) -> "Scenes":
        """The scenes of these indices, in their order."""
        images, masks = (PathList(str(files[i]) for i in indices.tolist()) for files in (self.images, self.masks))
        return replace(self, images=images, masks=masks)


def has_scenes(folder: Path) -> bool:
    """Whether a folder is of one of the layouts above."""
    return (folder / "trainannot").is_dir() or (folder / "leftImg8bit").is_dir()


def read_scenes(folder: Path, split: str) -> Scenes:
    """The scenes of a split in `folder`.

    Raises:
        InputError: no such split, an image without a mask or a mask without an image, or a file of another size.
        RunError: a file is not readable.
    """
    try:
        return _cityscapes(folder, split) if (folder / "leftImg8bit").is_dir() else _camvid(folder, split)
    except OSError as error:
        raise RunError(f"data: {str(folder)!r} cannot be read: {one_line(error)}") from error


def size_of(file: Path) -> tuple[int, int]:
    """H and W, of which only the header is read. RunError if it is no picture, or one that is to be turned: whether
    its mask is to be turned, too, nobody says."""
    try:
        with warnings.catch_warnings(), Image.open(file) as picture:
            warnings.simplefilter("ignore")
            turned = picture.getexif().get(_ORIENTATION, 1) > 1
            sides = picture.height, picture.width
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise RunError(f"data: {file} is not a readable image ({one_line(error)})") from error
    if turned:
        raise RunError(f"data: {file} is to be turned by its EXIF orientation; save image and mask upright")
    return sides


def read_mask(file: Path, scenes: Scenes) -> np.ndarray:
    """uint8 [H, W]: a class for each pixel, or `IGNORE`.

    Raises:
        RunError: the file is not readable, not of one channel of 8 bits, or holds a value that is no class.
    """
    try:
        with Image.open(file) as picture:
            if picture.mode not in ("L", "P"):
                raise RunError(f"data: mask {file} is of mode {picture.mode}; it must have one channel of 8 bits")
            values = np.asarray(picture)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise RunError(f"data: mask {file} is not readable ({one_line(error)})") from error
    strange = np.flatnonzero((np.bincount(values.ravel(), minlength=256) > 0) & ~scenes.known)
    if strange.size:
        rule = f"known are {_ranges(np.flatnonzero(scenes.known))}, for {len(scenes.classes)} classes and void"
        raise RunError(f"data: mask {file} holds class index {strange[0]}; {rule}")
    return scenes.table[values]


def _camvid(folder: Path, split: str) -> Scenes:
    masks = _by_stem(folder / f"{split}annot", {".png"})
    pairs = _paired(_by_stem(folder / split, IMAGE_SUFFIXES), masks, folder / f"{split}annot")
    classes = _named_classes(folder / "classes.txt")
    ids = {value: value for value in range(len(classes))}
    return _scenes(str(folder / split), pairs, classes, ids, void=(len(classes), IGNORE))


def _named_classes(file: Path) -> tuple[str, ...]:
    """The names in a file, one a line; CamVid's own where there is none."""
    if not file.exists():
        return CAMVID
    try:
        names = [name.strip() for name in file.read_text(encoding="utf-8").splitlines()]
    except UnicodeDecodeError as error:
        raise InputError(f"data: {file} is not text ({one_line(error)})") from error
    classes = tuple(name for name in names if name)
    if not 1 <= len(classes) < IGNORE or len(set(classes)) < len(classes):
        raise InputError(f"data: {file} holds {len(classes)} names; it must hold 1 to {IGNORE - 1}, each once")
    return classes


def _cityscapes(folder: Path, split: str) -> Scenes:
    split = "train" if split == "train" else "val"
    images = _by_stem(folder / "leftImg8bit" / split, {".png"}, "_leftImg8bit", "*/")
    masks = _by_stem(folder / "gtFine" / split, {".png"}, "_gtFine_labelIds", "*/")
    pairs = _paired(images, masks, folder / "gtFine" / split)
    ids = {value: number for number, value in enumerate(CITYSCAPES)}
    place = str(folder / "leftImg8bit" / split)
    return _scenes(place, pairs, tuple(CITYSCAPES.values()), ids, _CITYSCAPES_VOID)


def _scenes(
    place: str, pairs: list[tuple[Path, Path]], classes: tuple[str, ...], ids: dict[int, int], void: Iterable[int]
) -> Scenes:
    table, known = np.full(256, IGNORE, np.uint8), np.zeros(256, bool)
    table[list(ids)] = list(ids.values())
    known[[*ids, *void]] = True
    images, masks = (PathList(str(pair[side]) for pair in pairs) for side in (0, 1))
    return Scenes(place, images, masks, _common_sides(pairs, place), classes, table, known)


def _common_sides(pairs: list[tuple[Path, Path]], place: str) -> tuple[int, int]:
    """H and W of every image and every mask."""
    if not pairs:
        raise InputError(f"data: {place} holds no images")
    first = size_of(pairs[0][0])
    for image, mask in pairs:
        sides = size_of(image)
        if (found := size_of(mask)) != sides:
            raise InputError(f"data: mask {mask} is {_pixels(found)}, its image {_pixels(sides)}; they must be equal")
        if sides != first:
            raise InputError(
                f"data: image {image} is {_pixels(sides)}, others {_pixels(first)}; all must be of one size"
            )
    return first


def _pixels(sides: tuple[int, int]) -> str:
    return f"{sides[0]}x{sides[1]} pixels"


def _by_stem(folder: Path, suffixes: set[str], ending: str = "", within: str = "") -> dict[str, Path]:
    """The pictures of a folder by their name without ending and suffix."""
    if not folder.is_dir():
        raise InputError(f"data: {str(folder)!r} is not a folder; it must hold the images or masks of a split")
    files = (file for file in sorted(folder.glob(f"{within}*")) if not is_foreign(file.name))
    found: dict[str, Path] = {}
    for file in files:
        if file.suffix.lower() in suffixes and file.stem.endswith(ending):
            name = file.stem.removesuffix(ending)
            if found.setdefault(name, file) != file:
                raise InputError(f"data: {found[name]} and {file} have one name, and so one mask; rename one")
    return found


def _paired(images: dict[str, Path], masks: dict[str, Path], place: Path) -> list[tuple[Path, Path]]:
    for name, file in images.items():
        if name not in masks:
            raise InputError(f"data: image {file} has no mask in {str(place)!r}")
    for name, file in masks.items():
        if name not in images:
            raise InputError(f"data: mask {file} has no image")
    return [(file, masks[name]) for name, file in images.items()]


def _ranges(values: np.ndarray) -> str:
    """[0, 1, 2, 255] -> "0..2, 255"."""
    runs = np.split(values, np.flatnonzero(np.diff(values) > 1) + 1)
    return ", ".join(f"{run[0]}..{run[-1]}" if len(run) > 1 else str(run[0]) for run in runs)
