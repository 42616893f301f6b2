"""What do the readings of batch shaping's two sums train to? A gated ResNet-8 on the digits, once for each.

    python benchmarks/shaping_readings.py [--json results/shaping_readings.json] [--epochs 15] [--seeds 1]
    python benchmarks/shaping_readings.py --epochs 60 --readings "eq. 2, mean" "eq. 2, site_mean" ...

"conditional" is the share of gates that are open on 1 to 99 % of the test images; "distance" the mean over gates of
Kolmogorov's between sigmoid(logit) on the test images and Beta(0.6, 0.4). docs/ambiguities.md draws the conclusions.

Legend: N images, K gates of all sites.
"""

import argparse
from functools import partial
from pathlib import Path
from statistics import mean
from typing import Any, get_args

import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor
from torch.nn.functional import cross_entropy

from sluicegate.convert import ChannelGating, GatedModel, gate_model
from sluicegate.data import load
from sluicegate.files import write_json
from sluicegate.gates import PooledHead
from sluicegate.nets import build_net
from sluicegate.objectives import BatchShaping, Beta, GateL0, Objective, Reduction
from sluicegate.train import provenance

BATCH = 128
LAMBDA = 0.75

READINGS: dict[str, tuple[float, Objective]] = {
    "no objective": (0.0, GateL0()),
    "eq. 2, mean": (LAMBDA, BatchShaping()),
    "eq. 2, site_mean": (LAMBDA, BatchShaping(reduction="site_mean")),
    "eq. 2, sum": (LAMBDA, BatchShaping(reduction="sum")),
    "eq. 2, sum, of the sample": (LAMBDA, BatchShaping(shaped="sample", reduction="sum")),
    "appendix A (times N), mean": (LAMBDA * BATCH, BatchShaping()),
    "appendix A (times N), sum": (LAMBDA * BATCH, BatchShaping(reduction="sum")),
    **{
        f"eq. 5, gamma {gamma:.2f}, {reduction}": (gamma, GateL0(reduction=reduction))
        for reduction in get_args(Reduction)
        for gamma in (0.05, 0.20)
    },
}


def main() -> None:
    options = _options()
    train, test = (_digits(split) for split in ("train", "test"))
    rows = []
    for name in options.readings:
        weight, objective = READINGS[name]
        runs = [
            _measure(_train(train, weight, objective, options.epochs, seed), *test) for seed in range(options.seeds)
        ]
        rows.append({"reading": name} | {key: mean(run[key] for run in runs) for key in runs[0]} | {"runs": runs})
    _print(rows)
    if options.json:
        settings = {"batch": BATCH, "epochs": options.epochs, "seeds": options.seeds}
        write_json(options.json, {**settings, "rows": rows, **provenance.provenance()})


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--epochs", type=int, default=15)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--readings", nargs="+", choices=READINGS, default=list(READINGS), metavar="NAME")
    parser.add_argument("--json", type=Path, help="write the figures here")
    return parser.parse_args()


def _digits(split: Any) -> tuple[Tensor, Tensor]:
    images = load("digits", split)
    return images.images.float() / 128 - 1, images.labels


def _train(data: tuple[Tensor, Tensor], weight: float, objective: Objective, epochs: int, seed: int) -> GatedModel:
    torch.manual_seed(seed)
    net = build_net("resnet8", classes=10, in_channels=1)
    gated = gate_model(net, ChannelGating(head=partial(PooledHead, batch_norm=True)), data[0][:1])
    optimizer = torch.optim.SGD(gated.parameters(), lr=0.1, momentum=0.9, nesterov=True)
    for _ in range(epochs):
        for batch in torch.randperm(len(data[0])).split(BATCH)[:-1]:
            output, gates = gated(data[0][batch], return_gates=True)
            loss = cross_entropy(output, data[1][batch]) + weight * objective(gates, 0.0)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return gated.eval()


@torch.no_grad()
def _measure(gated: GatedModel, images: Tensor, labels: Tensor) -> dict[str, float]:
    output, gates = gated(images, return_gates=True)
    p = torch.cat([record.logits for record in gates.values()], 1).sigmoid()  # [N, K]
    rates = (p > 0.5).double().mean(0)
    below = Beta(0.6, 0.4).cdf(p.sort(0).values)
    ranks = torch.arange(1, len(p) + 1)[:, None] / len(p)
    return {
        "accuracy": (output.argmax(1) == labels).double().mean().item(),
        "open_rate": rates.mean().item(),
        "conditional": ((rates > 0.01) & (rates < 0.99)).double().mean().item(),
        "distance": torch.maximum((ranks - below).abs(), (ranks - 1 / len(p) - below).abs()).amax(0).mean().item(),
    }


def _print(rows: list[dict[str, Any]]) -> None:
    columns = ("accuracy", "open_rate", "conditional", "distance")
    table = Table("reading", *columns)
    for row in rows:
        table.add_row(row["reading"], *(f"{row[column]:.3f}" for column in columns))
    Console().print(table)


if __name__ == "__main__":
    main()
