"""Train a recipe with several values of its options, one after another or in parallel.

    SWEEP/NAME/...        the run folder of a point, NAME being what differs: channel_weight=0.1
    SWEEP/results.json    what the points came to, written anew after each
    SWEEP/frontier.png    accuracy against MACs, at the end

A stopped sweep can be continued: finished points are not trained again, interrupted ones are resumed.
"""

import itertools
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any

from sluicegate.analysis import save_frontier
from sluicegate.errors import InputError, RunError, SluicegateError
from sluicegate.files import write_json, write_text
from sluicegate.train.folder import read_result
from sluicegate.train.frontiers import run_series
from sluicegate.train.recipe import Recipe, override, to_yaml
from sluicegate.train.stages import run_recipe


def sweep_recipes(recipe: Recipe, over: Sequence[str]) -> dict[str, Recipe]:
    """A recipe for each combination of values.

    Args:
        recipe: the common part.
        over: `key=value,value,...`; commas in brackets belong to a value.

    Raises:
        InputError: not of that form, an unknown key, a value of the wrong type, or the same point twice.

    Example:
        >>> sweep_recipes(recipe, ["budget.macs=0.36,0.5,0.7", "seed=0,1"])  # six recipes
    """
    axes = [_axis(text) for text in over]
    if not axes:
        raise InputError("over: nothing is varied; the form is --over key=value,value")
    points: dict[str, Recipe] = {}
    for values in itertools.product(*(values for _, values in axes)):
        pairs = [(key, value) for (key, _), value in zip(axes, values, strict=True)]
        name = ",".join(f"{key.rpartition('.')[2]}={value}" for key, value in pairs).replace("/", "_").replace(" ", "")
        if name in points:
            raise InputError(f"over: the point {name!r} is there twice")
        changed = override(recipe, [f"{key}={value}" for key, value in pairs])
        points[name] = replace(changed, name=f"{recipe.name}-{name}")
    return points


def sweep(
    recipe: Recipe,
    over: Sequence[str],
    folder: Path,
    resume: bool = False,
    data_dir: Path | None = None,
    jobs: int = 1,
    note: Callable[[str], None] = lambda line: None,
) -> dict[str, Any]:
    """Train every point (see the file's head).

    Args:
        recipe, over: as for `sweep_recipes`.
        folder: for the points' run folders and the results.
        resume: go on in a folder that a sweep was begun in.
        data_dir: folder of the data set.
        jobs: trainings at a time; more than one are processes of their own.
        note: is told what happens, in lines.

    Returns:
        Name -> result, as in `results.json`.

    Raises:
        InputError: as `sweep_recipes`, or the folder holds a sweep already.
        RunError: points failed; the others were trained all the same.
    """
    points = sweep_recipes(recipe, over)
    if jobs < 1:
        raise InputError(f"jobs: {jobs} must be at least 1")
    if not resume and (folder / "results.json").exists():
        raise InputError(f"out: {str(folder)!r} holds a sweep already; go on with --resume, or name another folder")
    found: dict[str, Any] = {}
    failed: dict[str, str] = {}
    write_json(folder / "results.json", found)
    train = partial(_train_here if jobs == 1 else _train_apart, folder=folder, data_dir=data_dir)
    for name, outcome in _outcomes(train, points, jobs):
        if isinstance(outcome, SluicegateError):
            failed[name] = str(outcome)
            note(f"{name}: failed: {outcome}")
            continue
        known = found | {name: outcome}
        found = {one: known[one] for one in points if one in known}
        write_json(folder / "results.json", found)
        note(f"{name}: accuracy {outcome['accuracy']:.2%}, {outcome['macs']['mean'] / 1e6:.2f} million MACs")
    if found:
        save_frontier(run_series([folder / name for name in found]), folder / "frontier.png", recipe.name)
    if failed:
        first, why = next(iter(failed.items()))
        raise RunError(f"sweep: {len(failed)} of {len(points)} points failed, the first at {first}: {why}")
    return found


def _axis(text: str) -> tuple[str, list[str]]:
    """`key=a,b(c, d)` -> key, [a, b(c, d)]."""
    key, _, values = text.partition("=")
    found, depth = [""], 0
    for letter in values:
        depth += (letter in "([{") - (letter in ")]}")
        if letter == "," and depth == 0:
            found.append("")
        else:
            found[-1] += letter
    stripped = [value.strip() for value in found]
    if not key or not all(stripped):
        raise InputError(f"over: {text!r} is not of the form key=value,value")
    return key, stripped


Train = Callable[[str, Recipe], dict[str, Any]]


def _outcomes(
    train: Train, points: Mapping[str, Recipe], jobs: int
) -> Iterator[tuple[str, dict[str, Any] | SluicegateError]]:
    """Each point's as it comes."""
    if jobs == 1:  # in this thread: Lightning wants the main one
        yield from ((name, _outcome(train, name, point)) for name, point in points.items())
        return
    with ThreadPoolExecutor(jobs) as pool:
        waiting = {pool.submit(_outcome, train, name, point): name for name, point in points.items()}
        for one in as_completed(waiting):
            yield waiting[one], one.result()


def _outcome(train: Train, name: str, recipe: Recipe) -> dict[str, Any] | SluicegateError:
    """A point's result, or why there is none: one that fails must not end the others."""
    try:
        return train(name, recipe)
    except SluicegateError as error:
        return error


def _train_here(name: str, recipe: Recipe, folder: Path, data_dir: Path | None) -> dict[str, Any]:
    return asdict(run_recipe(recipe, folder / name, resume=(folder / name).exists(), data_dir=data_dir))


def _train_apart(name: str, recipe: Recipe, folder: Path, data_dir: Path | None) -> dict[str, Any]:
    """In a process of its own, which reads the recipe from a file."""
    write_text(folder / "recipes" / f"{name}.yaml", to_yaml(recipe))
    command = [sys.executable, "-m", "sluicegate", "train", str(folder / "recipes" / f"{name}.yaml")]
    command += ["--out", str(folder / name), "--resume", "--json"]
    command += ["--data-dir", str(data_dir)] if data_dir else []
    done = subprocess.run(command, capture_output=True, text=True, env=_environment())
    if done.returncode:
        lines = done.stderr.strip().splitlines() or [f"exit status {done.returncode}"]
        raise RunError(lines[-1].removeprefix("sluicegate: error: "))
    return asdict(read_result(folder / name))


def _environment() -> Mapping[str, str]:
    """That of this process, with the places that it imports from."""
    return os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
