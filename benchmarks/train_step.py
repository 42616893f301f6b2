"""What do gates cost in training? One step of DLCG's ResNet-20 over one step of the plain network.

    python benchmarks/train_step.py [--json results/train_step.json]

A step is forward, loss (cross entropy, and for the gated network its objective), backward and the optimizer. Dense
and gated steps alternate, so a machine that slows down slows both; the ratio is the median over pairs. Where a
process's memory happens to lie moves its times by several percent, so pairs come from several launches, whose medians
stand beside the ratio.

Each network has a process of its own, as in training. In one process the gradients and momenta that one network keeps
lie amid the other's memory, so the allocator cannot hand that back to the system after a step, and the dense step is
spared the page faults that it has when it trains alone.
"""

import argparse
import multiprocessing
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table
from torch import nn
from torch.nn.functional import cross_entropy

from sluicegate.convert import GatedModel, gate_model
from sluicegate.files import write_json
from sluicegate.methods import dlcg
from sluicegate.nets import build_net
from sluicegate.train import provenance

LAYOUTS = {"channels_last": torch.channels_last, "contiguous": torch.contiguous_format}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--pairs", type=int, default=7, help="of a dense and a gated step, in each launch")
    parser.add_argument("--launches", type=int, default=9)
    parser.add_argument("--net", default="resnet20")
    parser.add_argument("--json", type=Path, help="write the figures here")
    options = parser.parse_args()
    rows = [_row(layout, options) for layout in LAYOUTS]
    _print(rows)
    if options.json:
        report = {"question": "gated step over dense step", "rows": rows, **provenance.provenance()}
        write_json(options.json, report)


def _row(layout: str, options: argparse.Namespace) -> dict[str, Any]:
    launches = [_pairs(layout, options) for _ in range(options.launches)]
    pairs = [pair for launch in launches for pair in launch]
    return {
        "layout": layout,
        "dense_ms": 1e3 * statistics.median(d for d, _ in pairs),
        "gated_ms": 1e3 * statistics.median(g for _, g in pairs),
        "ratio": _ratio(pairs),
        "ratio_by_launch": sorted(_ratio(launch) for launch in launches),
    }


def _pairs(layout: str, options: argparse.Namespace) -> list[tuple[float, float]]:
    with _training("dense", layout, options) as dense, _training("gated", layout, options) as gated:
        _ = dense(), gated()  # the first steps allocate
        return [(dense(), gated()) for _ in range(options.pairs)]


def _ratio(pairs: list[tuple[float, float]]) -> float:
    return statistics.median(gated / dense for dense, gated in pairs)


@contextmanager
def _training(kind: str, layout: str, options: argparse.Namespace) -> Iterator[Callable[[], float]]:
    """A process that trains one network; each call lets it do one step and returns the seconds that this took."""
    spawn = multiprocessing.get_context("spawn")
    ours, theirs = spawn.Pipe()
    process = spawn.Process(target=_train, args=(theirs, kind, layout, options), daemon=True)
    process.start()
    theirs.close()  # so that a process that fails ends our wait

    def step() -> float:
        ours.send("step")
        return ours.recv()

    try:
        yield step
    finally:
        ours.close()
        process.join()


def _train(orders: Connection, kind: str, layout: str, options: argparse.Namespace) -> None:
    torch.manual_seed(0)
    images = torch.randn(options.batch, 3, 32, 32).to(memory_format=LAYOUTS[layout])
    labels = torch.randint(10, (options.batch,))
    net: nn.Module = _gated(options.net) if kind == "gated" else build_net(options.net)
    net.to(memory_format=LAYOUTS[layout])  # pyright: ignore[reportCallIssue]  # its stub asks for a tensor beside
    step = _stepper(net, images, labels)
    try:
        while orders.recv():
            orders.send(_seconds(step))
    except EOFError:
        return  # no more steps are asked for


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


def _print(rows: list[dict[str, Any]]) -> None:
    table = Table("layout", "dense ms", "gated ms", "gated / dense", "launches from .. to")
    for row in rows:
        milliseconds = (f"{row['dense_ms']:.0f}", f"{row['gated_ms']:.0f}")
        launches = f"{row['ratio_by_launch'][0]:.3f} .. {row['ratio_by_launch'][-1]:.3f}"
        table.add_row(row["layout"], *milliseconds, f"{row['ratio']:.3f}", launches)
    Console().print(table)


if __name__ == "__main__":
    main()
