"""Finished runs as points of a frontier.

A run that was fine-tuned brings two points: what became of it, and the dense network that it began with.
"""

import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from sluicegate.analysis import Point, Series
from sluicegate.errors import InputError
from sluicegate.train.build import load_split
from sluicegate.train.finetuning import read_finetuned
from sluicegate.train.folder import Result, read_result, read_run_recipe
from sluicegate.train.products import export_run, timed_pixels
from sluicegate.train.recipe import Recipe
from sluicegate_runtime import Session, load_program, time_sessions, without_gates


def run_series(folders: Sequence[Path], timed: bool = False, data_dir: Path | None = None) -> list[Series]:
    """Finished runs as series: one for each gating method and network, and the dense networks together.

    Args:
        folders: of the runs.
        timed: measure their milliseconds, too (see `time_runs`).
        data_dir: folder of the data set, for that.

    Raises:
        InputError: a folder holds no finished run, or the runs are of several data sets.
    """
    found = [(read_run_recipe(folder), read_result(folder)) for folder in folders]
    if len(sets := sorted({begun.data.name for begun, _ in found})) > 1:
        raise InputError(f"runs: their data sets are {', '.join(sets)}; a frontier needs a single data set")
    times = time_runs(folders, data_dir) if timed else [(None, None)] * len(folders)
    points: dict[tuple[str, str], list[Point]] = {}
    for folder, (begun, result), (now, without) in zip(folders, found, times, strict=True):
        gated = begun.method.name != "dense"
        key = (f"{begun.method.name}, {begun.net.name}", "gated") if gated else ("dense", "dense")
        points.setdefault(key, []).append(_point(begun, result, now))
        if (folder / "finetune.json").exists():
            before = read_finetuned(folder).before
            points.setdefault(("dense", "dense"), []).append(
                Point(begun.net.name, before.accuracy, before.macs, milliseconds=without)
            )
    return [Series(name, _once(many), "gated" if role == "gated" else "dense") for (name, role), many in points.items()]


def _point(begun: Recipe, result: Result, ms: float | None) -> Point:
    macs = result.macs
    label = begun.net.name if begun.method.name == "dense" else begun.name
    return Point(label, result.accuracy, macs.mean, macs.min, macs.max, ms)


def _once(points: Sequence[Point]) -> tuple[Point, ...]:
    """Without those that are there already: several runs may begin with one network."""
    return tuple({replace(point, milliseconds=None): point for point in reversed(points)}.values())[::-1]


def time_runs(folders: Sequence[Path], data_dir: Path | None = None) -> list[tuple[float, float]]:
    """Milliseconds of an image in the engine on one thread, as each run's network is and with no gates in it, all in
    turns on the test images of the first.

    Times do not depend on weights, so a run without its gates takes as long as the network that it began with.

    Args:
        folders: runs of one data set.
        data_dir: its folder.
    """
    images = timed_pixels(load_split(read_run_recipe(folders[0]).data, "test", data_dir))
    sessions: dict[str, Session] = {}
    with tempfile.TemporaryDirectory() as scratch:
        for number, folder in enumerate(folders):
            artifact = load_program(export_run(folder, Path(scratch) / "model.sluice"))
            sessions[f"now {number}"] = Session(artifact, threads=1)
            sessions[f"without {number}"] = Session(without_gates(artifact), threads=1)
    found = time_sessions(sessions, images)
    return [(found[f"now {number}"], found[f"without {number}"]) for number in range(len(folders))]
