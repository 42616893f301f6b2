"""Files that are whole or absent, and the folders that they lie in."""

import json
import os
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from sluicegate_runtime.files import whole_file as _whole_file


def whole_file(path: str | os.PathLike[str]) -> AbstractContextManager[Path]:
    """A place to write to; what is there in the end becomes `path` in one step, its folders made where they lack.

    Raises:
        InputError: nothing can be written there; said before the work within begins, where it can be known.
    """
    return _whole_file(path, folders=True)


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """Write text, whole or not at all."""
    with whole_file(path) as part:
        part.write_text(text, encoding="utf-8")


def write_json(path: str | os.PathLike[str], value: Any) -> None:
    """Write JSON, whole or not at all."""
    write_text(path, json.dumps(value, indent=2) + "\n")
