"""SkipNet: Learning Dynamic Routing in Convolutional Networks (Wang et al., ECCV 2018), by its published code.

    supervised    64 000 iterations of 128 images at 0.1, divided by 10 after 32 000 and 48 000
    REINFORCE     10 000 more at 1e-4

ResNet-38 on CIFAR-10 (shortcut "B"), momentum 0.9 without Nesterov, weight decay 1e-4, random crop and flip. In epochs
of 390 whole batches these are 190 (74 100 iterations). Between 48 000 and 64 000 the rate is 1e-3, from there on 1e-4:
four steps of one schedule. `skipnet-staged-...` runs it as two trainings, each with a momentum of its own. We leave the
gates without weight decay, as every method here has them.
"""

from collections.abc import Callable
from dataclasses import replace
from functools import partial

from sluicegate.train.recipe import (
    AugmentRecipe,
    DataRecipe,
    MethodRecipe,
    NetRecipe,
    OptimizerRecipe,
    Recipe,
    StageRecipe,
)

_ITERATIONS = 64_000 + 10_000
_BEGIN = 64_000 / _ITERATIONS


def recipes() -> dict[str, Callable[[], Recipe]]:
    """SkipNet-38, and its shape in seconds on digits."""
    return {
        "skipnet-resnet38-cifar10": _cifar10,
        "skipnet-staged-resnet38-cifar10": partial(_staged, _cifar10, "skipnet-staged-resnet38-cifar10"),
        "skipnet-resnet14-digits": _digits,
        "skipnet-staged-resnet14-digits": partial(_staged, _digits, "skipnet-staged-resnet14-digits"),
    }


def _staged(whole: Callable[[], Recipe], name: str) -> Recipe:
    """The same as two trainings: gates straight-through to the end of the first, a policy all through the second."""
    made = whole()
    begin, optimizer = made.method.options["begin"], made.optimizer
    before, after = ([at for at in optimizer.milestones if (at < begin) is first] for first in (True, False))
    later = [(at - begin) / (1 - begin) for at in after if at > begin]
    policy = max(1, round(made.epochs * (1 - begin)))
    supervised = {
        "epochs": made.epochs - policy,
        "method.options.begin": 1.0,
        "optimizer.milestones": [at / begin for at in before],
    }
    reinforced = {
        "epochs": policy,
        "start": "stage:supervised",
        "method.options.begin": 0.0,
        "optimizer.lr": optimizer.lr * optimizer.gamma ** (len(optimizer.milestones) - len(later)),
        "optimizer.milestones": later,
    }
    stages = (StageRecipe("supervised", supervised), StageRecipe("reinforce", reinforced))
    return replace(made, name=name, stages=stages)


def _cifar10() -> Recipe:
    return Recipe(
        "skipnet-resnet38-cifar10",
        DataRecipe("cifar10", batch_size=128, augment=AugmentRecipe(pad_crop=4, flip=True)),
        NetRecipe("resnet38", {"shortcut": "B"}),
        MethodRecipe("skipnet", {"begin": _BEGIN}),
        OptimizerRecipe(
            lr=0.1,
            momentum=0.9,
            nesterov=False,
            weight_decay=1e-4,
            schedule="step",
            milestones=(32_000 / _ITERATIONS, 48_000 / _ITERATIONS, _BEGIN),
            gamma=0.1,
        ),
        epochs=190,
    )


def _digits() -> Recipe:
    """Few steps: a high reward, and gates that start undecided."""
    return Recipe(
        "skipnet-resnet14-digits",
        DataRecipe("digits", batch_size=64),
        NetRecipe("resnet14", {"width": 0.5}),
        MethodRecipe("skipnet", {"begin": 0.5, "alpha": 3.0, "reward_weight": 0.2, "initial_open_rate": 0.5}),
        OptimizerRecipe(lr=0.05, milestones=(0.85,)),
        epochs=8,
    )
