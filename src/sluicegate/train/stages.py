"""Recipes of several trainings, one after another, run and resumed as one.

    name: gaternet
    data: ...
    stages:
      - {name: backbone, changes: {method: {name: dense}}}
      - {name: gater,    changes: {method: {name: dense}, net: {name: resnet20}, seed: 1}}
      - {name: joint,    changes: {net.weights: "stage:backbone", method.options.gater_weights: "stage:gater"}}

A stage is a run of its own, in `RUN/stages/NAME`; the last one is in `RUN` itself, so that a staged run is evaluated
and exported as any other. `RUN/stages.yaml` is the whole recipe. `stage:NAME` stands for the final weights of an
earlier stage: those of a plain network for `net.weights`, those of a gated one for `start`.
"""

import os
from dataclasses import asdict
from pathlib import Path
from typing import Any

from sluicegate.errors import InputError
from sluicegate.files import write_text
from sluicegate.train import provenance
from sluicegate.train.folder import Result
from sluicegate.train.recipe import Recipe, StageRecipe, from_values, read_recipe, to_yaml
from sluicegate.train.run import run

FINAL = "final.safetensors"
_MARK = "stage:"


def run_recipe(
    recipe: Recipe,
    folder: str | os.PathLike[str],
    resume: bool = False,
    data_dir: str | os.PathLike[str] | None = None,
    progress: bool = True,
) -> Result:
    """Train by a recipe into a folder, stage by stage if it has any (see the file's head).

    Args:
        recipe, folder, resume, data_dir, progress: as for `run`; resumed, finished stages are not run again.

    Returns:
        The result of the last stage.

    Raises:
        InputError, RunError: as `run`; or a stage names one that does not come before it.

    Example:
        >>> result = run_recipe(read_recipe("gaternet.yaml"), "runs/gaternet", resume=True)
    """
    folder = Path(folder)
    if not recipe.stages:
        return run(recipe, folder, resume, data_dir, progress)
    trainings = stage_recipes(recipe, folder)
    _claim(recipe, folder, resume)
    *earlier, last = trainings.items()
    for place, one in earlier:
        run(one, place, resume or not (place / "recipe.yaml").exists(), data_dir, progress)
    return run(last[1], last[0], resume, data_dir, progress)


def stage_recipes(recipe: Recipe, folder: Path) -> dict[Path, Recipe]:
    """The recipe of each stage by the folder that it is run in.

    Raises:
        InputError: a change is no key of a recipe, or names a stage that does not come before.
    """
    places: dict[str, Path] = {}
    found: dict[Path, Recipe] = {}
    for stage in recipe.stages:
        last = stage is recipe.stages[-1]
        place = folder if last else folder / "stages" / stage.name
        found[place] = _one(recipe, stage, places, named=not last)
        places[stage.name] = place
    return found


def _one(recipe: Recipe, stage: StageRecipe, earlier: dict[str, Path], named: bool) -> Recipe:
    values = asdict(recipe) | {"stages": []}
    if named:
        values["name"] = f"{recipe.name}-{stage.name}"
    for key, value in stage.changes.items():
        _set(values, key, value)
    return from_values(_resolved(values, earlier, stage.name), source=f"stages: {stage.name}")


def _set(values: dict[str, Any], key: str, value: Any) -> None:
    """Set `a.b.c`; a mapping replaces what was there."""
    *path, last = key.split(".")
    for part in path:
        inner = values.get(part)
        values[part] = values = dict(inner) if isinstance(inner, dict) else {}
    values[last] = value


def _resolved(value: Any, earlier: dict[str, Path], stage: str) -> Any:
    """The same with `stage:NAME` as the path of that stage's weights."""
    match value:
        case dict():
            return {key: _resolved(item, earlier, stage) for key, item in value.items()}
        case list() | tuple():
            return [_resolved(item, earlier, stage) for item in value]
        case str() if value.startswith(_MARK):
            name = value.removeprefix(_MARK)
            if name not in earlier:
                known = ", ".join(earlier) or "none"
                raise InputError(f"stages: {stage} wants {value!r}, but before it come only: {known}")
            return str(earlier[name] / FINAL)
    return value


def _claim(recipe: Recipe, folder: Path, resume: bool) -> None:
    """See that no other run has the folder, and make it this one's."""
    known = folder / "stages.yaml"
    if not provenance.is_first_process():
        return
    if not resume and (known.exists() or (folder / "recipe.yaml").exists()):
        raise InputError(
            f"out: {str(folder)!r} holds a run already; go on with --resume, or name another folder with --out"
        )
    if known.exists() and read_recipe(known) != recipe:
        raise InputError(
            f"resume: the run in {str(folder)!r} was begun with another recipe; give the one in its stages.yaml"
        )
    write_text(known, to_yaml(recipe))
