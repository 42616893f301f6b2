"""Batch-Shaping for Learning Conditional Channel Gated Networks (Ehteshami Bejnordi, Blankevoort, Welling; ICLR 2020).

ResNet-20 and -32 on CIFAR-10 (section 5, appendix B.1): 500 epochs, batch 256, Nesterov SGD at 0.1, divided by 10 at
epochs 300, 375 and 450, weight decay 5e-4 but none on the gates, random crop and flip. gamma of eq. 5 is the knob.
"""

from collections.abc import Callable
from functools import partial

from sluicegate.recipes.demo import digits
from sluicegate.train.recipe import AugmentRecipe, DataRecipe, MethodRecipe, NetRecipe, OptimizerRecipe, Recipe

GAMMAS = (0.0, 0.01, 0.02, 0.05, 0.10, 0.15, 0.20)

_OPTIMIZER = OptimizerRecipe(
    lr=0.1,
    momentum=0.9,
    nesterov=True,
    weight_decay=5e-4,
    schedule="step",
    milestones=(300 / 500, 375 / 500, 450 / 500),
    gamma=0.1,
)


def recipes() -> dict[str, Callable[[], Recipe]]:
    """Both networks at each gamma, and a run of seconds on digits."""
    made = {
        f"batch_shaping-{net}-cifar10-{gamma:g}": partial(_recipe, net, gamma)
        for net in ("resnet20", "resnet32")
        for gamma in GAMMAS
    }
    return {**made, "batch_shaping-digits": partial(digits, "batch_shaping", {"sparsity": 1.0})}


def _recipe(net: str, gamma: float) -> Recipe:
    return Recipe(
        f"batch_shaping-{net}-cifar10-{gamma:g}",
        DataRecipe("cifar10", batch_size=256, augment=AugmentRecipe(pad_crop=4, flip=True)),
        NetRecipe(net),
        MethodRecipe("batch_shaping", {"sparsity": gamma}),
        _OPTIMIZER,
        epochs=500,
    )
