"""Files that are whole or absent: each is written beside its place and then renamed.

A process killed while it writes leaves the file of before.
"""

import json
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from sluicegate.errors import InputError


@contextmanager
def whole_file(path: str | os.PathLike[str]) -> Iterator[Path]:
    """A place beside `path` to write to; what is there in the end becomes `path` in one step.

    Raises:
        InputError: nothing can be written there; said before the work within begins, where it can be known.
    """
    path = Path(path)
    part = path.parent / f".{path.name}.{os.getpid()}.{threading.get_ident()}.part"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        part.touch()
        if path.is_dir():
            raise InputError(f"{path}: cannot be written: it is a folder")
        yield part
        os.replace(part, path)
    except OSError as error:
        raise InputError(f"{path}: cannot be written: {error.strerror or error}") from error
    finally:
        with suppress(OSError):
            part.unlink()


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """Write text, whole or not at all."""
    with whole_file(path) as part:
        part.write_text(text, encoding="utf-8")


def write_json(path: str | os.PathLike[str], value: Any) -> None:
    """Write JSON, whole or not at all."""
    write_text(path, json.dumps(value, indent=2) + "\n")
