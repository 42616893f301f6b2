"""A run folder. It needs nothing else: after training, the data set is needed only to measure on it.

    recipe.yaml        what was asked for
    data.json          what the network needs to know of its data set: input shape, classes, mean and std
    metrics.csv        a row an epoch
    last.ckpt          everything needed to continue, written after each epoch
    best.safetensors   the weights of the epoch with the highest test accuracy
    final.safetensors  the weights of the last epoch
    result.json        the results of the final weights, with machine, versions and command
    model.sluice       the network for the engine, if the engine has all of its ops
    logs/              a log of every 50th step, if the recipe has a `logger`

`result.json` is about the final weights, because choosing an epoch by its test accuracy would bias the number.
"""

import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

import jsonargparse

from sluicegate.data import DataSpec
from sluicegate.errors import InputError, one_line
from sluicegate.files import write_json, write_text
from sluicegate.train.evaluate import MacStatistics
from sluicegate.train.recipe import Recipe, read_recipe, to_yaml

T = TypeVar("T")


@dataclass(frozen=True)
class Best:
    """The epoch with the highest test accuracy, whose weights `best.safetensors` holds."""

    epoch: int
    accuracy: float


@dataclass(frozen=True)
class Result:
    """The result of a run, as in `result.json`.

    Attributes:
        name: of the recipe.
        accuracy, images, macs, open_rate, sites, mean_iou, class_iou: of the final weights on the test images (see
            `Evaluation`).
        best: the epoch with the highest test accuracy.
        epochs: how many were trained.
        seconds: of training and measuring, summed over the epochs.
        machine, versions, command: where the numbers come from.
    """

    name: str
    accuracy: float
    images: int
    macs: MacStatistics
    open_rate: dict[str, float]
    sites: dict[str, float]
    best: Best
    epochs: int
    seconds: float
    machine: dict[str, Any]
    versions: dict[str, str]
    command: str
    mean_iou: float | None = None
    class_iou: dict[str, float] = field(default_factory=dict)


def read_run_recipe(folder: str | os.PathLike[str]) -> Recipe:
    """The recipe that a run folder was made by.

    Raises:
        InputError: the folder holds no run.
    """
    path = Path(folder) / "recipe.yaml"
    if not path.is_file():
        raise InputError(f"run: {str(folder)!r} is not a run folder: it has no recipe.yaml")
    return read_recipe(path)


def read_run_spec(folder: str | os.PathLike[str]) -> DataSpec:
    """What a run's network knows of its data set.

    Raises:
        InputError: the folder holds no run, or one of a version that did not keep it.
    """
    read_run_recipe(folder)
    return _read(Path(folder) / "data.json", DataSpec, "the description of a run's data; older versions wrote none")


def read_result(folder: str | os.PathLike[str]) -> Result:
    """The result of a finished run.

    Raises:
        InputError: there is none, or the file is damaged.
    """
    read_run_recipe(folder)
    return _read(Path(folder) / "result.json", Result, "the result of a finished run")


def _read(path: Path, kind: type[T], what: str) -> T:
    parser = jsonargparse.ArgumentParser(exit_on_error=False)
    parser.add_class_arguments(kind)
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        return kind(**parser.instantiate(parser.parse_object(values)))
    except (OSError, ValueError, jsonargparse.ArgumentError) as error:
        raise InputError(f"run: {str(path)!r} is not {what}: {one_line(error)}") from error


def check_folder(folder: Path, recipe: Recipe, resume: bool) -> None:
    """See that no other run has the folder; a run that is resumed may be given more epochs, and nothing else.

    Raises:
        InputError: it has; the first thing that differs is named.
    """
    if not (folder / "recipe.yaml").exists():
        return
    if not resume:
        raise InputError(
            f"out: {str(folder)!r} holds a run already; go on with --resume, or name another folder with --out"
        )
    begun = read_recipe(folder / "recipe.yaml")
    if recipe.epochs < begun.epochs:
        raise InputError(f"resume: epochs is {recipe.epochs}, and the run in {str(folder)!r} has {begun.epochs}")
    if difference := _difference(asdict(replace(recipe, epochs=begun.epochs)), asdict(begun)):
        raise InputError(f"resume: {difference} in the run in {str(folder)!r}; only epochs may grow")


def check_spec(folder: Path, spec: DataSpec) -> None:
    """See that a run that is resumed finds the data set that it was begun with.

    Raises:
        InputError: it does not; the first thing that differs is named.
    """
    if not all((folder / name).exists() for name in ("data.json", "recipe.yaml")):
        return  # or the run was killed while it wrote the two
    if difference := _difference(_rounded(spec), _rounded(read_run_spec(folder))):
        raise InputError(f"resume: the data's {difference} in the run in {str(folder)!r}; give it the same data set")


def _rounded(spec: DataSpec) -> dict[str, Any]:
    """Another machine adds up in another order."""
    return asdict(spec) | {name: [f"{figure:.5g}" for figure in getattr(spec, name)] for name in ("mean", "std")}


def _difference(given: Mapping[str, Any], begun: Mapping[str, Any]) -> str | None:
    """The first, in words."""
    found, known = dict(_leaves(given)), dict(_leaves(begun))
    for key in [*known, *found]:
        now, then = (repr(side[key]) if key in side else "not given" for side in (found, known))
        if now != then:
            return f"{key} is {now}, but {then}"
    return None


def _leaves(tree: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in tree.items():
        if isinstance(value, Mapping):
            yield from _leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", list(value) if isinstance(value, tuple) else value


def claim(folder: Path, recipe: Recipe, spec: DataSpec) -> None:
    """Make a folder a run's own, once all that the recipe names is there. What an earlier end left behind goes: it does
    not speak of the epochs to come."""
    write_json(folder / "data.json", asdict(spec))
    write_text(folder / "recipe.yaml", to_yaml(recipe))
    for name in ("result.json", "final.safetensors", "model.sluice"):
        (folder / name).unlink(missing_ok=True)


def is_finished(folder: Path, recipe: Recipe) -> bool:
    """Whether a run of so many epochs came to its end."""
    return (folder / "result.json").exists() and read_result(folder).epochs >= recipe.epochs
