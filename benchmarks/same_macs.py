"""Which gates are best at the same MACs? Four kinds, from one trained network, by the same short training.

    python benchmarks/same_macs.py resnet20 --weights resnet20.safetensors --data cifar10/ [--epochs 1] [--json FILE]

The kinds are those that the papers compare: DLCG's gates of channels and layers by one head, its channel gates alone,
gates of layers alone (ConvNet-AIG's), and batch shaping's: the same channel gates, and the loss that shapes them.
Losses on rates are off: in their place all have the same target, a share of the dense MACs, that falls to its value
during the first half of the training. So all points of a column cost the same, and only the gates differ. There is no
teacher. One run a point, final weights. Finished runs are kept in the folder of `--runs` and not trained again;
`--kinds` and `--targets` do a part.
"""

import argparse
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from sluicegate.files import write_json
from sluicegate.train import (
    AugmentRecipe,
    BudgetRecipe,
    DataRecipe,
    MethodRecipe,
    NetRecipe,
    OptimizerRecipe,
    Recipe,
    Result,
    provenance,
    run,
)

TARGETS = (0.7, 0.5, 0.36, 0.25)  # shares of the dense MACs
_START = {"initial_open_rate": 0.9}
_NORM = _START | {"batch_norm": True}  # in a short training, gates of DLCG tell images apart with it only

KINDS: dict[str, MethodRecipe] = {
    "channels and layers": MethodRecipe("dlcg", {"layer_weight": 0.0, "channel_weight": 0.0} | _NORM),
    "channels": MethodRecipe("channel_only", {"channel_weight": 0.0} | _NORM),
    "layers": MethodRecipe("convnet_aig", {"weight": 0.0} | _START),
    "batch shaping": MethodRecipe("batch_shaping", {"sparsity": 0.0} | _START),
}


def main() -> None:
    options = _options()
    rows = {kind: {f"{t:g}": _point(_trained(kind, t, options)) for t in options.targets} for kind in options.kinds}
    _print(rows, options.targets)
    if options.json:
        report = {"question": (__doc__ or "").splitlines()[0], "epochs": options.epochs, "kinds": rows}
        write_json(options.json, report | provenance.provenance())


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("net", help="a CIFAR ResNet")
    parser.add_argument("--weights", required=True, help="file of the trained network's weights")
    parser.add_argument("--data", default="cifar10", type=Path, help="folder of the data set")
    parser.add_argument("--epochs", type=int, default=1)
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=list(KINDS))
    parser.add_argument("--targets", nargs="+", type=float, default=TARGETS)
    parser.add_argument("--runs", type=Path, default=Path("runs/same_macs"), help="folder of the runs")
    parser.add_argument("--json", type=Path, help="write the figures here")
    return parser.parse_args()


def _trained(kind: str, target: float, options: argparse.Namespace) -> Result:
    name = f"{kind.replace(' ', '_')}-{target:g}"
    recipe = Recipe(
        name,
        DataRecipe("cifar10", 128, AugmentRecipe(pad_crop=4, flip=True), normalize="imagenet"),
        NetRecipe(options.net, weights=options.weights),
        KINDS[kind],
        OptimizerRecipe(lr=0.03, schedule="cosine", warm_up=0.1, gate_lr_scale=10.0),
        budget=BudgetRecipe(macs=target, start=1.0, tighten=0.5, weight=100.0),
        recalibration=100,
        precision="bf16-mixed",
        epochs=options.epochs,
    )
    folder = options.runs / name
    return run(recipe, folder, resume=folder.exists(), data_dir=options.data)


def _point(result: Result) -> dict[str, Any]:
    return {
        "accuracy": result.accuracy,
        "macs": result.macs.mean,
        "macs_share": result.macs.mean / result.macs.dense,
        "open_rate": result.open_rate,
        "seconds": result.seconds,
    }


def _print(rows: dict[str, dict[str, dict[str, Any]]], targets: list[float]) -> None:
    table = Table("gates", *(f"at {target:g}" for target in targets), title="accuracy (share of the dense MACs)")
    for kind, points in rows.items():
        table.add_row(kind, *(f"{one['accuracy']:.2%} ({one['macs_share']:.3f})" for one in points.values()))
    Console().print(table)


if __name__ == "__main__":
    main()
