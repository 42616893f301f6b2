"""`python -m sluicegate_runtime predict model.sluice IMAGE...`, and `info model.sluice`: needs NumPy, nothing else.

Exit status: 0, 1 (the run failed), 2 (bad usage, or an image that cannot be read). An error is one line.
"""

import argparse
import sys
from collections.abc import Sequence
from typing import NoReturn

from . import contents, prediction
from .command import exit_status
from .errors import InputError


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise InputError(message)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit status."""
    return exit_status(lambda: _command(_parser().parse_args(arguments)))


def _command(options: argparse.Namespace) -> int | None:
    return prediction.command(options) if options.verb == "predict" else contents.command(options)


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="sluicegate", description="Run .sluice files.", allow_abbrev=False)
    verbs = parser.add_subparsers(required=True, dest="verb", parser_class=_Parser)
    prediction.add_arguments(verbs.add_parser("predict", help="what a classifier says of images, as JSON lines"))
    info = verbs.add_parser("info", help="what is in a file")
    contents.add_arguments(info)
    info.add_argument("--json", action="store_true", help="print one JSON object")
    return parser


if __name__ == "__main__":
    sys.exit(main())
