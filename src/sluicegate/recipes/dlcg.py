"""Dynamic Channel and Layer Gating in Convolutional Neural Networks (Ehteshami Bejnordi and Krestel), section 4.

    L = L_C + lambda sum_l z_l^2 + gamma sum_f z_f^2            (eq. 6; lambda: layer weight, gamma: channel weight)

ResNet-20 on CIFAR-10: 400 epochs, batch 256, Nesterov SGD at 0.1, divided by 10 at epochs 200, 300 and 375, weight
decay 5e-4 but none on the gates, random crop and flip.

Where the paper is silent we take: momentum 0.9, a crop out of 4 pixels of padding, shortcut "A" (its 40.6 MMAC without
gates agree), and for MNIST the same network and training, without flips for digits. It names neither the target rate
nor the weight of its ConvNet-AIG curve; a target of 0.7 for every block is a point on it. Its MNIST curves (figure 4)
come without a table; Fashion-MNIST is our addition.
"""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

from sluicegate.analysis import Point, Series
from sluicegate.train.recipe import (
    AugmentRecipe,
    DataRecipe,
    MethodRecipe,
    NetRecipe,
    OptimizerRecipe,
    Recipe,
)


class TableRow(NamedTuple):
    """A row of Table 1 as printed: rates in [0, 1], accuracy in per cent, cost in 10^9 MACs."""

    layer_weight: float
    channel_weight: float
    layer_rate: float
    channel_rate: float
    accuracy: float
    gmac: float


TABLE_1 = (
    TableRow(0.09, 0.15, 0.399, 0.215, 88.96, 0.0076),
    TableRow(0.07, 0.12, 0.464, 0.262, 89.67, 0.0089),
    TableRow(0.09, 0.10, 0.405, 0.272, 89.87, 0.0091),
    TableRow(0.05, 0.10, 0.564, 0.305, 90.59, 0.0115),
    TableRow(0.05, 0.07, 0.677, 0.388, 91.55, 0.0145),
    TableRow(0.02, 0.03, 0.727, 0.548, 91.99, 0.0206),
    TableRow(0.00, 0.03, 0.992, 0.591, 92.49, 0.0232),
    TableRow(0.00, 0.05, 0.999, 0.791, 92.74, 0.0320),
    TableRow(0.00, 0.00, 0.999, 0.880, 92.86, 0.0353),
)

_DATA = {
    "cifar10": DataRecipe("cifar10", batch_size=256, augment=AugmentRecipe(pad_crop=4, flip=True)),
    "mnist": DataRecipe("mnist", batch_size=256, augment=AugmentRecipe(pad_crop=4)),
    "fashion_mnist": DataRecipe("fashion_mnist", batch_size=256, augment=AugmentRecipe(pad_crop=4, flip=True)),
}
_OPTIMIZER = OptimizerRecipe(
    lr=0.1,
    momentum=0.9,
    nesterov=True,
    weight_decay=5e-4,
    schedule="step",
    milestones=(200 / 400, 300 / 400, 375 / 400),
    gamma=0.1,
)
_METHODS = {
    "dlcg": MethodRecipe("dlcg", {"layer_weight": 0.05, "channel_weight": 0.10}),
    "channel": MethodRecipe("channel_only", {"channel_weight": 0.10}),
    "aig": MethodRecipe("convnet_aig", {"target": 0.7}),
    "dense": MethodRecipe("dense"),
}


def recipes() -> dict[str, Callable[[], Recipe]]:
    """Table 1 row by row, its baselines, and the three kinds of gating on each data set."""
    made: list[tuple[str, str, str, MethodRecipe]] = []
    for data in _DATA:
        made += [(f"{kind}-resnet20-{data}", "resnet20", data, method) for kind, method in _METHODS.items()]
    made.append(("dense-resnet14-cifar10", "resnet14", "cifar10", _METHODS["dense"]))
    made += [(f"dlcg-resnet20-cifar10-row{n}", "resnet20", "cifar10", _row(row)) for n, row in enumerate(TABLE_1, 1)]
    return {name: partial(_recipe, name, net, data, method) for name, net, data, method in made}


def table_1() -> Series:
    """Table 1 as points of a frontier."""
    points = (
        Point(f"{row.layer_weight:.2f}/{row.channel_weight:.2f}", row.accuracy / 100, row.gmac * 1e9) for row in TABLE_1
    )
    return Series("DLCG, Table 1", tuple(points), role="paper")


def _row(row: TableRow) -> MethodRecipe:
    return MethodRecipe("dlcg", {"layer_weight": row.layer_weight, "channel_weight": row.channel_weight})


def _recipe(name: str, net: str, data: str, method: MethodRecipe) -> Recipe:
    return Recipe(name, _DATA[data], NetRecipe(net), method, _OPTIMIZER, epochs=400)
