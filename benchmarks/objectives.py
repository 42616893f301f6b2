"""What does batch shaping cost? Its objective over one training step of a gated ResNet-34.

    export OMP_WAIT_POLICY=PASSIVE  # as `make` does
    python benchmarks/objectives.py [--json results/objectives.json] [--step-batches 4 8] [--threads 2]

The objective is all of batch shaping (of the 3,776 gates of the blocks to Beta(0.6, 0.4), and L0), forward
and backward, on logits of the full batch. The step is forward, cross entropy, backward and the optimizer on images of
224 x 224. That is too much for a CPU at a batch of 256, so the step is timed at small batches, and its time at the full
one is that of the cheapest image of them times the batch: small batches waste time on what does not grow with them, and
the cheapest counts in the objective's disfavour. Needs torchvision.

Legend: N images, G gates of a site.
"""

import argparse
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table
from torch.nn.functional import cross_entropy
from vision import import_torchvision

from sluicegate.convert import ChannelGating, GatedModel, gate_model
from sluicegate.files import write_json
from sluicegate.gates import GateRecord, GateRecords
from sluicegate.nets import build_net
from sluicegate.objectives import BatchShaping, GateL0, Objective, WeightedSum
from sluicegate.train import provenance

SIZE = 224


def main() -> None:
    options = _options()
    torch.manual_seed(0)
    torch.set_num_threads(options.threads)
    import_torchvision()
    gated = gate_model(build_net("torchvision:resnet34"), ChannelGating(), torch.zeros(1, 3, SIZE, SIZE))
    steps = [_step_row(gated, batch, options.repeats) for batch in options.step_batches]
    objectives = [_objective_row(gated, shaped, options) for shaped in ("probability", "sample")]
    full_step = min(row["ms_per_image"] for row in steps) * options.batch
    for row in objectives:
        row["share_of_step"] = row["ms"] / full_step
    report = {
        "question": "time of batch shaping's objective over that of a gated ResNet-34's training step",
        "gates": sum(site.gates for site in gated.sites.values()),
        "batch": options.batch,
        "threads": options.threads,
        "steps": steps,
        "step_ms_scaled_to_batch": full_step,
        "objectives": objectives,
        **provenance.provenance(),
    }
    _print(report)
    if options.json:
        write_json(options.json, report)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batch", type=int, default=256, help="of the objective")
    parser.add_argument("--step-batches", type=int, nargs="+", default=[4, 8], help="at which the step is timed")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--json", type=Path, help="write the figures here")
    return parser.parse_args()


def _step_row(gated: GatedModel, batch: int, repeats: int) -> dict[str, Any]:
    images, labels = torch.randn(batch, 3, SIZE, SIZE), torch.randint(1000, (batch,))
    optimizer = torch.optim.SGD(gated.parameters(), lr=0.01, momentum=0.9, nesterov=True)

    def step() -> None:
        optimizer.zero_grad()
        cross_entropy(gated(images), labels).backward()
        optimizer.step()

    ms = _median_ms(step, repeats)
    return {"batch": batch, "ms": ms, "ms_per_image": ms / batch}


def _objective_row(gated: GatedModel, shaped: Any, options: argparse.Namespace) -> dict[str, Any]:
    objective: Objective = WeightedSum({"shaping": (0.75, BatchShaping(shaped=shaped)), "l0": (0.05, GateL0())})
    logits = {site: torch.randn(options.batch, site.gates).requires_grad_() for site in gated.sites.values()}
    records = {site.name: GateRecord(site, x, (x > 0).float()) for site, x in logits.items()}

    def run() -> None:
        objective(GateRecords(records), 0.0).backward()

    return {"shaped": shaped, "ms": _median_ms(run, 3 * options.repeats)}


def _median_ms(run: Callable[[], None], repeats: int) -> float:
    run()  # the first one allocates
    seconds = []
    for _ in range(repeats):
        started = time.perf_counter()
        run()
        seconds.append(time.perf_counter() - started)
    return 1e3 * statistics.median(seconds)


def _print(report: dict[str, Any]) -> None:
    table = Table("", "ms", "share of step", title=f"{report['gates']:,} gates, batch {report['batch']}")
    for row in report["steps"]:
        table.add_row(f"step at batch {row['batch']}", f"{row['ms']:.0f}", "")
    table.add_row(f"step scaled to batch {report['batch']}", f"{report['step_ms_scaled_to_batch']:.0f}", "1")
    for row in report["objectives"]:
        table.add_row(f"objective, {row['shaped']}", f"{row['ms']:.0f}", f"{row['share_of_step']:.2%}")
    Console().print(table)


if __name__ == "__main__":
    main()
