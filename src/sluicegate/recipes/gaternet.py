"""You Look Twice: GaterNet for Dynamic Filter Selection in CNNs (Chen et al., CVPR 2019), sections 3.3 and 4.

ResNet-20, -56 and -164 on CIFAR-10, each gated by a ResNet-20 with a bottleneck of 8. Backbone and gater start from
networks trained on the same task (section 3.3): `gaternet-staged-...` trains both, the gater from another seed, and
then the two together. Or train a `gaternet-pretrain-...` for each yourself, and name their files in `net.weights` and
`method.options.gater_weights`.

The paper trains by "the training scheme proposed in the original papers": that of He et al. 2016, section 4.2, is 64k
steps of batch 128, SGD with momentum 0.9 at 0.1, divided by 10 at 32k and 48k, weight decay 1e-4, a crop out of 4
pixels of padding, and flips. It states no weight of the sparsity term.

DenseNet-BC and Shake-Shake (Table 2) are trained as their own papers say, 20 and 30 epochs longer, from a rate of 0.05,
with dropout of gates that rises to 0.05 (section 4.4, appendix B):

    DenseNet-BC   300 epochs of batch 64, Nesterov at 0.1, divided by 10 at 1/2 and 3/4, weight decay 1e-4
    Shake-Shake   1800 epochs of batch 128, Nesterov at 0.2, cosine, weight decay 1e-4
"""

from collections.abc import Callable
from dataclasses import asdict, replace
from functools import partial
from typing import Any, NamedTuple

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

_HE = OptimizerRecipe(
    lr=0.1, momentum=0.9, nesterov=False, weight_decay=1e-4, schedule="step", milestones=(0.5, 0.75), gamma=0.1
)
_DENSENET = replace(_HE, nesterov=True)
_SHAKE = OptimizerRecipe(lr=0.2, momentum=0.9, nesterov=True, weight_decay=1e-4, schedule="cosine")


class _Backbone(NamedTuple):
    """A network, and how its own paper trains it; in Table 2 with more epochs for the gates."""

    net: NetRecipe
    optimizer: OptimizerRecipe = _HE
    epochs: int = 164  # 64k steps of 128 of 50k images
    batch_size: int = 128
    more_epochs: int = 0


def _densenet(name: str) -> _Backbone:
    return _Backbone(NetRecipe(name), _DENSENET, 300, 64, 20)


def _shake_shake(width: int) -> _Backbone:
    return _Backbone(NetRecipe(f"shake_shake26_2x{width}d", {"stem": width}), _SHAKE, 1800, 128, 30)


_BACKBONES = {
    "resnet20": _Backbone(NetRecipe("resnet20")),
    "resnet56": _Backbone(NetRecipe("resnet56")),
    "resnet164": _Backbone(NetRecipe("preact_resnet164", {"thin": True})),
    **{name: _densenet(name) for name in ("densenet_bc100_k12", "densenet_bc250_k24", "densenet_bc190_k40")},
    **{f"shake_shake26_2x{width}d": _shake_shake(width) for width in (64, 96)},
}
_KINDS = ("gaternet", "gaternet-pretrain")


def recipes() -> dict[str, Callable[[], Recipe]]:
    """Tables 1 and 2 on CIFAR-10, the networks that they start from, and a run of seconds on digits."""
    made = {f"{kind}-{net}-cifar10": partial(_recipe, kind, net) for net in _BACKBONES for kind in _KINDS}
    made |= {f"gaternet-staged-{net}-cifar10": partial(_staged, net) for net in _BACKBONES}
    options = {"gater": "resnet8", "gater_options": {"in_channels": 1}}
    return {**made, "gaternet-digits": partial(digits, "gaternet", options)}


def _staged(net: str) -> Recipe:
    """Backbone, gater, and then both together."""
    gater = {**_alone("resnet20"), "net": {"name": "resnet20"}, "seed": 1}
    stages = (
        StageRecipe("backbone", _alone(net)),
        StageRecipe("gater", gater),
        StageRecipe("joint", {"net.weights": "stage:backbone", "method.options.gater_weights": "stage:gater"}),
    )
    return replace(_recipe("gaternet", net), name=f"gaternet-staged-{net}-cifar10", stages=stages)


def _alone(net: str) -> dict[str, Any]:
    """What changes where a network is trained alone, as its own paper says."""
    made = _recipe("gaternet-pretrain", net)
    optimizer = asdict(made.optimizer).items()
    return {
        "method": {"name": "dense"},
        "optimizer": {key: list(value) if isinstance(value, tuple) else value for key, value in optimizer},
        "epochs": made.epochs,
        "data.batch_size": made.data.batch_size,
    }


def _recipe(kind: str, net: str) -> Recipe:
    backbone = _BACKBONES[net]
    gated = kind == "gaternet"
    in_table_2 = gated and backbone.more_epochs > 0
    return Recipe(
        f"{kind}-{net}-cifar10",
        DataRecipe("cifar10", batch_size=backbone.batch_size, augment=AugmentRecipe(pad_crop=4, flip=True)),
        backbone.net,
        _method(net, in_table_2) if gated else MethodRecipe("dense"),
        replace(backbone.optimizer, lr=0.05) if in_table_2 else backbone.optimizer,
        epochs=backbone.epochs + (backbone.more_epochs if gated else 0),
    )


def _method(net: str, in_table_2: bool) -> MethodRecipe:
    options: dict[str, Any] = {"gater": "resnet20", "bottleneck": 8}
    if net.startswith("densenet"):
        options["at"] = "growth"
    if in_table_2:
        options["dropout"] = "linear(0, 0.05)"
    return MethodRecipe("gaternet", options)
