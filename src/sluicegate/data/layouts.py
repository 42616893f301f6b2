"""Three ways in which labelled images lie in a folder, and how each is read and decoded.

| layout | files of the split `train` |
|---|---|
| parquet, as the Hugging Face hub has it | `train-*.parquet` with images and labels, here or a folder down |
| IDX, as MNIST is published | `train-images-idx3-ubyte` and `train-labels-idx1-ubyte`, `.gz` or not |
| image folder | `train/<class>/*`, the classes in the order of their names in `train` |

The split `test` may also be named `t10k` (MNIST), `validation`, `valid` or `val`; the first that exists is
read. Reading gives a `Listing` of images that are still encoded, so that only those which are wanted get
decoded.
"""

import gzip
import io
import json
import os
import zlib
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image, ImageOps

from sluicegate.errors import InputError, RunError, one_line

SPLIT_NAMES = {"train": ("train",), "test": ("test", "t10k", "validation", "valid", "val")}
IMAGE_SUFFIXES = {".bmp", ".gif", ".jpeg", ".jpg", ".png", ".ppm", ".tif", ".tiff", ".webp"}
IDX_UINT8 = 0x08
DECODE_CHUNK = 256

Encoded = bytes | Path | np.ndarray
"""One image: an encoded file's bytes, its path, or uint8 pixels [H, W]."""


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
        chosen = [i * len(self.images) // limit for i in range(limit)]
        return replace(self, images=[self.images[i] for i in chosen], labels=self.labels[chosen])


def read_listing(folder: Path, split: str) -> Listing:
    """The images of a split in `folder`, whichever layout it has.

    Raises:
        InputError: the folder has no such split in any layout.
        RunError: a file is truncated or is not what its name says.
    """
    for name in SPLIT_NAMES[split]:
        if files := sorted([*folder.glob(f"{name}-*.parquet"), *folder.glob(f"*/{name}-*.parquet")]):
            return _read_parquet(files)
        if files := sorted(folder.glob(f"{name}-images*idx3-ubyte*")):
            return _read_idx(files[0])
        if (folder / name).is_dir():
            return _read_image_folder(folder / name)
    names = ", ".join(SPLIT_NAMES[split])
    rule = f"it must hold parquet files, IDX files or class folders named {names}"
    raise InputError(f"data: {str(folder)!r} has no {split} split; {rule}")


def decode(listing: Listing, size: int | None) -> np.ndarray:
    """The pixels of a listing, uint8 [N, C, H, W].

    Args:
        listing: at least one image; grey ones become colour where others are in colour.
        size: resize the shortest side to it and crop the centre. None takes images as they are.

    Raises:
        InputError: `size` is None and the images differ in size.
        RunError: an image is not readable.
    """
    chunks = [listing.images[i : i + DECODE_CHUNK] for i in range(0, len(listing.images), DECODE_CHUNK)]
    with ThreadPoolExecutor(os.cpu_count()) as pool:  # Pillow decodes without holding Python's lock
        decoded = pool.map(lambda chunk: [_pixels(image, size, listing.place) for image in chunk], chunks)
        pixels = [image for chunk in decoded for image in chunk]
    return _stack(pixels, listing.place)


def _read_parquet(files: list[Path]) -> Listing:
    place = str(files[0].parent)
    tables = [_read_table(file) for file in files]
    image, label, classes = _columns(tables[0].schema, files[0])
    try:
        images = [bytes_ for table in tables for bytes_ in _chunks(table, image, "bytes")]
        labels = np.concatenate([table[label].to_numpy() for table in tables])
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
    described = (schema.metadata or {}).get(b"huggingface")
    features = json.loads(described)["info"]["features"] if described else {}
    return {name: feature for name, feature in features.items() if isinstance(feature, dict)}


def _chunks(table: pa.Table, column: str, field: str) -> Iterator[bytes]:
    for chunk in table[column].chunks:
        yield from chunk.field(field).to_pylist()


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


def _read_image_folder(folder: Path) -> Listing:
    """The classes are the training split's, for a test split may lack one."""
    train = folder.parent / "train"
    classes = _folders(train if train.is_dir() else folder)
    if unknown := sorted(set(_folders(folder)) - set(classes)):
        raise InputError(f"data: {str(folder)!r} has class {unknown[0]!r}, which {str(train)!r} has not")
    files = [_image_files(folder / name) for name in classes]
    labels = np.repeat(np.arange(len(classes)), np.array([len(members) for members in files], np.int64))
    return Listing(str(folder), [file for members in files for file in members], labels, tuple(classes))


def _folders(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.is_dir())


def _image_files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.suffix.lower() in IMAGE_SUFFIXES)


def _pixels(image: Encoded, size: int | None, place: str) -> np.ndarray:
    """One image as [C, H, W], with one channel where it is grey and three otherwise."""
    try:
        picture = _open(image)
        picture = picture if picture.mode == "L" else picture.convert("L" if picture.mode == "1" else "RGB")
    except (OSError, SyntaxError, Image.DecompressionBombError) as error:  # the kinds that Pillow raises
        name = image if isinstance(image, Path) else f"an image of {place}"
        raise RunError(f"data: {name} is not a readable image ({one_line(error)})") from error
    if size is not None and picture.size != (size, size):
        picture = ImageOps.fit(picture, (size, size), Image.Resampling.BILINEAR)
    pixels = np.asarray(picture)
    return pixels[None] if pixels.ndim == 2 else pixels.transpose(2, 0, 1)


def _open(image: Encoded) -> Image.Image:
    if isinstance(image, np.ndarray):
        return Image.fromarray(image)
    picture = Image.open(io.BytesIO(image) if isinstance(image, bytes) else image)
    picture.load()  # reads the pixels and closes the file
    return picture


def _stack(pixels: list[np.ndarray], place: str) -> np.ndarray:
    channels = max(image.shape[0] for image in pixels)
    height, width = pixels[0].shape[1:]
    stacked = np.empty((len(pixels), channels, height, width), np.uint8)
    for row, image in zip(stacked, pixels, strict=True):
        if image.shape[1:] != (height, width):
            sizes = f"{height}x{width} and {image.shape[1]}x{image.shape[2]}"
            raise InputError(f"size: None, but {place} has images of {sizes}; give a size to resize and crop them to")
        row[:] = image  # a grey image becomes three equal channels where the set is in colour
    return stacked


def _numbered(labels: np.ndarray) -> tuple[str, ...]:
    return tuple(str(label) for label in range(int(labels.max(initial=-1)) + 1))
