"""Every preset at the same small budget: does its knob move the open rate, and what is its accuracy at equal MACs?

    python benchmarks/presets.py digits  [--json results/presets_digits.json]
    python benchmarks/presets.py cifar10 [--json results/presets_cifar10.json]

Each preset has one knob, given here at a few settings from the lightest pressure on gates to the heaviest. All else is
equal: the network, the images, the epochs (but for the rate at which gates that look at nothing learn, see `_FREE_LR`).
The open rate is the mean over sites; MACs include those of heads and gater. A preset's accuracy at a share of the dense
MACs lies on the straight line between its points on either side; where it has none on one side, there is no figure. One
run a point, and far from converged: it shows that the presets work, not which one is best. Finished runs are kept in
the folder of `--runs` and not trained again.
"""

import argparse
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from sluicegate.analysis import Point, Series, save_frontier
from sluicegate.files import write_json
from sluicegate.train import (
    AugmentRecipe,
    DataRecipe,
    MethodRecipe,
    NetRecipe,
    OptimizerRecipe,
    Recipe,
    Result,
    provenance,
    run,
)

SHARES = (0.7, 0.5)  # of the dense MACs, at which presets are compared


@dataclass(frozen=True)
class Knob:
    """A preset and what turns it: the settings of one option, from the lightest pressure to the heaviest.

    `gate_lr_scale` is the optimizer's; `variant` tells apart two rows of one preset.
    """

    preset: str
    option: str
    settings: tuple[float, ...]
    fixed: dict[str, Any] = field(default_factory=dict)
    variant: str = ""
    gate_lr_scale: float = 1.0

    @property
    def name(self) -> str:
        """The preset's, and the variant's if it has one."""
        return f"{self.preset}-{self.variant}" if self.variant else self.preset

    def recipe(self, setting: float, budget: Recipe) -> Recipe:
        """What to train for one point."""
        method = MethodRecipe(self.preset, {**self.fixed, self.option: setting})
        optimizer = replace(budget.optimizer, gate_lr_scale=self.gate_lr_scale)
        return replace(budget, name=f"{self.name}-{self.option}-{setting:g}", method=method, optimizer=optimizer)


_NET = NetRecipe("resnet14", {"width": 0.5})
_OPTIMIZER = OptimizerRecipe(lr=0.1, schedule="one-cycle")

BUDGETS: dict[str, Recipe] = {
    "digits": Recipe("digits", DataRecipe("digits", batch_size=64), _NET, optimizer=_OPTIMIZER, epochs=12),
    "cifar10": Recipe(
        "cifar10",
        DataRecipe(
            "cifar10",
            batch_size=64,
            augment=AugmentRecipe(pad_crop=4, flip=True),
            limit_train=10_000,
            limit_test=2_000,
        ),
        _NET,
        optimizer=_OPTIMIZER,
        epochs=5,
    ),
}

_NORM = {"batch_norm": True}  # gates tell images apart after a few hundred steps already
_TARGET = {"weight": 10.0}
_PRUNING = {"weight": 10.0, "conditional": False}
_GATER = {"gater": "resnet8", "gater_options": {"width": 0.25}}
_GREY_GATER = {"gater": "resnet8", "gater_options": {"width": 0.25, "in_channels": 1}}

# Logits that look at nothing are moved by nothing but their own gradient: they need more of it in so few steps.
_FREE_LR = 10.0

KNOBS: dict[str, tuple[Knob, ...]] = {
    "digits": (
        Knob("dlcg", "channel_weight", (1.0, 2.0, 3.0), {"layer_weight": 0.1} | _NORM),
        Knob("channel_only", "channel_weight", (2.0, 3.0, 4.0), _NORM),
        Knob("convnet_aig", "target", (0.9, 0.6, 0.3)),
        Knob("batch_shaping", "sparsity", (8.0, 12.0, 16.0)),
        Knob("stochastic_gates", "target", (0.8, 0.6, 0.4), _TARGET),
        Knob("stochastic_gates", "target", (0.8, 0.6, 0.4), _PRUNING, "pruning", _FREE_LR),
        Knob("fbs", "share", (0.75, 0.5, 0.25)),
        Knob("gaternet", "l1_weight", (1.0, 2.0, 3.0), _GREY_GATER),
        Knob("skipnet", "pressure", (0.25, 0.5, 1.0)),
    ),
    "cifar10": (
        Knob("dlcg", "channel_weight", (0.5, 2.0, 6.0), {"layer_weight": 0.02} | _NORM),
        Knob("channel_only", "channel_weight", (0.5, 1.0, 2.0), _NORM),
        Knob("convnet_aig", "target", (0.9, 0.6, 0.3)),
        Knob("batch_shaping", "sparsity", (2.0, 4.0, 8.0)),
        Knob("stochastic_gates", "target", (0.8, 0.6, 0.4), _TARGET),
        Knob("stochastic_gates", "target", (0.8, 0.6, 0.4), _PRUNING, "pruning", _FREE_LR),
        Knob("fbs", "share", (0.75, 0.5, 0.25)),
        Knob("gaternet", "l1_weight", (0.5, 1.0, 2.0), _GATER),
        Knob("skipnet", "pressure", (0.05, 0.15, 0.25)),
    ),
}


