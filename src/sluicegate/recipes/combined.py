"""Channel, layer and exit gates in one network, which DLCG proposes (Ehteshami Bejnordi and Krestel, section 5).

    L = L_C + lambda sum_l z_l^2 + gamma sum_f z_f^2 + w sum_e max(0, t - r_e)^2      (r_e: share that leaves at exit e)

DLCG's eq. 6 with the early exits of stochastic gates (section 5 there). Its other proposal: DLCG with batch shaping.
ResNet-20 on CIFAR-10 is trained as DLCG trains it; `channel-resnet20-cifar10` has the channel gates alone. On digits,
where a second stage is enough for every image, the shares that leave are to be met, so that all gates are used.

`finetune-...-combined` starts from published weights (`net.weights`). Classifiers of exits that have learned nothing
make leaving so dear beside a teacher that the exits close for good. So it has two stages: first gates stay as they are,
and images leave by chance; then all gates learn.
"""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

from sluicegate.recipes import dlcg
from sluicegate.recipes.demo import digits
from sluicegate.train.finetuning import finetune_recipe
from sluicegate.train.recipe import MethodRecipe, Recipe, StageRecipe

_DIGITS = {"layer_weight": 0.1, "channel_weight": 2.2, "batch_norm": True}
_SHAPED = {"shaping": "linear(0.75, 0, 0, 0.2)"}  # as on CIFAR-10 in batch shaping's section 5
_EXITS = {"exit_target": 0.25, "exit_weight": 100.0, "more_may_leave": False, "classifier_channels": 32}


def recipes() -> dict[str, Callable[[], Recipe]]:
    """All three kinds of gates, and DLCG with batch shaping: on CIFAR-10, and in seconds on digits, where channel gates
    alone have about the same MACs."""
    exits = {"exit_weight": 10.0, "more_may_leave": False, "classifier_channels": 16}
    return {
        "combined-resnet20-cifar10": partial(_cifar, "combined", "", {"classifier_channels": 32}),
        "finetune-resnet20-cifar10-0.5-combined": _finetuned,
        "dlcg-resnet20-cifar10-shaped": partial(_cifar, "dlcg", "-shaped", _SHAPED),
        "combined-digits": partial(digits, "combined", {**_DIGITS, **exits}),
        "channel_only-digits": partial(digits, "channel_only", {"channel_weight": 4.0, "batch_norm": True}),
        "dlcg-digits-shaped": partial(digits, "dlcg", {**_DIGITS, **_SHAPED}, "-shaped"),
    }


def _cifar(method: str, variant: str, options: dict[str, Any]) -> Recipe:
    trained = dlcg.recipes()["dlcg-resnet20-cifar10"]()
    made = MethodRecipe(method, {**trained.method.options, **options})
    return replace(trained, name=f"{method}-resnet20-cifar10{variant}", method=made)


def _finetuned() -> Recipe:
    trained = finetune_recipe("resnet20", "resnet20.safetensors", "cifar10", target=0.5, normalize="imagenet")
    options = {"layer_weight": 0.0, "channel_weight": 0.0, "exit_open_rate": 0.6, "noise": "linear(1, 0, 0, 0.7)"}
    by_chance = {"optimizer.gate_lr_scale": 0.0, "method.options.noise": 1.0, "budget": {}, "fit.steps": 0, "epochs": 5}
    stages = (StageRecipe("classifiers", by_chance), StageRecipe("gates", {"start": "stage:classifiers"}))
    return replace(
        trained,
        name=f"{trained.name}-combined",
        method=MethodRecipe("combined", options | _EXITS),
        epochs=15,
        stages=stages,
    )
