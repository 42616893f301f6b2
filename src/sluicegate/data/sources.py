"""Data sets by name, and where their files are looked for.

A set is read from the folder that the caller gives, else from `$SLUICEGATE_DATA/<name>`, else as parquet from
the Hugging Face hub. `digits` comes with scikit-learn. An image or parquet folder needs no entry here.
"""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import huggingface_hub
import numpy as np
import torch

from sluicegate.data.draws import Augment
from sluicegate.data.images import ImageSet
from sluicegate.data.layouts import SPLIT_NAMES, Listing, decode, read_listing
from sluicegate.data.pixels import channels_of
from sluicegate.data.streaming import StreamedSet
from sluicegate.errors import InputError, one_line

Statistics = tuple[tuple[float, ...], tuple[float, ...]]
"""Mean and standard deviation of each channel, with pixels from 0 to 1."""

SAMPLED_FOR_STATISTICS = 1000
DIGITS_TEST_EVERY = 5


@dataclass(frozen=True)
class Source:
    """What is known of a data set beforehand. An empty one fits any folder."""

    hub: str | None = None  # the Hugging Face repository that has it as parquet
    statistics: Statistics | None = None
    classes: tuple[str, ...] | None = None
    size: int | None = None


FASHION = (
    *("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat"),
    *("Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"),
)

SOURCES = {
    "digits": Source(size=32),
    "cifar10": Source("uoft-cs/cifar10", ((0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616))),
    "cifar100": Source("uoft-cs/cifar100", ((0.5071, 0.4865, 0.4409), (0.2673, 0.2564, 0.2762))),
    "mnist": Source("ylecun/mnist", ((0.1307,), (0.3081,))),
    "fashion_mnist": Source("zalando-datasets/fashion_mnist", ((0.2860,), (0.3530,)), FASHION),
}

IMAGENET_STATISTICS: Statistics = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


class Split(NamedTuple):
    """The images of a split, still encoded, and what is known of the whole set."""

    listing: Listing
    size: int | None
    classes: tuple[str, ...]
    statistics: Statistics

    @property
    def channels(self) -> int:
        """1 or 3, of the whole set: a split whose images all happen to be grey is in colour where the training is."""
        return len(self.statistics[0])


def load(
    name: str, split: str, data_dir: str | Path | None = None, limit: int | None = None, size: int | None = None
) -> ImageSet:
    """A split of a data set, decoded in memory.

    Args:
        name: a known set (`digits`, `cifar10`, ...), a folder in `$SLUICEGATE_DATA`, or any name with `data_dir`.
        split: "train" or "test".
        data_dir: the folder that holds the set, or that holds a folder of its name.
        limit: take at most so many images, at equal distances.
        size: resize the shortest side to so many pixels and crop the centre; needed where images differ.

    Raises:
        InputError: the set is not found, lacks the split, or its images differ in size.
        RunError: a file is truncated or not readable.

    Example:
        train = load("digits", "train")
        photos = load("pets", "test", "folder/of/pets", size=128)
        images, labels = photos.images, photos.labels  # uint8 [N, 3, 128, 128], int64 [N]
    """
    found = find_split(name, split, data_dir, limit, size)
    return ImageSet(
        torch.from_numpy(decode(found.listing, found.size, found.channels)),
        torch.from_numpy(found.listing.labels),
        found.classes,
        *found.statistics,
    )


def stream(
    name: str,
    split: str,
    data_dir: str | Path | None = None,
    limit: int | None = None,
    size: int | None = None,
    workers: int = 2,
    augment: Augment | None = None,
) -> StreamedSet:
    """A split of a data set that is decoded while it is used: for image folders that are larger than memory.

    Args:
        name, split, data_dir, limit: see `load`.
        size: of the images that come out; needed.
        workers: processes that decode; 0: the caller's own.
        augment: what is drawn for each image; None: the largest centred square, resized, which is what `load` gives.

    Raises:
        InputError, RunError: see `load` and `StreamedSet`.

    Example:
        train = stream("photos", "train", "folder/of/photos", size=224, augment=Augment())
        for images, labels in train.batches(64, shuffle=True):  # uint8 [64, 3, 224, 224], int64 [64]
            ...
    """
    size = SOURCES.get(name, Source()).size if size is None else size
    if size is None:
        raise InputError(f"size: None, but images of {name} that are streamed must all be resized to one")
    found = find_split(name, split, data_dir, limit, size)
    return StreamedSet(found.listing, size, found.classes, *found.statistics, workers, augment)


def find_split(name: str, split: str, data_dir: str | Path | None, limit: int | None, size: int | None) -> Split:
    """Find a split without decoding it, but for what is needed to measure unknown statistics; see `load`."""
    check_split(split, limit, size)
    source = SOURCES.get(name, Source())
    size = source.size if size is None else size
    listing = _listing(name, split, data_dir)
    if not len(listing.images):
        raise InputError(f"data: {listing.place} holds no images")
    chosen = listing.spread(limit)
    if source.statistics:
        return Split(chosen, size, source.classes or listing.classes, source.statistics)
    train = listing if split == "train" else _listing(name, "train", data_dir)
    return Split(chosen, size, _classes(train, listing), _statistics(train, size))


