"""Every recipe and every paper's results by name."""

import difflib
from collections.abc import Callable
from pathlib import Path

from sluicegate.analysis import Series
from sluicegate.errors import InputError
from sluicegate.recipes import (
    batch_shaping,
    combined,
    demo,
    dlcg,
    fbs,
    finetune,
    gaternet,
    segmentation,
    skipnet,
    stochastic_gates,
)
from sluicegate.train.recipe import Recipe, read_recipe

_PAPERS: dict[str, Callable[[], Series]] = {"dlcg": dlcg.table_1}


def recipes() -> dict[str, Callable[[], Recipe]]:
    """Name -> a function that makes the recipe, in the order of the papers."""
    papers = (dlcg, combined, batch_shaping, segmentation, stochastic_gates, gaternet, fbs, skipnet)
    return {name: make for module in (*papers, finetune, demo) for name, make in module.recipes().items()}


def recipe(name: str) -> Recipe:
    """The recipe of that name, or in that YAML file.

    Raises:
        InputError: there is none, or the file holds no valid one.
    """
    if Path(name).suffix in (".yaml", ".yml"):
        return read_recipe(name)
    known = recipes()
    if name not in known:
        near = difflib.get_close_matches(name, known, n=1)
        hint = f"did you mean {near[0]!r}?" if near else "'sluicegate recipes' lists them"
        raise InputError(f"recipe: {name!r} is neither a recipe nor a YAML file; {hint}")
    return known[name]()


def paper(name: str) -> Series:
    """The accuracies and MACs that a paper printed, for drawing beside a run's.

    Raises:
        InputError: no numbers of that paper are kept here.
    """
    if name not in _PAPERS:
        raise InputError(f"paper: {name!r} is not known; known: {', '.join(_PAPERS)}")
    return _PAPERS[name]()
