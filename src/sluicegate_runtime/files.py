"""Files that are complete or absent: each is written under a temporary name in its folder and then renamed.

If a process is killed while it writes, the previous file stays.
"""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from .errors import InputError


@contextmanager
def whole_file(path: str | os.PathLike[str], folders: bool = False) -> Iterator[Path]:
    """A place beside `path` to write to; what is there in the end becomes `path` in one step. `folders`: make those
    that it lies in. InputError if nothing can be written; before the work within begins, if it can be known."""
    path = Path(path)
    part = path.parent / f".{path.name}.{os.getpid()}.{threading.get_ident()}.part"
    try:
        if folders:
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
