"""The console command `sluicegate`: what NumPy can do is done without importing the PyTorch side.

A package of its own, because most verbs of `sluicegate` import torch, and the runtime knows nothing of `sluicegate`.
"""

import sys
from importlib.util import find_spec


def main() -> int:
    """Run one command; returns the exit status."""
    if sys.argv[1:] == ["--version"]:
        from importlib.metadata import version

        print(f"sluicegate {version('sluicegate')}")
        return 0
    if sys.argv[1:2] == ["predict"] or _asks_of_a_file(sys.argv[1:]):
        from sluicegate_runtime.__main__ import main as run
    else:
        try:
            if sys.argv[1:2] == ["report"] and find_spec("torch") is None:
                from sluicegate.analysis.command import main as run_report

                return run_report(sys.argv[2:])
            from sluicegate.cli import main as run
        except ModuleNotFoundError as error:
            return _lacks(error)
    return run()


def _asks_of_a_file(arguments: list[str]) -> bool:
    """`info FILE.sluice`; of a run folder the PyTorch side knows."""
    return arguments[:1] == ["info"] and any(argument.endswith(".sluice") for argument in arguments)


def _lacks(error: ModuleNotFoundError) -> int:
    verb = sys.argv[1] if len(sys.argv) > 1 else "this command"
    extra = "report" if verb == "report" else "train"
    needs = f"{verb}: needs {error.name}, which is not installed; pip install 'sluicegate[{extra}]' brings it"
    print(f"sluicegate: error: {needs}; 'predict' works without", file=sys.stderr)
    return 1
