"""The verb `report` of a `.sluice` file and image files, which needs no torch; `reporting.py` knows runs."""

import argparse
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bars

from sluicegate.analysis.arguments import add_arguments
from sluicegate.analysis.figures import save_figure
from sluicegate.analysis.findings import Context, Findings, analyse
from sluicegate.analysis.frontier import Series
from sluicegate.analysis.observed import Progress
from sluicegate.analysis.page import drawn_figures, write_page
from sluicegate.analysis.source import Source, find_images
from sluicegate.errors import InputError
from sluicegate.files import whole_file
from sluicegate.terminal import NOTES, note
from sluicegate_runtime import Artifact, load_program
from sluicegate_runtime.command import exit_status
from sluicegate_runtime.preprocess import parse_preprocessing


def report_file(config: Any, beside: tuple[Series, ...] = ()) -> dict[str, Any]:
    """Report on a `.sluice` file and image files, `beside` other networks; returns what `write_report` does.

    Raises:
        InputError: the file or the images cannot be read, or do not fit.
    """
    file = Path(config.target)
    if file.suffix != ".sluice":
        raise InputError(f"report: {config.target!r} is no .sluice file; for anything else install 'sluicegate[train]'")
    if config.data is None or not Path(config.data).is_dir():
        raise InputError(f"data: {config.data!r} is no folder of images; name one with --data")
    artifact = load_program(file)
    how = None if config.preprocessing is None else parse_preprocessing(config.preprocessing)
    images = find_images(Path(config.data), artifact.program, how, config.limit)
    context = Context(file.stem, f"images of {Path(config.data).resolve().name}", beside=beside)
    return write_report(config, artifact, images, context)


def write_report(config: Any, artifact: Artifact, images: Source, context: Context) -> dict[str, Any]:
    """Measure and write; `config` has what `add_arguments` names.

    Returns:
        What the first screen says: the file and its bytes, images, accuracy, MACs and milliseconds.
    """
    with whole_file(config.output) as part, shown_progress() as progress:  # refused before the work, if it will be
        found = analyse(artifact, images, context, threads=config.threads, progress=progress)
        progress("writing", 0, 1)
        write_page(found, part)
        for name, figure in drawn_figures(found).items() if config.figures else ():
            save_figure(figure, config.figures / name)
        progress("writing", 1, 1)
    return summary(found, config.output)


def summary(found: Findings, file: Path) -> dict[str, Any]:
    """The first screen as plain values."""
    return {
        "file": str(file),
        "bytes": file.stat().st_size,
        "images": len(found.seen),
        "accuracy": found.seen.accuracy,
        "mean_iou": found.seen.mean_iou,
        "macs": {"dense": found.seen.dense_macs, "mean": float(found.seen.macs.mean())},
        "milliseconds": {"dense": found.speed.dense, "gated": found.speed.gated, "threads": found.speed.threads},
        "open_rate": found.seen.open_rate,
    }


@contextmanager
def shown_progress() -> Iterator[Progress]:
    """A bar for each thing that is done, on standard error; a line for each where that is no terminal."""
    bars = Bars(
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(),
        console=NOTES, transient=True, disable=not NOTES.is_terminal,
    )  # fmt: skip
    tasks: dict[str, Any] = {}

    def tell(what: str, done: int, of: int) -> None:
        if what not in tasks:
            tasks[what] = bars.add_task(what)
            if not NOTES.is_terminal:
                note(what)
        bars.update(tasks[what], completed=done, total=of)

    with bars:
        yield tell


def main(arguments: list[str]) -> int:
    """Run the command where there is no torch; returns the exit status."""
    parser = argparse.ArgumentParser(prog="sluicegate report", description="Report on a .sluice file.")
    add_arguments(parser)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    config = parser.parse_args(arguments)

    def run() -> None:
        if config.beside:
            raise InputError("beside: other runs are read by PyTorch; pip install 'sluicegate[train]'")
        said = report_file(config)
        print(json.dumps(said) if config.json else f"report: {said['file']}")

    return exit_status(run)