def main() -> None:
    options = _options()
    budget, runs = BUDGETS[options.data], options.runs / options.data
    dense = _trained(replace(budget, name="dense"), runs)
    rows = [_row(knob, budget, runs) for knob in KNOBS[options.data]]
    _print(dense, rows)
    if options.json:
        save_frontier(_series(dense, rows), options.json, f"{options.data}: one short run a point")
        report = {
            "question": (__doc__ or "").splitlines()[0],
            "budget": asdict(budget),
            "dense": _point(dense),
            "presets": rows,
        }
        write_json(options.json, report | provenance.provenance())  # the figure's points are part of it


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", choices=sorted(BUDGETS))
    parser.add_argument("--runs", type=Path, default=Path("runs/presets"), help="folder of the runs")
    parser.add_argument("--json", type=Path, help="write the figures here, and the frontier beside them")
    return parser.parse_args()


def _row(knob: Knob, budget: Recipe, runs: Path) -> dict[str, Any]:
    """One preset's points, whether its open rate falls from each to the next, and its accuracy at each share."""
    points = [
        {knob.option: setting, **_point(_trained(knob.recipe(setting, budget), runs))} for setting in knob.settings
    ]
    rates = [point["open_rate"] for point in points]
    return {
        "preset": knob.name,
        "knob": knob.option,
        "fixed": knob.fixed,
        "gate_lr_scale": knob.gate_lr_scale,
        "points": points,
        "monotone": all(left > right for left, right in pairwise(rates)),
        "accuracy_at": {str(share): _accuracy_at(share, points) for share in SHARES},
    }


def _trained(recipe: Recipe, runs: Path) -> Result:
    folder = runs / recipe.name
    return run(recipe, folder, resume=folder.exists())


def _point(result: Result) -> dict[str, Any]:
    rates = list(result.sites.values())
    macs = result.macs
    return {
        "accuracy": result.accuracy,
        "open_rate": float(np.mean(rates)) if rates else 1.0,
        "macs": asdict(macs),
        "macs_share": macs.mean / macs.dense,
        "seconds": result.seconds,
    }


def _accuracy_at(share: float, points: Sequence[dict[str, Any]]) -> float | None:
    by_macs = sorted(points, key=lambda point: point["macs_share"])
    shares = [point["macs_share"] for point in by_macs]
    if not shares[0] <= share <= shares[-1]:
        return None
    return float(np.interp(share, shares, [point["accuracy"] for point in by_macs]))


def _print(dense: Result, rows: Sequence[dict[str, Any]]) -> None:
    table = Table("preset", "knob", "open rate", "MACs of dense", "accuracy", *(f"at {share:.0%}" for share in SHARES))
    table.add_row("dense", "", "", "100%", f"{dense.accuracy:.2%}")
    for row in rows:
        for number, point in enumerate(row["points"]):
            at = ["" if a is None else f"{a:.2%}" for a in row["accuracy_at"].values()] if number == 0 else []
            knob = f"{row['knob']}={point[row['knob']]:g}"
            figures = [f"{point[key]:.0%}" for key in ("open_rate", "macs_share")] + [f"{point['accuracy']:.2%}"]
            table.add_row(row["preset"] if number == 0 else "", knob, *figures, *at)
        if not row["monotone"]:
            table.add_row("", "[red]does not move the open rate monotonically[/red]")
    Console().print(table)


def _series(dense: Result, rows: Sequence[dict[str, Any]]) -> list[Series]:
    found = [Series("dense", (Point("dense", dense.accuracy, dense.macs.dense),), "dense")]
    for row in rows:
        points = (Point(f"{p[row['knob']]:g}", p["accuracy"], p["macs"]["mean"]) for p in row["points"])
        found.append(Series(row["preset"], tuple(points)))
    return found


if __name__ == "__main__":
    main()
