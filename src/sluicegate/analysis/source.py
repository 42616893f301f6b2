"""Images to be analysed: the interface, and three implementations. Nothing here needs torch.

Legend: N images, C channels, H W pixels.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from sluicegate.errors import InputError
from sluicegate_runtime import Preprocessing, Program
from sluicegate_runtime.images import read_image
from sluicegate_runtime.preprocess import prepare, preprocessing_of

Batch = tuple[np.ndarray, np.ndarray | None]
"""Inputs [n, C, H, W] float32 as the network takes them; where there are any, labels [n] or masks [n, H, W], int64."""

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".webp", ".gif", ".tif", ".tiff", ".ppm", ".pgm", ".npy")


class Source(Protocol):
    """Images, some with labels."""

    @property
    def classes(self) -> Sequence[str]:
        """The name of each class; empty where they have none."""
        ...

    def __len__(self) -> int: ...

    def batches(self, size: int) -> Iterator[Batch]:
        """All images in order, `size` at a time."""
        ...

    def take(self, chosen: Sequence[int]) -> Batch:
        """Some images, all at once."""
        ...


@dataclass(frozen=True)
class ArraySource:
    """Images in memory.

    Attributes:
        inputs: [N, C, H, W] float32, as the network takes them.
        labels: [N] int64, or None.
        classes: the name of each class; empty where they have none.
    """

    inputs: np.ndarray
    labels: np.ndarray | None = None
    classes: Sequence[str] = ()

    def __len__(self) -> int:
        return len(self.inputs)

    def batches(self, size: int) -> Iterator[Batch]:
        """See `Source`."""
        for first in range(0, len(self), size):
            labels = None if self.labels is None else self.labels[first : first + size]
            yield self.inputs[first : first + size], labels

    def take(self, chosen: Sequence[int]) -> Batch:
        """See `Source`."""
        return self.inputs[list(chosen)], None if self.labels is None else self.labels[list(chosen)]


@dataclass(frozen=True)
class SetSource:
    """A set of `sluicegate.data`, in memory or streamed; `images` is an `ImageSet` or a `StreamedSet`."""

    images: Any

    @property
    def classes(self) -> Sequence[str]:
        """The names of the set."""
        return self.images.classes

    def __len__(self) -> int:
        return len(self.images)

    def batches(self, size: int) -> Iterator[Batch]:
        """See `Source`."""
        for images, labels in self.images.batches(size):
            yield self._normalized(images.numpy()), labels.numpy()

    def take(self, chosen: Sequence[int]) -> Batch:
        """See `Source`."""
        images, labels = next(iter(self.images.subset(list(chosen)).batches(len(chosen))))
        return self._normalized(images.numpy()), labels.numpy()

    def _normalized(self, pixels: np.ndarray) -> np.ndarray:
        mean, std = (np.array(figures, np.float32)[:, None, None] for figures in (self.images.mean, self.images.std))
        return (pixels.astype(np.float32) / np.float32(255) - mean) / std


@dataclass(frozen=True)
class FileSource:
    """Image files, read when they are wanted and prepared as `predict` prepares them; `find_images` makes one."""

    files: Sequence[Path]
    labels: np.ndarray | None
    classes: Sequence[str]
    program: Program
    preprocessing: Preprocessing

    def __len__(self) -> int:
        return len(self.files)

    def batches(self, size: int) -> Iterator[Batch]:
        """See `Source`."""
        for first in range(0, len(self), size):
            yield self.take(range(first, min(first + size, len(self))))

    def take(self, chosen: Sequence[int]) -> Batch:
        """See `Source`."""
        labels = None if self.labels is None else self.labels[list(chosen)]
        return self._inputs(chosen), labels

    def _inputs(self, chosen: Sequence[int]) -> np.ndarray:
        return np.stack([prepare(read_image(self.files[i]), self.program, self.preprocessing) for i in chosen])


def find_images(
    folder: Path, program: Program, preprocessing: Preprocessing | None = None, limit: int | None = None
) -> FileSource:
    """Image files in a folder: in a folder for each class, named as the program's classes are, or all in one and then
    without labels. Where there is a folder `test`, `validation`, `valid` or `val`, that is taken.

    Args:
        folder: where they are.
        program: the network that they are for.
        preprocessing: how to prepare pixels; None: as the file says.
        limit: take at most this many images, at equal distances.

    Raises:
        InputError: there are no images, or folders of other classes than the program's.

        images = find_images(Path("pets"), load_program("pets.sluice").program)
    """
    how = preprocessing_of(program, preprocessing)
    inner = (folder / name for name in ("test", "validation", "valid", "val"))
    place = next((path for path in inner if path.is_dir()), folder)
    names = sorted(path.name for path in _children(place) if path.is_dir() and not path.name.startswith("."))
    by_class = {name: _image_files(place / name) for name in names}
    loose = _image_files(place)
    if not loose and not any(by_class.values()):
        raise InputError(f"data: {str(folder)!r} holds no images, and no folders of them")
    if loose:
        return FileSource(_spread(loose, limit), None, program.classes, program, how)
    classes = program.classes or tuple(names)
    if unknown := sorted(set(names) - set(classes)):
        raise InputError(f"data: {str(place / unknown[0])!r} is no class of the network")
    labelled = [(file, classes.index(name)) for name, files in by_class.items() for file in files]
    chosen = _spread(labelled, limit)
    labels = np.array([label for _, label in chosen], np.int64)
    return FileSource([file for file, _ in chosen], labels, classes, program, how)


def _children(place: Path) -> list[Path]:
    try:
        return list(place.iterdir())
    except OSError as error:
        raise InputError(f"data: {str(place)!r} cannot be read: {error.strerror}") from error


def _image_files(place: Path) -> list[Path]:
    return sorted(path for path in _children(place) if path.suffix.lower() in SUFFIXES and path.is_file())


def _spread(items: list[Any], limit: int | None) -> list[Any]:
    if limit is None or limit >= len(items):
        return items
    return [items[i * len(items) // limit] for i in range(limit)]
