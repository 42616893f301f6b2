"""Targets that fall during training: a share of MACs, a share of open gates, or milliseconds.

    target(p) = start + (end - start) u,                      u = min(p / tighten, 1)       "linear"
    target(p) = start + (end - start) (1 - cos(pi u)) / 2                                   "cosine"

Sources: stochastic gates, section S1.1, lowers its target in steps ("prevents the network from too aggressively killing
off parts of the network early on"). LAUDNet's bounds follow cos^2 over the first third of the training; this is
"cosine".
"""

from sluicegate.convert import GatedModel
from sluicegate.costs import LatencyModel
from sluicegate.errors import InputError
from sluicegate.objectives import BatchActivation, LatencyTarget, MacTarget, Objective, WeightedSum
from sluicegate.schedule import Schedule, constant, cosine, linear
from sluicegate.train.recipe import BudgetRecipe, LatencyRecipe, Recipe, Shape
from sluicegate_runtime import LatencyTable


def tightening(start: float, end: float, tighten: float = 0.3, shape: Shape = "linear") -> Schedule:
    """A target that goes from `start` to `end` over the first `tighten` of the training and stays there.

    Example:
        >>> objective = MacTarget(gated.macs, tightening(1.0, 0.5, tighten=0.3))
    """
    if tighten == 0:
        return constant(end)
    return (linear if shape == "linear" else cosine)(start, end, 0.0, tighten)


def share_target(budget: BudgetRecipe, gated: GatedModel) -> Objective:
    """The target of a budget that states a share of MACs or of open gates."""
    end = budget.macs if budget.macs is not None else budget.rate
    assert end is not None
    target = tightening(budget.start, end, budget.tighten, budget.shape)
    if budget.macs is not None:
        return MacTarget(gated.macs, target, budget.free, budget.multiplier_rate)
    return BatchActivation(target, None, budget.free, budget.multiplier_rate)


def latency_target(recipe: LatencyRecipe, gated: GatedModel) -> Objective:
    """The target of a recipe that states milliseconds.

    Raises:
        InputError: the latency table cannot be read, or is of another network.
    """
    assert recipe.table is not None and recipe.ms is not None
    model = LatencyModel(gated, LatencyTable.load(recipe.table))
    target = tightening(recipe.start * model.dense, recipe.ms, recipe.tighten, recipe.shape)
    return LatencyTarget(model, target, multiplier_rate=recipe.multiplier_rate)


def add_targets(recipe: Recipe, gated: GatedModel | None, objective: Objective | None) -> Objective | None:
    """A method's objective with those of a recipe's budget and milliseconds, if it states any.

    Raises:
        InputError: it does, but the network has no gates, or the latency table does not fit.
    """
    parts: dict[str, tuple[float, Objective]] = {}
    if _stated(recipe.budget):
        parts["budget"] = (recipe.budget.weight, share_target(recipe.budget, _gated(gated, recipe)))
    if recipe.latency.ms is not None:
        parts["latency"] = (recipe.latency.weight, latency_target(recipe.latency, _gated(gated, recipe)))
    if objective is not None and parts:
        parts["method"] = (1.0, objective)
    return WeightedSum(parts) if parts else objective


def _stated(budget: BudgetRecipe) -> bool:
    return budget.macs is not None or budget.rate is not None


def _gated(gated: GatedModel | None, recipe: Recipe) -> GatedModel:
    if gated is None:
        named = {"budget.macs": recipe.budget.macs, "budget.rate": recipe.budget.rate, "latency.ms": recipe.latency.ms}
        name, value = next((name, value) for name, value in named.items() if value is not None)
        raise InputError(f"{name}: {value:g} cannot be a target: the network has no gates; set method.name")
    return gated
