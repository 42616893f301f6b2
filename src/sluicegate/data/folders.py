"""Image folders: `train/<class>/**/*.jpg`.

Files that computers add by themselves are ignored, at any depth: names that begin with a dot (`.ipynb_checkpoints`,
`._0.png`, `.DS_Store`) and those of `NOT_OURS`. Links are followed.
"""

import os
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from sluicegate.data.paths import PathList
from sluicegate.errors import InputError

IMAGE_SUFFIXES = {
    *(".avif", ".bmp", ".dib", ".gif", ".jfif", ".jp2", ".jpe", ".jpeg", ".jpg", ".pcx"),
    *(".pgm", ".png", ".pnm", ".ppm", ".tga", ".tif", ".tiff", ".webp"),
}
UNREADABLE_SUFFIXES = {
    ".heic",
    ".heif",
    ".jxl",
}  # pictures that Pillow cannot open; they are refused, because skipping them would lose images silently
NOT_OURS = {"__MACOSX", "__pycache__", "@eaDir", "$RECYCLE.BIN", "System Volume Information", "lost+found"}


def read_image_folder(folder: Path, train: Path) -> tuple[PathList, np.ndarray, tuple[str, ...]]:
    """The files of a split in the order of their classes, a label for each, and the classes.

    Args:
        folder: the split, with a folder for each class.
        train: the training split, whose folders are the classes (a test split may lack some); `folder` stands in for
            one that is not there.

    Raises:
        InputError: no class; one without training images, or unknown to the training split; a picture of a kind that is
            not read.
        OSError: a folder cannot be read.
    """
    members = {name: _image_files(folder / name) for name in _class_names(folder)}
    classes = _class_names(train) if train.is_dir() and train != folder else _all_with_images(folder, members)
    if unknown := [name for name, files in members.items() if files and name not in classes]:
        raise InputError(f"data: {str(folder)!r} has class {unknown[0]!r}, which {str(train)!r} has not")
    files = [members.get(name, []) for name in classes]
    labels = np.repeat(np.arange(len(classes)), np.array([len(some) for some in files], np.int64))
    return PathList(file for some in files for file in some), labels, tuple(classes)


def _class_names(folder: Path) -> list[str]:
    return sorted(entry.name for entry in os.scandir(folder) if entry.is_dir() and not is_foreign(entry.name))


def _all_with_images(folder: Path, members: Mapping[str, list[str]]) -> list[str]:
    if not members:
        raise InputError(f"data: {str(folder)!r} holds no images; it must hold a folder for each class")
    if empty := [name for name, files in members.items() if not files]:
        raise InputError(f"data: class {empty[0]!r} of {str(folder)!r} holds no images; {_known()}")
    return list(members)


def _image_files(folder: Path) -> list[str]:
    found, seen = [], set()
    for place, folders, names in os.walk(folder, followlinks=True, onerror=_pass_on):
        real = os.path.realpath(place)
        folders[:] = [name for name in folders if real not in seen and not is_foreign(name)]
        found += [os.path.join(place, name) for name in names if real not in seen and _is_image(place, name)]
        seen.add(real)  # a link may lead back to where it lies
    return sorted(found, key=lambda path: path.split(os.sep))


def _pass_on(error: OSError) -> None:
    """`os.walk` skips a folder that it cannot read, unless it is told otherwise."""
    raise error


def is_foreign(name: str) -> bool:
    """Whether a file or folder of this name was put there by a computer, not by its user."""
    return name.startswith(".") or name in NOT_OURS


def _is_image(place: str, name: str) -> bool:
    suffix = os.path.splitext(name)[1].lower()
    if suffix in UNREADABLE_SUFFIXES and not is_foreign(name):
        raise InputError(f"data: {str(Path(place, name))!r} is of a kind that is not read; {_known()}")
    return suffix in IMAGE_SUFFIXES and not is_foreign(name)


def _known() -> str:
    return f"images end in {', '.join(sorted(IMAGE_SUFFIXES))}"
