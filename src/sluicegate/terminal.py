"""Output of commands: results on standard output, as tables or JSON, and notes on standard error."""

import json
import sys
from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.table import Table

NOTES = Console(stderr=True, highlight=False)


def note(line: str) -> None:
    """Print a note on standard error."""
    NOTES.print(line, soft_wrap=True)


def show(as_json: bool, report: Mapping[str, Any], *human: Table | str) -> None:
    """Print a result: as one JSON object, or its tables and lines."""
    if as_json:
        print(json.dumps(report))
        return
    console = Console(highlight=False, width=None if sys.stdout.isatty() else 120)
    for item in human:
        console.print(item, soft_wrap=isinstance(item, str))
