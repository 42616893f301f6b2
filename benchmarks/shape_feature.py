"""Batch shaping of something that is not a gate: a hidden feature of a digits classifier.

    python benchmarks/shape_feature.py [--out results/shape_feature] [--epochs 100] [--weight 100]

Three small networks learn the digits: one as it is, one with its hidden feature shaped to a normal distribution, one to
a uniform one. The figure shows what the feature's units make of the test images, the JSON how far from the
distribution that is (Kolmogorov's distance, the mean over units) beside the accuracy.

Legend: N images, U units of the hidden feature.
"""

import argparse
from pathlib import Path
from typing import Any

import matplotlib
import torch
from matplotlib import pyplot
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from sluicegate.data import load
from sluicegate.files import whole_file, write_json
from sluicegate.objectives import Distribution, Normal, Uniform, batch_shaping
from sluicegate.train import provenance

UNITS, BATCH = 16, 128
PRIORS: dict[str, Distribution | None] = {"as it is": None, "Normal(0, 1)": Normal(), "Uniform(-2, 2)": Uniform(-2, 2)}


def main() -> None:
    options = _options()
    train, test = (_digits(split) for split in ("train", "test"))
    features, rows = {}, []
    for name, prior in PRIORS.items():
        body, last = _train(train, prior, options)
        with torch.no_grad():
            features[name] = body(test[0])  # [N, U]
            accuracy = (last(features[name]).argmax(1) == test[1]).double().mean().item()
        distances = {p: _kolmogorov(features[name], d) for p, d in PRIORS.items() if d is not None}
        rows.append({"shaped to": name, "test_accuracy": accuracy, "distance": distances})
        print(name, f"accuracy {accuracy:.3f}", {p: f"{d:.3f}" for p, d in distances.items()})
    with whole_file(options.out.with_suffix(".png")) as part:
        _draw(features, part)
    settings = {"units": UNITS, "batch": BATCH, "epochs": options.epochs, "weight": options.weight}
    write_json(options.out.with_suffix(".json"), {**settings, "rows": rows, **provenance.provenance()})


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--epochs", type=int, default=100)
    parser.add_argument("--weight", type=float, default=100, help="of shaping beside cross entropy")
    parser.add_argument("--out", type=Path, default=Path("shape_feature"), help="figure and JSON, without an ending")
    return parser.parse_args()


def _digits(split: Any) -> tuple[Tensor, Tensor]:
    images = load("digits", split)
    return images.images.float().flatten(1) / 128 - 1, images.labels


def _train(
    data: tuple[Tensor, Tensor], prior: Distribution | None, options: argparse.Namespace
) -> tuple[nn.Module, nn.Module]:
    torch.manual_seed(0)
    body = nn.Sequential(nn.Linear(data[0].shape[1], 64), nn.ReLU(), nn.Linear(64, UNITS))
    last = nn.Linear(UNITS, 10)
    optimizer = torch.optim.Adam([*body.parameters(), *last.parameters()], lr=1e-3)
    for _ in range(options.epochs):
        for batch in torch.randperm(len(data[0])).split(BATCH)[:-1]:
            feature = body(data[0][batch])  # [N, U]
            loss = cross_entropy(last(feature), data[1][batch])
            if prior is not None:
                loss = loss + options.weight * batch_shaping(feature, prior).mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return body.eval(), last.eval()


def _kolmogorov(x: Tensor, prior: Distribution) -> float:
    """max |F_N - F|, the mean over units."""
    below = prior.cdf(x.sort(0).values)  # [N, U]
    after = torch.arange(1, len(x) + 1)[:, None] / len(x)
    return torch.maximum((after - below).abs(), (after - 1 / len(x) - below).abs()).amax(0).mean().item()


def _draw(features: dict[str, Tensor], path: Path) -> None:
    matplotlib.use("agg")
    figure, axes = pyplot.subplots(1, len(features), figsize=(9, 2.8), layout="constrained")
    for axis, (name, x) in zip(axes, features.items(), strict=True):
        prior = PRIORS[name]
        edge = 4.0 if prior is not None else x.abs().max().item()
        grid = torch.linspace(-edge, edge, 401)
        bins = torch.linspace(-edge, edge, 61).tolist()
        for unit in x.T:
            axis.hist(unit.tolist(), bins, density=True, histtype="step", color="#0b6e99", alpha=0.25, linewidth=0.7)
        axis.hist(x.flatten().tolist(), bins, density=True, color="#0b6e99", alpha=0.35, label="all units")
        if prior is not None:
            axis.plot(grid, prior.density(grid), color="#d1495b", linewidth=1.5, label=name)
            axis.legend(frameon=False, fontsize=8)
        axis.set_title("without shaping" if prior is None else f"shaped to {name}", fontsize=10)
        axis.set_xlabel("hidden feature on test images")
        axis.spines[["top", "right"]].set_visible(False)
    axes[0].set_ylabel("density")
    figure.savefig(path, dpi=150, format="png")


if __name__ == "__main__":
    main()
