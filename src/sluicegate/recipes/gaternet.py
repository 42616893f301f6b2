"""You Look Twice: GaterNet for Dynamic Filter Selection in CNNs (Chen et al., CVPR 2019), sections 3.3 and 4.

ResNet-20, -56 and -164 on CIFAR-10, each gated by a ResNet-20 with a bottleneck of 8. Backbone and gater start from
networks trained on the same task (section 3.3): `gaternet-staged-...` trains both, the gater from another seed, and
then the two together. Or train a `gaternet-pretrain-...` for each yourself, and name their files in `net.weights` and
`method.options.gater_weights`.

The paper trains by "the training scheme proposed in the original papers": that of He et al. 2016, section 4.2, is 64k
steps of batch 128, SGD with momentum 0.9 at 0.1, divided by 10 at 32k and 48k, weight decay 1e-4, a crop out of 4
pixels of padding, and flips. It states no weight of the sparsity term.
"""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

from sluicegate.recipes.demo import digits
from sluicegate.train.recipe import (
    AugmentRecipe,
    DataRecipe,
    MethodRecipe,
    NetRecipe,
    OptimizerRecipe,
    Recipe,
    StageRecipe,
)

_NETS: dict[str, tuple[str, dict[str, Any]]] = {
    "resnet20": ("resnet20", {}),
    "resnet56": ("resnet56", {}),
    "resnet164": ("preact_resnet164", {"thin": True}),
}
_METHODS = {
    "gaternet": MethodRecipe("gaternet", {"gater": "resnet20", "bottleneck": 8}),
    "gaternet-pretrain": MethodRecipe("dense"),
}
_OPTIMIZER = OptimizerRecipe(
    lr=0.1, momentum=0.9, nesterov=False, weight_decay=1e-4, schedule="step", milestones=(0.5, 0.75), gamma=0.1
)
_EPOCHS = 164  # 64k steps of 128 of 50k images


def recipes() -> dict[str, Callable[[], Recipe]]:
    """Table 1 on CIFAR-10, the networks that it starts from, and a run of seconds on digits."""
    made = {f"{kind}-{net}-cifar10": partial(_recipe, kind, net) for net in _NETS for kind in _METHODS}
    made |= {f"gaternet-staged-{net}-cifar10": partial(_staged, net) for net in _NETS}
    options = {"gater": "resnet8", "gater_options": {"in_channels": 1}}
    return {**made, "gaternet-digits": partial(digits, "gaternet", options)}


def _staged(net: str) -> Recipe:
    """Backbone, gater, and then both together."""
    dense = {"method": {"name": "dense"}}
    stages = (
        StageRecipe("backbone", dense),
        StageRecipe("gater", {**dense, "net": {"name": "resnet20"}, "seed": 1}),
        StageRecipe("joint", {"net.weights": "stage:backbone", "method.options.gater_weights": "stage:gater"}),
    )
    return replace(_recipe("gaternet", net), name=f"gaternet-staged-{net}-cifar10", stages=stages)


def _recipe(kind: str, net: str) -> Recipe:
    return Recipe(
        f"{kind}-{net}-cifar10",
        DataRecipe("cifar10", batch_size=128, augment=AugmentRecipe(pad_crop=4, flip=True)),
        NetRecipe(*_NETS[net]),
        _METHODS[kind],
        _OPTIMIZER,
        epochs=_EPOCHS,
    )
