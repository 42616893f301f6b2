"""Trained networks made cheaper (ours; docs/finetune.md): CIFAR ResNets from published dense weights.

`finetune-resnet20-cifar10-0.5` gates the channels by what it sees, `...-static` prunes by gates that look at nothing:
the same network, teacher, budget and epochs, so that the two differ in that alone. `net.weights` is the file to start
from: `sluicegate train finetune-resnet20-cifar10-0.5 net.weights=resnet20.safetensors`.
"""

from collections.abc import Callable
from dataclasses import replace
from functools import partial

from sluicegate.train.finetuning import finetune_recipe
from sluicegate.train.recipe import MethodRecipe, Recipe

TARGETS = {"resnet20": (0.7, 0.5, 0.36), "resnet56": (0.5, 0.35)}


def recipes() -> dict[str, Callable[[], Recipe]]:
    """The points of the two networks, each with its static baseline."""
    made = {}
    for net, targets in TARGETS.items():
        for target in targets:
            for static in (False, True):
                name = f"finetune-{net}-cifar10-{target:g}{'-static' if static else ''}"
                made[name] = partial(_recipe, name, net, target, static)
    return made


def _recipe(name: str, net: str, target: float, static: bool) -> Recipe:
    made = finetune_recipe(net, f"{net}.safetensors", "cifar10", target, normalize="imagenet")
    if static:
        made = static_baseline(made)
    return replace(made, name=name)


def static_baseline(recipe: Recipe) -> Recipe:
    """The same with gates that do not look at the image; they have no head to learn, so they are fitted faster."""
    return replace(
        recipe,
        method=MethodRecipe(recipe.method.name, {**recipe.method.options, "conditional": False}),
        fit=replace(recipe.fit, steps=60, lr=0.1),
    )
