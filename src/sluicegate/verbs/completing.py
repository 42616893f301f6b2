"""The verb `completion` of the command line: a shell that completes verbs, options and paths."""

from importlib.util import find_spec

import jsonargparse

from sluicegate.errors import InputError


def completion_script(parser: jsonargparse.ArgumentParser, shell: str) -> str:
    """The script that a shell reads, made by shtab.

    Raises:
        InputError: shtab is not installed.

        print(completion_script(parser, "bash"))
    """
    if find_spec("shtab") is None:
        raise InputError("completion: needs shtab, which is not installed; pip install 'sluicegate[completion]'")
    return parser.get_completion_script(f"shtab-{shell}")
