"""An end-to-end approach for speeding up neural network inference (Herrmann, Bowen, Zabih; 2019): stochastic gates.

ResNet-110 (conditional) and ResNet-56 (pruning) on CIFAR-10, from scratch (sections 4.4 and S4.4), and a DenseNet with
early exits (sections 5 and S1.5). The paper states no CIFAR-10 schedule; ours is a common one: 350 epochs, batch 256,
SGD at 0.1, divided by 10 at epochs 150 and 250, weight decay 1e-4, of gates 20/|G| of it (section 4.1).
"""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

from sluicegate.recipes.demo import digits
from sluicegate.train.recipe import AugmentRecipe, DataRecipe, MethodRecipe, NetRecipe, OptimizerRecipe, Recipe

_OPTIMIZER = OptimizerRecipe(
    lr=0.1,
    momentum=0.9,
    weight_decay=1e-4,
    gate_weight_decay="per_gate",
    schedule="step",
    milestones=(150 / 350, 250 / 350),
    gamma=0.1,
)


def recipes() -> dict[str, Callable[[], Recipe]]:
    """The published CIFAR-10 points (figure 5), figure 7's DenseNet, and runs of seconds on digits."""
    return {
        "stochastic_gates-resnet110-cifar10": partial(_recipe, "resnet110", "", {"target": 0.6, "granularity": 4}),
        "stochastic_gates-resnet56-cifar10-pruning": partial(
            _recipe, "resnet56", "-pruning", {"target": 0.5, "granularity": 4, "conditional": False}
        ),
        "stochastic_gates-digits": partial(digits, "stochastic_gates", {"weight": 10.0}),
        "stochastic_gates-digits-pruning": partial(
            digits, "stochastic_gates", {"weight": 10.0, "conditional": False}, "-pruning"
        ),
        "early_exits-densenet_bc100_k12-cifar10": _early_exits,
        "early_exits-digits": partial(digits, "early_exits", {"weight": 10.0, "classifier_channels": 16}),
    }


def _recipe(net: str, variant: str, options: dict[str, Any]) -> Recipe:
    return Recipe(
        f"stochastic_gates-{net}-cifar10{variant}",
        DataRecipe("cifar10", batch_size=256, augment=AugmentRecipe(pad_crop=4, flip=True)),
        NetRecipe(net),
        MethodRecipe("stochastic_gates", options),
        _OPTIMIZER,
        epochs=350,
    )


def _early_exits() -> Recipe:
    """Gates with two convolutions of 128 channels and MSDNet's classifiers, behind the first two dense blocks."""
    net = "densenet_bc100_k12"
    made = _recipe(net, "", {"conv_head": True})
    return replace(made, name=f"early_exits-{net}-cifar10", method=replace(made.method, name="early_exits"))
