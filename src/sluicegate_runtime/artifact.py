"""The `.sluice` file: one safetensors file that holds a whole program.

    8 bytes      length L of the header, little-endian
    L bytes      JSON: tensor name -> dtype, shape, [begin, end) into the data; "__metadata__" -> texts
    the rest     the tensors, float32, little-endian, without gaps, in the order of the header

The metadata has `format` ("sluice"), `version`, `program` (JSON, see `program.py`) and `sha256` of the data. The reader
trusts nothing: it checks lengths, order, names and the checksum before it makes a tensor, and verifies the program
before it returns it. Nothing in the file is executed.

Format: https://huggingface.co/docs/safetensors. It is implemented here because the runtime needs only NumPy.
"""

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from .errors import InputError
from .files import whole_file
from .program import Program
from .spec import verify_program

FORMAT = "sluice"
VERSION = 2
MAX_HEADER = 1 << 24  # bytes


@dataclass(frozen=True)
class Artifact:
    """A verified program with its tensors, name -> float32 array."""

    program: Program
    tensors: Mapping[str, np.ndarray]


def save_program(path: str | os.PathLike[str], program: Program, tensors: Mapping[str, np.ndarray]) -> None:
    """Verifies, then writes. InputError if the program is refused or the file cannot be written."""
    verify_program(program, tensors)
    data = {name: np.ascontiguousarray(tensor, "<f4") for name, tensor in sorted(tensors.items())}
    header = _header(program, data)
    with whole_file(path) as part, open(part, "wb") as file:
        for piece in (len(header).to_bytes(8, "little"), header, *(tensor.data for tensor in data.values())):
            file.write(piece)


def load_program(path: str | os.PathLike[str]) -> Artifact:
    """Reads and verifies. InputError, one line with the path, where anything at all is not as it should
    be."""
    if not isinstance(path, str | os.PathLike):
        raise InputError(f"path: {type(path).__name__} is not the path of a .sluice file")
    try:
        content = Path(path).read_bytes()
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: cannot be read: {getattr(error, 'strerror', error)}") from None
    try:
        return loads_program(content)
    except InputError as error:
        raise InputError(f"{path}: {error}") from None


def loads_program(content: bytes) -> Artifact:
    """As `load_program`, from the bytes of a file."""
    header, data = _split(content)
    metadata = _metadata(header.pop("__metadata__", None))
    if hashlib.sha256(data).hexdigest() != metadata["sha256"]:
        raise InputError("the tensors do not match their SHA-256; the file is damaged")
    tensors = _tensors(header, data)
    program = Program.from_json(metadata["program"])
    verify_program(program, tensors)
    return Artifact(program, tensors)


def _header(program: Program, data: Mapping[str, np.ndarray]) -> bytes:
    digest = hashlib.sha256()
    entries: dict[str, Any] = {}
    begin = 0
    for name, tensor in data.items():
        digest.update(tensor.tobytes())
        entries[name] = {
            "dtype": "F32",
            "shape": list(tensor.shape),
            "data_offsets": [begin, begin + tensor.nbytes],
        }
        begin += tensor.nbytes
    metadata = {
        "format": FORMAT,
        "version": str(VERSION),
        "program": program.to_json(),
        "sha256": digest.hexdigest(),
    }
    text = json.dumps({"__metadata__": metadata, **entries}, separators=(",", ":")).encode()
    return text + b" " * (-len(text) % 64)  # the data begins 8 bytes past a cache line


def _split(content: bytes) -> tuple[dict[str, Any], memoryview]:
    length = int.from_bytes(content[:8], "little")
    if len(content) < 8 or not 2 <= length <= MAX_HEADER or 8 + length > len(content):
        raise InputError(f"not a .sluice file, or cut short ({len(content)} bytes)")
    try:
        header = json.loads(content[8 : 8 + length].decode("utf-8"))
    except (ValueError, RecursionError):
        raise InputError("the header is not valid JSON") from None
    if not isinstance(header, dict):
        raise InputError("the header must be an object")
    return header, memoryview(content)[8 + length :]


def _metadata(metadata: Any) -> dict[str, str]:
    if not isinstance(metadata, dict) or not all(isinstance(text, str) for text in metadata.values()):
        raise InputError("the header has no metadata of texts")
    missing = {"format", "version", "program", "sha256"} - set(metadata)
    if missing:
        raise InputError(f"the metadata lacks {min(missing)!r}")
    if (metadata["format"], metadata["version"]) == (FORMAT, "1"):
        raise InputError(f"it is of version 1, and {VERSION} is the only one known here: export the network again")
    if metadata["format"] != FORMAT or metadata["version"] != str(VERSION):
        found = f"{metadata['format'][:20]} {metadata['version'][:20]}"
        raise InputError(f"format {found!r} is not {FORMAT} {VERSION}, the only one known here")
    return metadata


def _tensors(header: dict[str, Any], data: memoryview) -> dict[str, np.ndarray]:
    tensors: dict[str, np.ndarray] = {}
    reached = 0
    for name, entry in header.items():
        shape, begin, end = _entry(name, entry)
        if begin != reached or end > len(data) or end - begin != 4 * prod(shape):
            raise InputError(f"tensor {name!r}: [{begin}, {end}) does not hold shape {shape} where it should begin")
        # A view where it is aligned, as in what `save_program` writes: bytes do not change under a verified program.
        tensors[name] = np.require(np.frombuffer(data[begin:end], "<f4"), np.float32, "A").reshape(shape)
        reached = end
    if reached != len(data):
        raise InputError(f"{len(data) - reached} bytes follow the last tensor")
    return tensors


def _entry(name: str, entry: Any) -> tuple[tuple[int, ...], int, int]:
    if not isinstance(entry, dict) or set(entry) != {"dtype", "shape", "data_offsets"} or entry["dtype"] != "F32":
        raise InputError(f"tensor {name!r}: must be F32 with shape and data_offsets")
    shape, offsets = entry["shape"], entry["data_offsets"]
    if not _is_counts(shape) or 0 in shape or len(shape) > 4 or not _is_counts(offsets) or len(offsets) != 2:
        raise InputError(f"tensor {name!r}: shape or data_offsets are not lists of counts, or a side is 0")
    return tuple(shape), offsets[0], offsets[1]


def _is_counts(items: Any) -> bool:
    return isinstance(items, list) and all(type(item) is int and 0 <= item < 1 << 40 for item in items)
