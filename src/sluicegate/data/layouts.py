"""Three ways in which labelled images lie in a folder, and how each is read.

| layout | files of the split `train` |
|---|---|
| parquet, as the Hugging Face hub has it | `train-*.parquet` with images and labels, here or a folder down |
| IDX, as MNIST is published | `train-images-idx3-ubyte` and `train-labels-idx1-ubyte`, `.gz` or not |
| image folder | `train/<class>/*`, the classes in the order of their names in `train` (see `folders.py`) |

The split `test` may also be named `t10k` (MNIST), `validation`, `valid` or `val`; the first that exists is
read. Reading gives a `Listing` of images that are still encoded, so that only those which are wanted get
decoded.
"""

import gzip
import json
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from sluicegate.data.folders import is_foreign, read_image_folder
from sluicegate.data.paths import PathList
from sluicegate.data.pixels import Encoded, channels_of, decode_images
from sluicegate.errors import InputError, RunError, one_line

SPLIT_NAMES = {"train": ("train",), "test": ("test", "t10k", "validation", "valid", "val")}
IDX_UINT8 = 0x08


@dataclass(frozen=True)
class Listing:
    """The images of one split before they are decoded; `place` says where they are from."""

    place: str
    images: Sequence[Encoded]
    labels: np.ndarray
    classes: tuple[str, ...]

    def spread(self, limit: int | None) -> "Listing":
        """At most `limit` images at equal distances, so that a listing sorted by class keeps them all."""
        if limit is None or limit >= len(self.images):
            return self
        return self.take(np.arange(limit) * len(self.images) // limit)

    def take(self, indices: np.ndarray) -> "Listing":
        """The images of these indices, in their order."""
        chosen: Sequence[Encoded] = [self.images[i] for i in indices.tolist()]
        packed = PathList(map(str, chosen)) if isinstance(self.images, PathList) else chosen
        return replace(self, images=packed, labels=self.labels[indices])


def read_listing(folder: Path, split: str) -> Listing:
    """The images of a split in `folder`, whichever layout it has.

    Raises:
        InputError: the folder has no such split in any layout.
        RunError: a file is truncated or is not what its name says.
    """
    try:
        found = _found(folder, split)
    except OSError as error:
        raise RunError(f"data: {str(folder)!r} cannot be read: {one_line(error)}") from error
    if found is not None:
        return found
    names = ", ".join(SPLIT_NAMES[split])
    rule = f"it must hold parquet files, IDX files or class folders named {names}"
    raise InputError(f"data: {str(folder)!r} has no {split} split; {rule}")


def _found(folder: Path, split: str) -> Listing | None:
    for name in SPLIT_NAMES[split]:
        if files := _parquet_files(folder, name):
            return _read_parquet(files)
        if files := sorted(folder.glob(f"{name}-images*idx3-ubyte*")):
            return _read_idx(files[0])
        if (folder / name).is_dir():
            return Listing(str(folder / name), *read_image_folder(folder / name, folder / "train"))
    return None


def decode(listing: Listing, size: int | None, channels: int | None = None) -> np.ndarray:
    """The pixels of a listing, uint8 [N, C, H, W]; as many channels as its own images have, if None (see
    `decode_images`)."""
    return decode_images(listing.images, size, channels or channels_of(listing.images), listing.place)


def _parquet_files(folder: Path, name: str) -> list[Path]:
    """All of one folder: a second one holds the same set once more, in another form."""
    places = [folder, *(path for path in sorted(folder.glob("*/")) if not is_foreign(path.name))]
    found = {place: sorted(place.glob(f"{name}-*.parquet")) for place in places}
    full = [place for place, files in found.items() if files]
    if len(full) > 1:
        both = f"{str(full[0])!r} and {str(full[1])!r}"
        raise InputError(f"data: {both} both have {name} files; name one with --data-dir")
    return found[full[0]] if full else []


def _read_parquet(files: list[Path]) -> Listing:
    place = str(files[0].parent)
    tables = [(file, _read_table(file)) for file in files]
    image, label, classes = _columns(tables[0][1].schema, files[0])
    try:
        images = [content for file, table in tables for content in _contents(table[image], file)]
        labels = np.concatenate([_labels(table[label], file) for file, table in tables])
    except (KeyError, pa.ArrowInvalid) as error:
        raise RunError(f"data: {place} has parquet files of different columns ({one_line(error)})") from error
    return Listing(place, images, labels, classes or _numbered(labels))


def _read_table(file: Path) -> pa.Table:
    try:
        return pq.read_table(file)
    except (pa.ArrowInvalid, OSError) as error:
        raise RunError(f"data: {file} is not a readable parquet file ({one_line(error)})") from error


def _columns(schema: pa.Schema, file: Path) -> tuple[str, str, tuple[str, ...]]:
    """The image column, the label column and the classes: by the hub's features, or else by name."""
    features = _features(schema)
    images = [name for name, feature in features.items() if feature.get("_type") == "Image"]
    labels = [name for name, feature in features.items() if feature.get("_type") == "ClassLabel"]
    images += [name for name in ("image", "img") if name in schema.names]
    labels += [name for name in ("label", "labels", "fine_label") if name in schema.names]
    if not images or not labels:
        raise RunError(f"data: {file} has columns {schema.names}, but an image and a label column are needed")
    return images[0], labels[0], tuple(features.get(labels[0], {}).get("names", ()))


def _features(schema: pa.Schema) -> dict[str, dict[str, Any]]:
    described = (schema.metadata or {}).get(b"huggingface", b"{}")
    try:
        features = json.loads(described)["info"]["features"]
        return {name: features[name] for name in schema.names if isinstance(features.get(name), dict)}
    except (ValueError, KeyError, TypeError, AttributeError):  # written by someone else: go by the columns' names
        return {}


def _contents(column: pa.ChunkedArray, file: Path) -> list[bytes]:
    """The bytes of each image, which stand alone or in a field of that name."""
    chunks = [chunk.field("bytes") if pa.types.is_struct(chunk.type) else chunk for chunk in column.chunks]
    contents = [content for chunk in chunks for content in chunk.to_pylist()]
    if not all(isinstance(content, bytes) for content in contents):
        raise RunError(f"data: {file} has an image without bytes; it must hold the images themselves")
    return contents


def _labels(column: pa.ChunkedArray, file: Path) -> np.ndarray:
    if not pa.types.is_integer(column.type) or column.null_count:
        raise RunError(f"data: {file} has labels of type {column.type}, {column.null_count} missing; all must be whole")
    return column.to_numpy().astype(np.int64)


def _read_idx(file: Path) -> Listing:
    pixels = _idx_array(file)
    labels = _idx_array(file.with_name(file.name.replace("images", "labels").replace("idx3", "idx1")))
    if pixels.ndim != 3 or labels.shape != pixels.shape[:1]:
        raise RunError(f"data: {file} is {list(pixels.shape)}, but its labels are {list(labels.shape)}")
    labels = labels.astype(np.int64)
    return Listing(str(file), list(pixels), labels, _numbered(labels))


def _idx_array(file: Path) -> np.ndarray:
    """An IDX file: two zero bytes, a type, the number of axes, their big-endian sizes, the values."""
    content = _idx_content(file)
    axes = content[3] if len(content) >= 4 and content[:3] == bytes([0, 0, IDX_UINT8]) else 0
    start = 4 + 4 * axes
    shape = np.frombuffer(content[4:start], ">u4") if len(content) >= start else np.array([0])
    if not axes or len(content) - start != np.prod(shape, dtype=np.int64):
        raise RunError(f"data: {file} is not a readable IDX file (truncated, or not of bytes)")
    return np.frombuffer(content, np.uint8, offset=start).reshape(shape.astype(np.int64))


def _idx_content(file: Path) -> bytes:
    try:
        return gzip.decompress(file.read_bytes()) if file.suffix == ".gz" else file.read_bytes()
    except (OSError, EOFError, zlib.error) as error:
        raise RunError(f"data: {file} is not a readable IDX file ({one_line(error)})") from error


def _numbered(labels: np.ndarray) -> tuple[str, ...]:
    return tuple(str(label) for label in range(int(labels.max(initial=-1)) + 1))
