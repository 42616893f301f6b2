"""Are gates ever a loss? Time of a gated network over the same engine's dense one, at open rates from 0.1 to 0.9.

    python benchmarks/open_rates.py [--nets resnet20 torchvision:resnet34] [--threads 1] [--json FILE]

Gates are those of `resnet34_cpu.py`: random, one per channel, with heads that look at the image, so that the patterns
change with every call. All rates of a network take turns with it; times are medians. $SLUICEGATE_ISA chooses the
instruction set.
"""

import argparse
import os
import statistics
import tempfile
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from resnet34_cpu import IMAGES, build, output, random_gates, random_images
from rich.console import Console
from rich.table import Table

from sluicegate.files import write_json
from sluicegate.lowering import export
from sluicegate.train import provenance
from sluicegate_runtime import Session, benchmark
from sluicegate_runtime._engine import isas

RATES = tuple(tenths / 10 for tenths in range(1, 10))
NETS = ("resnet20", "torchvision:resnet34", "torchvision:resnet50", "torchvision:mobilenet_v2")


def main() -> None:
    options = _options()
    isa = os.environ.get("SLUICEGATE_ISA") or isas()[0]
    rows = {name: _measured(name, options.threads, options.repeats) for name in options.nets}
    _print(rows, f"time over dense, {isa}, {options.threads} threads")
    if options.json:
        report = {"question": "are gates ever a loss", "isa": isa, "threads": options.threads, "nets": rows}
        write_json(options.json, {**report, **provenance.provenance()})


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nets", nargs="+", default=NETS)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=65)
    parser.add_argument("--json", type=Path, help="write the figures here")
    return parser.parse_args()


def _measured(name: str, threads: int, repeats: int) -> dict[str, Any]:
    """Milliseconds of the dense network; by rate, MACs and time over it."""
    torch.manual_seed(0)
    net, images = build(name), random_images(224 if ":" in name else 32)
    batches = [images[i : i + 1].numpy() for i in range(IMAGES)]
    nets = {"dense": net, **{f"{rate:g}": random_gates(net, images, rate, "channel") for rate in RATES}}
    with tempfile.TemporaryDirectory() as folder:
        sessions = {
            label: Session(export(one, Path(folder) / f"{label}.sluice", images[:1], verify=False), threads)
            for label, one in nets.items()
        }
    macs = {label: float(np.median([s.run(one).macs for one in batches])) for label, s in sessions.items()}
    seconds = benchmark({label: partial(output, s) for label, s in sessions.items()}, batches, repeats)
    ms = {label: 1e3 * statistics.median(taken) for label, taken in seconds.items()}
    dense = {"macs": macs.pop("dense"), "ms": ms.pop("dense")}
    rates = {label: {"macs": macs[label] / dense["macs"], "time": ms[label] / dense["ms"]} for label in macs}
    return {"dense_ms": dense["ms"], "rates": rates}


def _print(rows: dict[str, dict[str, Any]], title: str) -> None:
    table = Table("network", "dense ms", *(f"{rate:g}" for rate in RATES), title=title)
    for name, row in rows.items():
        table.add_row(name, f"{row['dense_ms']:.2f}", *(f"{one['time']:.2f}" for one in row["rates"].values()))
    Console().print(table)


if __name__ == "__main__":
    main()
