"""The command line: sluicegate VERB; the verbs are in the table `_VERBS`.

Results go to standard output, as tables or, with `--json`, as one JSON object; everything else goes to standard error.
Exit status: 0, 1 (the run failed), 2 (bad usage). An error is one line.
"""

import re
import shutil
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path

import jsonargparse

from sluicegate import evaluating, pruning, surveying, tuning
from sluicegate.analysis import save_frontier
from sluicegate.analysis.arguments import add_arguments as report_arguments
from sluicegate.bench import DENSE, GATED, as_file, came_from, compare, predicted, save_latency_table, what_to_time
from sluicegate.errors import InputError
from sluicegate.models.release import release as release_run
from sluicegate.recipes import demo as demo_recipes
from sluicegate.recipes import paper, recipe, recipes
from sluicegate.tables import bench_table, recipe_table, result_tables, slower_than_dense, speed_table
from sluicegate.terminal import NOTES, note, show
from sluicegate.train import (
    override,
    provenance,
    run,
)
from sluicegate.train.frontiers import run_series
from sluicegate.train.products import engine_milliseconds, export_run
from sluicegate.train.stages import run_recipe
from sluicegate_runtime import LatencyTable, prediction
from sluicegate_runtime.command import exit_status
from sluicegate_runtime.preprocess import parse_preprocessing

_OVERRIDE = re.compile(r"[A-Za-z_][\w.]*=")
_TAKES_VALUE = ("--out", "-o", "--data-dir", "--weights", "--data", "--teacher", "--table", "--over")
_WITH_OVERRIDES = ("train", "finetune", "sweep")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit status."""
    return exit_status(lambda: _command(list(sys.argv[1:] if arguments is None else arguments)))


def _command(arguments: list[str]) -> int | None:
    try:
        config = _parse(arguments)
        return _VERBS[config.verb](config[config.verb])
    except jsonargparse.ArgumentError as error:
        raise InputError(str(error)) from error


def demo(config: jsonargparse.Namespace) -> None:
    """Train a small ResNet on digits, dense and at a few operating points, and draw the frontier."""
    from sluicegate.reporting import report_run

    results = {}
    for number, (point, name) in enumerate(demo_recipes.NAMES.items(), 1):
        note(f"training {number} of {len(demo_recipes.NAMES)}: {name}")
        shutil.rmtree(config.out / name, ignore_errors=True)
        results[point] = run(recipe(name), config.out / name, progress=NOTES.is_terminal)
    folders = {point: config.out / name for point, name in demo_recipes.NAMES.items()}
    figure, *_ = save_frontier(run_series(list(folders.values())), config.out / "frontier.png", "digits")
    milliseconds = engine_milliseconds(folders)
    slower = slower_than_dense(milliseconds)
    points = {point: asdict(one) | {"milliseconds": milliseconds[point]} for point, one in results.items()}
    page = report_run(folders["middle"], config.out / "report.html")
    report = points["middle"] | {"points": list(points.values()), "figure": str(figure), "report": str(page)}
    lines = (*slower, f"figure: {figure}", f"report: {page}")
    show(config.json, report, *result_tables(results), speed_table(milliseconds), *lines)


def train(config: jsonargparse.Namespace) -> None:
    """Train by a recipe into a run folder."""
    wanted = override(recipe(config.recipe), config.overrides)
    out = config.out or Path("runs") / wanted.name
    result = run_recipe(wanted, out, resume=config.resume, data_dir=config.data_dir)
    if provenance.is_first_process():
        show(config.json, asdict(result), *result_tables({result.name: result}), f"run folder: {out}")


def export(config: jsonargparse.Namespace) -> None:
    """Write a run's network as a file for the engine."""
    file = export_run(config.run, config.output, config.weights, config.threshold)
    show(config.json, {"file": str(file), "bytes": file.stat().st_size}, f"file: {file}")


def release(config: jsonargparse.Namespace) -> None:
    """Write a finished run as a folder to share: weights, recipe, and a card with its results."""
    folder = release_run(config.run, config.output, config.licence, config.data_dir)
    show(config.json, {"folder": str(folder)}, f"folder: {folder}")


def predict(config: jsonargparse.Namespace) -> int:
    """Classify image files with an exported network, as JSON lines; a segmentation network writes masks."""
    return prediction.command(config)


