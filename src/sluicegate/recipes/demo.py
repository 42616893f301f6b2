"""A demonstration in a minute: scikit-learn's digits at 32x32, a small ResNet, DLCG's gates at a few pressures.

It shows the machinery and the shape of a frontier; digits are too easy to say anything about a method.
"""

from collections.abc import Callable
from functools import partial

from sluicegate.train.recipe import DataRecipe, MethodRecipe, NetRecipe, OptimizerRecipe, Recipe

DENSE = "dense-resnet8-digits"
POINTS = tuple(f"dlcg-resnet8-digits-{pressure}" for pressure in ("light", "middle", "strong", "harsh"))
MIDDLE = POINTS[1]

_WEIGHTS = dict(zip(POINTS, ((0.0, 0.1), (0.0, 0.2), (0.0, 0.4), (0.05, 0.4)), strict=True))


def recipes() -> dict[str, Callable[[], Recipe]]:
    """The dense baseline and the operating points, from the most open to the most closed."""
    return {DENSE: partial(_recipe, DENSE, MethodRecipe("dense"))} | {name: partial(_gated, name) for name in POINTS}


def _gated(name: str) -> Recipe:
    layer, channel = _WEIGHTS[name]
    return _recipe(name, MethodRecipe("dlcg", {"layer_weight": layer, "channel_weight": channel}))


def _recipe(name: str, method: MethodRecipe) -> Recipe:
    return Recipe(
        name,
        DataRecipe("digits", batch_size=64),
        NetRecipe("resnet8", {"width": 0.5}),
        method,
        OptimizerRecipe(lr=0.1, schedule="one-cycle"),
        epochs=12,
    )
