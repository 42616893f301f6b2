"""PSPNet for segmentation, dense and with batch shaping's gates (ICLR 2020, section 5 and appendix B.3).

The paper's, on Cityscapes: ResNet-50, batches of 6, 150,000 steps (303 epochs of 2,975 images), rate 0.02 by
(1 - progress)^0.9, momentum 0.9, weight decay 1e-4, of gates 1e-6; scale 0.5 to 2, mirrored, crops of 448 x 672;
images of 1024 x 2048 measured whole. Gates have the shaping loss alone, at a fixed lambda: 0.2 (76 % of the MACs), 0.05
(95 %).

Ours, on CamVid at a third of its sides (120 x 160), in minutes on one processor core: ResNet-18 of three eighths of its
width, from random weights, batches of 8, 12 epochs. Its gates have the shaping loss at 0.2 and, unlike the paper's, a
target of 0.6 of the MACs, so that the two networks can be told apart after so few steps.
"""

from collections.abc import Callable
from functools import partial

from sluicegate.train.recipe import (
    AugmentRecipe,
    BudgetRecipe,
    DataRecipe,
    MethodRecipe,
    NetRecipe,
    OptimizerRecipe,
    Recipe,
    TaskRecipe,
)

LAMBDAS = (0.2, 0.05)

_DENSE = MethodRecipe("dense")
_BUDGET = BudgetRecipe(macs=0.6, weight=30.0, tighten=0.5)


def recipes() -> dict[str, Callable[[], Recipe]]:
    """Cityscapes as in the paper, from random and from ImageNet weights; CamVid in minutes."""
    gates = {f"batch_shaping-{one:g}": _shaped(one) for one in LAMBDAS}
    cityscapes = {
        f"pspnet50{start}-cityscapes-{name}": partial(
            _cityscapes, f"pspnet50{start}-cityscapes-{name}", method, weights
        )
        for start, weights in (("", None), ("-pretrained", "pretrained"))
        for name, method in {"dense": _DENSE, **gates}.items()
    }
    camvid = {
        "pspnet-camvid-dense": partial(_camvid, "pspnet-camvid-dense", _DENSE, BudgetRecipe()),
        "pspnet-camvid-gated": partial(_camvid, "pspnet-camvid-gated", _shaped(0.2), _BUDGET),
    }
    return {**cityscapes, **camvid}


def _shaped(strength: float) -> MethodRecipe:
    return MethodRecipe("batch_shaping", {"shaping": strength, "shaped_until": None, "sparsity": 0.0})


def _cityscapes(name: str, method: MethodRecipe, weights: str | None) -> Recipe:
    return Recipe(
        name,
        DataRecipe(
            "cityscapes",
            6,
            AugmentRecipe(crop=(448, 672), scale=(0.5, 2.0), flip=True),
            normalize="imagenet",
            workers=8,
        ),
        NetRecipe("pspnet", {"backbone": "torchvision:resnet50"}, weights),
        method,
        _optimizer(0.02),
        epochs=303,
        task=TaskRecipe("segmentation"),
    )


def _camvid(name: str, method: MethodRecipe, budget: BudgetRecipe) -> Recipe:
    backbone = {"backbone": "timm:resnet18", "backbone_options": {"channels": [24, 48, 96, 192]}}
    return Recipe(
        name,
        DataRecipe("camvid", 8, AugmentRecipe(crop=(96, 128), scale=(0.5, 2.0), flip=True), size=120),
        NetRecipe("pspnet", backbone),
        method,
        _optimizer(0.05),
        epochs=12,
        budget=budget,
        task=TaskRecipe("segmentation"),
    )


def _optimizer(rate: float) -> OptimizerRecipe:
    return OptimizerRecipe(
        lr=rate,
        momentum=0.9,
        nesterov=False,
        weight_decay=1e-4,
        gate_weight_decay=1e-6,
        schedule="polynomial",
        power=0.9,
    )
