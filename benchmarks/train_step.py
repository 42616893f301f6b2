"""What do gates cost in training? One step of DLCG's ResNet-20 over one step of the plain network.

    python benchmarks/train_step.py [--json results/train_step.json]

A step is forward, loss (cross entropy, and for the gated network its objective), backward and the optimizer. Dense
and gated steps alternate, so a machine that slows down slows both; the ratio is the median over pairs.
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import torch
from rich.console import Console
from rich.table import Table
from torch import nn
from torch.nn.functional import cross_entropy

from sluicegate.convert import GatedModel, gate_model
from sluicegate.methods import dlcg
from sluicegate.nets import build_net
from sluicegate.train import provenance

LAYOUTS = {"channels_last": torch.channels_last, "contiguous": torch.contiguous_format}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--pairs", type=int, default=15)
    parser.add_argument("--net", default="resnet20")
    parser.add_argument("--json", type=Path, help="write the figures here")
    options = parser.parse_args()
    rows = [_row(name, layout, options) for name, layout in LAYOUTS.items()]
    _print(rows)
    if options.json:
        report = {"question": "gated step over dense step", "rows": rows, **provenance.provenance()}
        options.json.write_text(json.dumps(report, indent=2) + "\n")


def _row(name: str, layout: torch.memory_format, options: argparse.Namespace) -> dict[str, str | float]:
    torch.manual_seed(0)
    images = torch.randn(options.batch, 3, 32, 32).to(memory_format=layout)
    labels = torch.randint(10, (options.batch,))
    dense = _stepper(build_net(options.net).to(memory_format=layout), images, labels)
    gated = _stepper(_gated(options.net).to(memory_format=layout), images, labels)
    dense(), gated()  # the first steps allocate
    pairs = [(_seconds(dense), _seconds(gated)) for _ in range(options.pairs)]
    return {
        "layout": name,
        "dense_ms": 1e3 * statistics.median(d for d, _ in pairs),
        "gated_ms": 1e3 * statistics.median(g for _, g in pairs),
        "ratio": statistics.median(g / d for d, g in pairs),
    }


def _gated(name: str) -> GatedModel:
    gating = dlcg().gating
    assert gating is not None
    return gate_model(build_net(name), gating, torch.zeros(1, 3, 32, 32))


def _stepper(net: nn.Module, images: torch.Tensor, labels: torch.Tensor) -> Callable[[], None]:
    optimizer = torch.optim.SGD(net.parameters(), lr=0.01, momentum=0.9, nesterov=True)
    make_objective = dlcg().objective
    objective = make_objective(net) if make_objective and isinstance(net, GatedModel) else None

    def step() -> None:
        if objective is None:
            loss = cross_entropy(net(images), labels)
        else:
            output, gates = net(images, return_gates=True)
            loss = cross_entropy(output, labels) + objective(gates, 0.0)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    return step


def _seconds(step: Callable[[], None]) -> float:
    started = time.perf_counter()
    step()
    return time.perf_counter() - started


def _print(rows: list[dict[str, str | float]]) -> None:
    table = Table("layout", "dense ms", "gated ms", "gated / dense")
    for row in rows:
        table.add_row(str(row["layout"]), f"{row['dense_ms']:.0f}", f"{row['gated_ms']:.0f}", f"{row['ratio']:.3f}")
    Console().print(table)


if __name__ == "__main__":
    main()
