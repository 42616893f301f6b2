"""Does a network that was trained to take so many milliseconds take them?

    python benchmarks/latency_target.py digits  [--json results/latency_digits.json]
    python benchmarks/latency_target.py cifar10 [--json results/latency_cifar10.json]

The engine measures the latency table of an untrained network with DLCG's gates; networks are then trained to shares of
the dense one's milliseconds (`LatencyTarget` alone presses on the gates) and timed in turns with it, on test images.
Predicted is what the table makes of the gates' decisions on these images, measured the mean over them of each image's
median. A machine may be faster or slower than on the day of the table, so both stand over dense time as well: the
table's and that of the same turns. Finished runs and their table are kept in the folder of `--runs` and not made again.
"""

import argparse
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from sluicegate.data import ImageSet, Normalize
from sluicegate.files import write_json, write_text
from sluicegate.lowering import lower
from sluicegate.train import (
    AugmentRecipe,
    DataRecipe,
    LatencyRecipe,
    MethodRecipe,
    NetRecipe,
    OptimizerRecipe,
    Recipe,
    Result,
    build_subject,
    load_run,
    load_split,
    provenance,
    run,
)
from sluicegate_runtime import (
    LatencyTable,
    Session,
    benchmark,
    measure_latency,
    without_gates,
)

IMAGES = 50  # timed
ROUNDS = 6  # through all of them
GATES = MethodRecipe("dlcg", {"layer_weight": 0.0, "channel_weight": 0.0, "batch_norm": True})
ONE_CYCLE = OptimizerRecipe(lr=0.1, schedule="one-cycle")

BUDGETS: dict[str, Recipe] = {
    "digits": Recipe("digits", DataRecipe("digits", batch_size=64), NetRecipe("resnet8"), GATES, ONE_CYCLE, epochs=12),
    "cifar10": Recipe(
        "cifar10",
        DataRecipe("cifar10", batch_size=128, augment=AugmentRecipe(pad_crop=4, flip=True), limit_train=10_000),
        NetRecipe("resnet20"),
        GATES,
        ONE_CYCLE,
        epochs=4,
    ),
}


def main() -> None:
    options = _options()
    budget, runs = BUDGETS[options.data], options.runs / options.data
    images = load_split(budget.data, "test", None)
    assert isinstance(images, ImageSet)
    table = _table(budget, images, runs / "table.json", options.threads)
    targets = [share * table.dense for share in options.shares]
    folders = [runs / f"{share:g}" for share in options.shares]
    aims = [LatencyRecipe(str(runs / "table.json"), ms, options.weight) for ms in targets]
    results = [
        run(replace(budget, latency=aim), folder, resume=folder.exists())
        for aim, folder in zip(aims, folders, strict=True)
    ]
    timed = _timed(folders, images, table, options.threads)
    rows = [_row(table, *one) for one in zip(targets, results, *timed, strict=True)]
    _print(rows, table)
    if options.json:
        settings = {"threads": options.threads, "weight": options.weight, "budget": asdict(budget)}
        report = {"question": str(__doc__).splitlines()[0], **settings, "table_dense_ms": table.dense, "rows": rows}
        write_json(options.json, report | provenance.provenance())


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", choices=sorted(BUDGETS))
    parser.add_argument("--shares", type=float, nargs="+", default=[0.8, 0.65, 0.5], help="targets over dense time")
    parser.add_argument("--weight", type=float, default=10.0, help="of the objective")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--runs", type=Path, default=Path("runs/latency_target"), help="folder of the runs")
    parser.add_argument("--json", type=Path, help="write the figures here")
    return parser.parse_args()


def _table(budget: Recipe, images: ImageSet, path: Path, threads: int) -> LatencyTable:
    if not path.exists():
        net = build_subject(budget, images).net.eval()
        table = measure_latency(lower(net).artifact, threads)
        write_text(path, replace(table, came_from=provenance.provenance()).to_json() + "\n")
    return LatencyTable.load(path)


def _timed(
    folders: Sequence[Path], images: ImageSet, table: LatencyTable, threads: int
) -> tuple[list[float], list[float], list[float]]:
    """Of each run the milliseconds of an image, predicted, measured, and dense in the same turns."""
    gated = [lower(load_run(folder)[1]).artifact for folder in folders]
    sessions = {str(folder): Session(one, threads) for folder, one in zip(folders, gated, strict=True)}
    for session in sessions.values():
        table.check(session)
    pixels = Normalize(images.mean, images.std)(images.images[:IMAGES]).numpy()
    contenders = {"dense": Session(without_gates(gated[0]), threads), **sessions}
    batches = [pixels[i : i + 1] for i in range(IMAGES)]
    seconds = benchmark({name: one.run for name, one in contenders.items()}, batches, ROUNDS * IMAGES)
    dense, *measured = (1e3 * np.median(np.reshape(taken, (ROUNDS, IMAGES)), 0).mean() for taken in seconds.values())
    predicted = [float(table.milliseconds(session.run(pixels).gates).mean()) for session in sessions.values()]
    return predicted, [float(ms) for ms in measured], [float(dense)] * len(folders)


def _row(
    table: LatencyTable, target: float, result: Result, predicted: float, measured: float, dense: float
) -> dict[str, Any]:
    return {
        "target_ms": target,
        "predicted_ms": predicted,
        "measured_ms": measured,
        "measured_over_predicted": measured / predicted,
        "measured_over_target": measured / target,
        "target_over_dense": target / table.dense,
        "predicted_over_dense": predicted / table.dense,
        "measured_over_dense": measured / dense,
        "accuracy": result.accuracy,
        "macs_over_dense": result.macs.mean / result.macs.dense,
        "open_rate": result.open_rate,
    }


def _print(rows: Sequence[dict[str, Any]], table: LatencyTable) -> None:
    shown = Table(title=f"milliseconds an image; dense {table.dense:.3f} as the table was measured")
    for column in ("target", "predicted", "measured", "over predicted", "over target", "MACs", "accuracy"):
        shown.add_column(column, justify="right")
    for row in rows:
        ms = [
            f"{row[f'{what}_ms']:.3f} ({row[f'{what}_over_dense']:.0%})" for what in ("target", "predicted", "measured")
        ]
        ratios = [f"{row[f'measured_over_{what}']:.2f}" for what in ("predicted", "target")]
        shown.add_row(*ms, *ratios, f"{row['macs_over_dense']:.0%}", f"{row['accuracy']:.1%}")
    shown.caption = "in brackets: over dense time; MACs: of dense"
    Console().print(shown)


if __name__ == "__main__":
    main()
