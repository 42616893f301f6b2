"""`python -m sluicegate_runtime predict model.sluice IMAGE...`: needs NumPy, nothing else.

Exit status: 0, 1 (the run failed), 2 (bad usage). An error is one line.
"""

import argparse
import sys
from collections.abc import Sequence
from typing import NoReturn

from . import prediction
from .errors import InputError, SluicegateError


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise InputError(message)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit status."""
    try:
        prediction.command(_parser().parse_args(arguments))
    except SluicegateError as error:
        print(f"sluicegate: error: {error}", file=sys.stderr)
        return 2 if isinstance(error, InputError) else 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="sluicegate", description="Run .sluice files.", allow_abbrev=False)
    verbs = parser.add_subparsers(required=True, dest="verb", parser_class=_Parser)
    prediction.add_arguments(verbs.add_parser("predict", help="what a classifier says of images, as JSON lines"))
    return parser


if __name__ == "__main__":
    sys.exit(main())
