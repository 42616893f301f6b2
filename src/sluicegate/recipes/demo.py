"""A demonstration in a minute: scikit-learn's digits at 32x32, a small ResNet, DLCG's gates at a few pressures.

It shows the machinery and the shape of a frontier; digits are too easy to say anything about a method. Heads have a
batch norm, unlike DLCG's: without it gates hardly tell images apart after so few steps.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

from sluicegate.train.recipe import DataRecipe, MethodRecipe, NetRecipe, OptimizerRecipe, Recipe

NAMES = {
    "dense": "dense-resnet8-digits",
    **{pressure: f"dlcg-resnet8-digits-{pressure}" for pressure in ("light", "middle", "strong", "harsh")},
}

_WEIGHTS = {"light": (0.06, 1.6), "middle": (0.1, 2.2), "strong": (0.1, 2.6), "harsh": (0.12, 3.0)}  # (layer, channel)


def recipes() -> dict[str, Callable[[], Recipe]]:
    """The dense baseline and the operating points, from the most open to the most closed."""
    return {name: partial(_recipe, name, _method(point)) for point, name in NAMES.items()}


def digits(method: str, options: dict[str, Any], variant: str = "") -> Recipe:
    """A method on digits, in seconds: it shows that the method trains."""
    return _recipe(f"{method}-digits{variant}", MethodRecipe(method, options))


def _method(point: str) -> MethodRecipe:
    if point == "dense":
        return MethodRecipe("dense")
    layer, channel = _WEIGHTS[point]
    return MethodRecipe("dlcg", {"layer_weight": layer, "channel_weight": channel, "batch_norm": True})


def _recipe(name: str, method: MethodRecipe) -> Recipe:
    return Recipe(
        name,
        DataRecipe("digits", batch_size=64),
        NetRecipe("resnet8"),
        method,
        OptimizerRecipe(lr=0.1, schedule="one-cycle"),
        epochs=12,
    )