def _classes(train: Listing, listing: Listing) -> tuple[str, ...]:
    """The training images' classes, of which another split may show but the first few."""
    if listing.classes != train.classes[: len(listing.classes)]:
        raise InputError(f"data: {listing.place} and {train.place} have other classes, or in another order")
    return train.classes


def known_statistics(name: str) -> Statistics:
    """The published mean and standard deviation of `imagenet` or of a known data set.

    Raises:
        InputError: none are known for `name`.
    """
    known = {key: source.statistics for key, source in SOURCES.items() if source.statistics}
    known["imagenet"] = IMAGENET_STATISTICS
    if name not in known:
        raise InputError(f"normalize: {name!r} has no known mean and std; known: {', '.join(sorted(known))}")
    return known[name]


def check_split(split: str, limit: int | None, size: int | None) -> None:
    """Refuse what no data set has.

    Raises:
        InputError: a split of another name, or a number below 1.
    """
    if split not in SPLIT_NAMES:
        raise InputError(f"split: {split!r} must be 'train' or 'test'")
    for argument, value in (("limit", limit), ("size", size)):
        if value is not None and value < 1:
            raise InputError(f"{argument}: {value} must be 1 or more")


def _listing(name: str, split: str, data_dir: str | Path | None) -> Listing:
    if name == "digits":
        return _digits(split)
    return read_listing(_find(name, data_dir), split)


def _find(name: str, data_dir: str | Path | None) -> Path:
    if (folder := local_folder(name, data_dir)) is not None:
        return folder
    data = os.environ.get("SLUICEGATE_DATA")
    if name not in SOURCES:
        raise InputError(
            f"data: {name!r} is not a data set; known: {', '.join(SOURCES)}, a folder in $SLUICEGATE_DATA "
            f"({data or 'not set'}), or any folder with --data-dir"
        )
    return _download(name, data)


def local_folder(name: str, data_dir: str | Path | None) -> Path | None:
    """The folder of a data set on this machine, if it is there.

    Raises:
        InputError: `data_dir` is given and is no folder.
    """
    if data_dir is not None:
        return _in_data_dir(name, Path(data_dir))
    data = os.environ.get("SLUICEGATE_DATA")
    return Path(data) / name if data and (Path(data) / name).is_dir() else None


def _in_data_dir(name: str, data_dir: Path) -> Path:
    if not data_dir.is_dir():
        raise InputError(f"data_dir: {str(data_dir)!r} is not a folder, but must hold {name}")
    return data_dir / name if (data_dir / name).is_dir() else data_dir


def _download(name: str, data: str | None) -> Path:
    repository = SOURCES[name].hub
    assert repository is not None  # only digits has none, and it is never looked for
    try:
        return Path(huggingface_hub.snapshot_download(repository, repo_type="dataset", allow_patterns="*.parquet"))
    except Exception as error:  # the hub's client has no common base class for what can go wrong on the way
        raise InputError(
            f"data: {name!r} is not in $SLUICEGATE_DATA ({data or 'not set'}), and the hub did not give "
            f"{repository} ({one_line(error)}); give its folder with --data-dir, or put {name}/ into $SLUICEGATE_DATA"
        ) from error


def _digits(split: str) -> Listing:
    """scikit-learn's 1,797 digits of 8x8 pixels; of each class every fifth image is a test image."""
    from sklearn.datasets import load_digits  # late: it takes a second to import, and no other set needs it

    images, labels = load_digits(return_X_y=True)
    pixels = np.rint(images.reshape(-1, 8, 8) * (255 / 16)).astype(np.uint8)  # [N, 8, 8]
    rank = np.empty_like(labels)  # which of its class an image is
    for label in range(10):
        rank[labels == label] = np.arange((labels == label).sum())
    in_test = rank % DIGITS_TEST_EVERY == DIGITS_TEST_EVERY - 1
    chosen = np.flatnonzero(in_test if split == "test" else ~in_test)
    return Listing("digits", [pixels[i] for i in chosen], labels[chosen], tuple("0123456789"))


def _statistics(train: Listing, size: int | None) -> Statistics:
    """Measured on a fixed sample of the training images, so that every split and limit get the same."""
    pixels = decode(train.spread(SAMPLED_FOR_STATISTICS), size, channels_of(train.images)) / 255.0
    mean, std = pixels.mean((0, 2, 3)), pixels.std((0, 2, 3))
    # A channel that never changes: whatever it is divided by, it stays 0.
    return tuple(mean.tolist()), tuple(np.where(std > 0, std, 1.0).tolist())