def profile(config: jsonargparse.Namespace) -> None:
    """Measure a latency table: milliseconds of each op by the share of open channels, to train to a time."""
    with tempfile.TemporaryDirectory() as scratch:
        file, _ = as_file(config.model, Path(scratch), config.data_dir)
        table = save_latency_table(file, config.output, config.threads, config.tune)
    found = {"dense_ms": table.dense, "overhead_ms": table.overhead, "ops": len(table.ops), "threads": table.threads}
    show(config.json, {"file": str(config.output), **found}, f"table: {config.output}", f"dense: {table.dense:.3f} ms")


def bench(config: jsonargparse.Namespace) -> None:
    """Time a network, gated and dense, against other engines."""
    with tempfile.TemporaryDirectory() as scratch:
        _compare(config, Path(scratch))


def _compare(config: jsonargparse.Namespace, scratch: Path) -> None:
    table = LatencyTable.load(config.latency) if config.latency else None
    said = None if config.preprocessing is None else parse_preprocessing(config.preprocessing)
    file, data = as_file(config.model, scratch, config.data_dir)
    pixels, source = what_to_time(file, config.files, data, config.data_dir, said)
    forecast = predicted(file, pixels, table, config.threads, config.tune) if table else None
    note("preparing the other engines")
    timings, left_out = compare(file, pixels, config.threads, config.batch_size, config.repeats, config.tune)
    report = {
        "model": config.model,
        "timed_on": source,
        **{key: config[key] for key in ("threads", "batch_size", "repeats", "tune")},
        "timings": [asdict(one) for one in timings],
        "predicted_ms": forecast,
        "left_out": left_out,
        **came_from(),
    }
    notes = [f"left out: {peer}, {why}" for peer, why in left_out.items()]
    if forecast is not None:
        notes.append(f"the latency table predicts {forecast:.3f} ms for an image, the median")
    ours = {one.name: one.median_ms for one in timings if one.name in (DENSE, GATED)}
    notes += slower_than_dense({DENSE: ours[DENSE], **ours})
    show(config.json, report, bench_table(timings), f"timed on {source}, {config.batch_size} at a call", *notes)


def frontier(config: jsonargparse.Namespace) -> None:
    """Draw accuracy against MACs or milliseconds for finished runs, papers' points and dense networks."""
    series = run_series(config.runs, timed=config.unit == "ms", data_dir=config.data_dir)
    series += [paper(config.paper)] if config.paper else []
    files = [str(file) for file in save_frontier(series, config.output, config.title, config.unit)]
    show(config.json, {"files": files, "series": [asdict(one) for one in series]}, *files)


def report(config: jsonargparse.Namespace) -> None:
    """Write one HTML page on a network and its gates: accuracy, work, time, classes, images."""
    from sluicegate.reporting import report as write  # late, as in `demo`: pandas and Altair take a second

    write(config)


def list_recipes(config: jsonargparse.Namespace) -> None:
    """List the recipes."""
    made = [make() for make in recipes().values()]
    show(config.json, {one.name: asdict(one) for one in made}, recipe_table(made))


_VERBS: dict[str, Callable[[jsonargparse.Namespace], int | None]] = {
    "demo": demo,
    "sites": surveying.sites,
    "train": train,
    "finetune": tuning.finetune,
    "sweep": tuning.sweep,
    "evaluate": evaluating.evaluate,
    "prune": pruning.prune,
    "export": export,
    "release": release,
    "predict": predict,
    "bench": bench,
    "profile": profile,
    "frontier": frontier,
    "report": report,
    "recipes": list_recipes,
}


def _parser() -> jsonargparse.ArgumentParser:
    parser = _new_parser("Gate a CNN, train the gates, count the multiply-adds of each image.")
    verbs = parser.add_subcommands(dest="verb")
    for name, verb in _VERBS.items():
        sub = _new_parser(verb.__doc__)
        _ARGUMENTS[name](sub)
        if verb is not predict:  # which prints nothing but JSON, and has the option of its own
            sub.add_argument("--json", action="store_true", help="print one JSON object")
        verbs.add_subcommand(name, sub, help=verb.__doc__)
    return parser


def _new_parser(description: str | None) -> jsonargparse.ArgumentParser:
    return jsonargparse.ArgumentParser(
        prog="sluicegate", description=description, exit_on_error=False, allow_abbrev=False
    )


def _demo_arguments(parser: jsonargparse.ArgumentParser) -> None:
    parser.add_argument("--out", type=Path, default=Path("runs/demo"), help="folder for runs and figure")


