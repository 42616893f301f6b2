r"""What does static pruning by another tool reach? Torch-Pruning, then a fine-tune with the same teacher and budget.

    python benchmarks/static_pruning.py resnet56 --weights resnet56.safetensors --data cifar10 --target 0.5 \
        --epochs 12 -o runs/resnet56-0.5-torch-pruning precision=bf16-mixed optimizer.lr=0.03

Torch-Pruning removes the channels between the convolutions of each block, the same that gates close, by its group
magnitude, compared over the whole network. Then the recipe of `sluicegate finetune` trains it, without what belongs to
gates. Needs `torch-pruning`.
"""

import argparse
import importlib
from dataclasses import asdict, replace
from pathlib import Path

import torch
from torch import nn

from sluicegate.nets import build_net
from sluicegate.tables import result_tables
from sluicegate.terminal import show
from sluicegate.train import override, run
from sluicegate.train.finetuning import finetune_recipe
from sluicegate.train.recipe import BudgetRecipe, FitRecipe, MethodRecipe, NetRecipe, Recipe
from sluicegate.train.weights import load_weights

torch_pruning = importlib.import_module("torch_pruning")  # without type information

STEPS = 200  # that Torch-Pruning goes in; it stops at the first below the target
LEFT_AT_LEAST = 0.1  # of a layer's channels


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("net", help="a CIFAR ResNet")
    parser.add_argument("overrides", nargs="*", metavar="key=value", help="of the recipe")
    parser.add_argument("--weights", required=True, help="of the trained network, and of the teacher")
    parser.add_argument("--data", default="cifar10")
    parser.add_argument("--target", type=float, default=0.5, help="share of the MACs")
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("-o", "--out", type=Path, required=True, help="run folder")
    parser.add_argument("--resume", action="store_true")
    options = parser.parse_intermixed_args()
    plan = plain_recipe(options.net, options.weights, options.data, options.target, options.epochs)
    data_dir = Path(options.data) if Path(options.data).is_dir() else None
    result = run(override(plan, options.overrides), options.out, options.resume, data_dir)
    show(False, asdict(result), *result_tables({result.name: result}), f"run folder: {options.out}")


def plain_recipe(net: str, weights: str, data: str, target: float, epochs: int) -> Recipe:
    """The recipe of the verb `finetune`, for a network without gates that `pruned` makes."""
    tuned = finetune_recipe(net, weights, data, target, epochs=epochs, normalize="imagenet")
    weights = str(Path(weights).resolve())
    return replace(
        tuned,
        name=f"{tuned.name}-torch-pruning",
        net=NetRecipe("static_pruning:pruned", {"net": net, "weights": weights, "target": target}),
        method=MethodRecipe("dense"),
        budget=BudgetRecipe(),
        fit=FitRecipe(),
        distillation=replace(tuned.distillation, teacher=net, teacher_weights=weights),
    )


def pruned(net: str, weights: str, target: float) -> nn.Module:
    """A CIFAR ResNet of which Torch-Pruning left `target` of the MACs, the same at each call."""
    made, example = build_net(net).eval(), torch.zeros(1, 3, 32, 32)
    load_weights(made, weights)
    whole = _macs(made, example)
    inner = {block.conv1 for block in made.modules() if hasattr(block, "conv1") and hasattr(block, "conv2")}
    layers = [layer for layer in made.modules() if isinstance(layer, (nn.Conv2d, nn.Linear))]
    pruner = torch_pruning.pruner.BasePruner(
        made,
        example,
        torch_pruning.importance.GroupMagnitudeImportance(p=2),
        global_pruning=True,
        pruning_ratio=1.0,
        max_pruning_ratio=1 - LEFT_AT_LEAST,
        iterative_steps=STEPS,
        ignored_layers=[layer for layer in layers if layer not in inner],
    )
    while _macs(made, example) > target * whole:
        pruner.step()
    return made.train()


def _macs(net: nn.Module, example: torch.Tensor) -> float:
    """By Torch-Pruning's count, which takes the norms in as well."""
    return torch_pruning.utils.count_ops_and_params(net, example)[0]


if __name__ == "__main__":
    main()
