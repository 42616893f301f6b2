"""Dynamic Channel Pruning: Feature Boosting and Suppression (Gao, Zhao, Dudziak, Mullins, Xu; ICLR 2019).

The paper's CIFAR-10 network is a plain chain of its own; ours is ResNet-20, trained as in the DLCG recipes so that both
stand side by side. The share of open channels is the knob.
"""

from collections.abc import Callable
from dataclasses import replace
from functools import partial

from sluicegate.recipes import dlcg
from sluicegate.recipes.demo import digits
from sluicegate.train.recipe import MethodRecipe, Recipe


def recipes() -> dict[str, Callable[[], Recipe]]:
    """ResNet-20 on CIFAR-10 at a few shares, and a run of seconds on digits."""
    made = {f"fbs-resnet20-cifar10-{share:g}": partial(_recipe, share) for share in (0.3, 0.5, 0.7)}
    return {**made, "fbs-digits": partial(digits, "fbs", {"share": 0.5})}


def _recipe(share: float) -> Recipe:
    beside = dlcg.recipes()["dlcg-resnet20-cifar10"]()
    return replace(beside, name=f"fbs-resnet20-cifar10-{share:g}", method=MethodRecipe("fbs", {"share": share}))