def _train_arguments(parser: jsonargparse.ArgumentParser) -> None:
    parser.add_argument("recipe", help="a recipe's name, or a YAML file")
    parser.add_argument("overrides", nargs="*", default=[], metavar="key=value", help="e.g. epochs=3 optimizer.lr=0.05")
    parser.add_argument("--out", type=Path | None, help="run folder; runs/NAME if left out")
    parser.add_argument("--resume", action="store_true", help="continue an interrupted run; epochs may be raised")
    parser.add_argument("--data-dir", type=Path | None, help="folder of the data set")


def _export_arguments(parser: jsonargparse.ArgumentParser) -> None:
    parser.add_argument("run", type=Path, help="run folder")
    parser.add_argument("-o", "--output", type=Path, default=Path("model.sluice"), help="the file to write")
    parser.add_argument("--weights", type=Path | None, help="safetensors file; the run's last weights if left out")
    parser.add_argument("--threshold", type=float | None, help="probability above which a gate is open; default 0.5")


def _release_arguments(parser: jsonargparse.ArgumentParser) -> None:
    parser.add_argument("run", type=Path, help="folder of a finished run")
    parser.add_argument(
        "-o", "--output", type=Path, required=True, help="the folder to write; the network gets its name"
    )
    parser.add_argument(
        "--licence", required=True, help="licence of the weights, and source of the weights that training started from"
    )
    parser.add_argument("--data-dir", type=Path | None, help="folder of the data set")


def _bench_arguments(parser: jsonargparse.ArgumentParser) -> None:
    _model_arguments(parser)
    parser.add_argument(
        "files", nargs="*", type=Path, default=[], metavar="IMAGE", help="images to time the network on"
    )
    parser.add_argument("--batch-size", type=int, default=1, help="images in one call")
    parser.add_argument("--repeats", type=int, default=100, help="timed calls of each engine")
    parser.add_argument(
        "--latency", type=Path | None, metavar="TABLE", help="also print the time that this latency table predicts"
    )
    parser.add_argument(
        "--preprocessing", type=str | None, help="how to normalise IMAGE: none, imagenet or MEAN/STD; see predict"
    )


def _profile_arguments(parser: jsonargparse.ArgumentParser) -> None:
    _model_arguments(parser)
    parser.add_argument("-o", "--output", type=Path, default=Path("table.json"), help="the table to write")


def _model_arguments(parser: jsonargparse.ArgumentParser) -> None:
    parser.add_argument("model", metavar="MODEL|RUN|RECIPE", help=".sluice file, run folder, or recipe (untrained)")
    parser.add_argument("--threads", type=int, default=2, help="threads of each engine")
    parser.add_argument(
        "--tune",
        action="store_true",
        help="first measure which algorithms are fastest on this machine; the result is kept",
    )
    parser.add_argument("--data-dir", type=Path | None, help="folder of the data set, for a run or recipe")


def _frontier_arguments(parser: jsonargparse.ArgumentParser) -> None:
    parser.add_argument("runs", nargs="+", type=Path, help="run folders")
    parser.add_argument("-o", "--output", type=Path, default=Path("frontier.png"), help="PNG and SVG, or a .html page")
    parser.add_argument("--paper", type=str | None, help="also draw the numbers of a paper: dlcg")
    parser.add_argument("--title", type=str, default="", help="title of the figure")
    parser.add_argument("--in", dest="unit", choices=["macs", "ms"], default="macs", help="cost on the horizontal axis")
    parser.add_argument("--data-dir", type=Path | None, help="folder of the data set; --in ms times its images")


def _no_arguments(parser: jsonargparse.ArgumentParser) -> None:
    pass


_ARGUMENTS: dict[str, Callable[[jsonargparse.ArgumentParser], None]] = {
    "demo": _demo_arguments,
    "sites": surveying.sites_arguments,
    "train": _train_arguments,
    "finetune": tuning.finetune_arguments,
    "sweep": tuning.sweep_arguments,
    "evaluate": evaluating.evaluate_arguments,
    "prune": pruning.prune_arguments,
    "export": _export_arguments,
    "release": _release_arguments,
    "predict": prediction.add_arguments,
    "bench": _bench_arguments,
    "profile": _profile_arguments,
    "frontier": _frontier_arguments,
    "report": report_arguments,
    "recipes": _no_arguments,
}


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
