"""The command line: sluicegate VERB; the verbs are in the table `_VERBS`.

Results go to standard output, as tables or, with `--json`, as one JSON object; everything else goes to standard error.
Exit status: 0, 1 (the run failed), 2 (bad usage). An error is one line. Only the verb that is asked for is imported,
as PyTorch and Lightning take seconds.
"""

import importlib
import re
import sys
from collections.abc import Callable, Sequence
from typing import NamedTuple

import jsonargparse

from sluicegate.analysis.arguments import add_arguments as report_arguments
from sluicegate.errors import InputError
from sluicegate.verbs import arguments as takes
from sluicegate.verbs.completing import completion_script
from sluicegate.verbs.help import GroupedHelp
from sluicegate_runtime import contents, prediction
from sluicegate_runtime.command import exit_status

_OVERRIDE = re.compile(r"[A-Za-z_][\w.]*=")
_TAKES_VALUE = ("--out", "-o", "--data-dir", "--weights", "--data", "--teacher", "--table", "--over")
_WITH_OVERRIDES = ("train", "finetune", "sweep")
_WITHOUT_JSON = ("predict", "completion")  # predict has an option of its own


class _Verb(NamedTuple):
    summary: str
    does: str  # module:function, which takes the parsed arguments and may return an exit status
    arguments: Callable[[jsonargparse.ArgumentParser], None]


_VERBS = {
    "demo": _Verb(
        "Train a small ResNet on digits, dense and at a few operating points, and draw the frontier.",
        "sluicegate.verbs.training:demo",
        takes.demo,
    ),
    "sites": _Verb(
        "List which layers of a network can be gated, which cannot and why, and the share of MACs that gates reach.",
        "sluicegate.verbs.surveying:sites",
        takes.sites,
    ),
    "train": _Verb("Train by a recipe into a run folder.", "sluicegate.verbs.training:train", takes.train),
    "finetune": _Verb(
        "Add gates to a trained network and fine-tune it to a target cost; measure it before and after.",
        "sluicegate.verbs.tuning:finetune",
        takes.finetune,
    ),
    "sweep": _Verb(
        "Train a recipe once for each value of an option, one after another or in parallel.",
        "sluicegate.verbs.tuning:sweep",
        takes.sweep,
    ),
    "evaluate": _Verb(
        "Measure a run, or a network with a weights file, on test images.",
        "sluicegate.verbs.evaluating:evaluate",
        takes.evaluate,
    ),
    "prune": _Verb(
        "Remove gates that do the same for every image; write a plain network, or a file for the engine.",
        "sluicegate.verbs.pruning:prune",
        takes.prune,
    ),
    "export": _Verb(
        "Write a run's network as a file for the engine.", "sluicegate.verbs.exporting:export", takes.export
    ),
    "release": _Verb(
        "Write a finished run as a folder to share: weights, recipe, and a card with its results.",
        "sluicegate.verbs.exporting:release",
        takes.release,
    ),
    "predict": _Verb(
        "Classify image files with an exported network, as JSON lines; a segmentation network writes masks.",
        "sluicegate_runtime.prediction:command",
        prediction.add_arguments,
    ),
    "bench": _Verb(
        "Time a network, gated and dense, against other engines.", "sluicegate.verbs.measuring:bench", takes.bench
    ),
    "profile": _Verb(
        "Measure a latency table: milliseconds of each op by the share of open channels, to train to a time.",
        "sluicegate.verbs.measuring:profile",
        takes.profile,
    ),
    "frontier": _Verb(
        "Draw accuracy against MACs or milliseconds for finished runs, papers' points and dense networks.",
        "sluicegate.verbs.measuring:frontier",
        takes.frontier,
    ),
    "report": _Verb(
        "Write one HTML page on a network and its gates: accuracy, work, time, classes, images.",
        "sluicegate.verbs.reporting:report",
        report_arguments,
    ),
    "info": _Verb(
        "Say what is in a .sluice file or a run folder.", "sluicegate.verbs.describing:info", contents.add_arguments
    ),
    "recipes": _Verb("List the recipes.", "sluicegate.verbs.training:list_recipes", lambda parser: None),
    "completion": _Verb(
        "Print a script by which a shell completes verbs, options and paths.",
        "sluicegate.cli:_completion",
        takes.completion,
    ),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit status."""
    return exit_status(lambda: _command(list(sys.argv[1:] if arguments is None else arguments)))


def _command(arguments: list[str]) -> int | None:
    try:
        config = _parse(arguments)
        module, _, name = _VERBS[config.verb].does.partition(":")
        verb: Callable[[jsonargparse.Namespace], int | None] = getattr(importlib.import_module(module), name)
        return verb(config[config.verb])
    except jsonargparse.ArgumentError as error:
        raise InputError(str(error)) from error


def _completion(config: jsonargparse.Namespace) -> None:
    print(completion_script(_parser(), config.shell))


def _parser() -> jsonargparse.ArgumentParser:
    parser = _new_parser("Gate a CNN, train the gates, count the multiply-adds of each image.")
    parser.formatter_class = GroupedHelp
    verbs = parser.add_subcommands(dest="verb", metavar="VERB", title="verbs", description="'VERB --help' says more.")
    for name, verb in _VERBS.items():
        sub = _new_parser(verb.summary)
        verb.arguments(sub)
        if name not in _WITHOUT_JSON:
            sub.add_argument("--json", action="store_true", help="print one JSON object")
        verbs.add_subcommand(name, sub, help=verb.summary).prog = f"sluicegate {name}"
    return parser


def _new_parser(description: str) -> jsonargparse.ArgumentParser:
    return jsonargparse.ArgumentParser(
        prog="sluicegate", description=description, exit_on_error=False, allow_abbrev=False
    )


def _parse(arguments: list[str]) -> jsonargparse.Namespace:
    """`key=value` may stand anywhere after `train` and its like; argparse takes repeated positionals in one piece
    only."""
    if not arguments or arguments[0] not in _WITH_OVERRIDES:
        return _parser().parse_args(arguments)
    before = ["", *arguments]
    overrides = [
        a for a, left in zip(arguments, before, strict=False) if _OVERRIDE.match(a) and left not in _TAKES_VALUE
    ]
    config = _parser().parse_args([a for a in arguments if a not in overrides])
    config[config.verb].overrides += overrides
    return config
