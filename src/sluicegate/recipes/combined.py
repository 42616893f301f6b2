"""Channel, layer and exit gates in one network, which DLCG proposes (Ehteshami Bejnordi and Krestel, section 5).

    L = L_C + lambda sum_l z_l^2 + gamma sum_f z_f^2 + w sum_e max(0, t - r_e)^2      (r_e: share that leaves at exit e)

DLCG's eq. 6 with the early exits of stochastic gates (section 5 there). Its other proposal: DLCG with batch shaping.
ResNet-20 on CIFAR-10 is trained as DLCG trains it. `channel-resnet20-cifar10` has the channel gates alone. On digits,
where a second stage is enough for every image, the shares that leave are to be met, so that all gates are used.
"""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

from sluicegate.recipes import dlcg
from sluicegate.recipes.demo import digits
from sluicegate.train.recipe import MethodRecipe, Recipe

_DIGITS = {"layer_weight": 0.1, "channel_weight": 2.2, "batch_norm": True}
_SHAPED = {"shaping": "linear(0.75, 0, 0, 0.2)"}  # as on CIFAR-10 in batch shaping's section 5


def recipes() -> dict[str, Callable[[], Recipe]]:
    """All three kinds of gates, and DLCG with batch shaping: on CIFAR-10, and in seconds on digits, where channel gates
    alone stand beside them at about the same MACs."""
    exits = {"exit_weight": 10.0, "more_may_leave": False, "classifier_channels": 16}
    return {
        "combined-resnet20-cifar10": partial(_cifar, "combined", "", {"classifier_channels": 32}),
        "dlcg-resnet20-cifar10-shaped": partial(_cifar, "dlcg", "-shaped", _SHAPED),
        "combined-digits": partial(digits, "combined", {**_DIGITS, **exits}),
        "channel_only-digits": partial(digits, "channel_only", {"channel_weight": 4.0, "batch_norm": True}),
        "dlcg-digits-shaped": partial(digits, "dlcg", {**_DIGITS, **_SHAPED}, "-shaped"),
    }


def _cifar(method: str, variant: str, options: dict[str, Any]) -> Recipe:
    trained = dlcg.recipes()["dlcg-resnet20-cifar10"]()
    made = MethodRecipe(method, {**trained.method.options, **options})
    return replace(trained, name=f"{method}-resnet20-cifar10{variant}", method=made)
