"""Does the engine say what torch says? A trained gated network on all test images of its data set, in both.

    python benchmarks/engine_accuracy.py RUN [--json results/engine_accuracy.json] [--thresholds 0.3 0.5 0.7 0.9]

RUN is a folder of `sluicegate train` with gates that have a threshold. Compared at each threshold: accuracy, the
decision of each gate for each image, the MACs of each image.

Sums in another order differ in their last bits. A logit close to the threshold, within NEAR of it, may therefore fall
to either side, and the later gates of that image then see something else. So a decision that differs is near (its own
logit is close), a consequence (an earlier gate of the image was near) or wrong. Exit status 1 where one is wrong, where
MACs differ though the decisions of the image do not, or where accuracy differs.

N images, G gates of a site, K classes.
"""

import argparse
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.progress import track
from rich.table import Table
from torch import Tensor

from sluicegate.convert import GatedModel, GatedOutput
from sluicegate.data import ImageSet, Normalize
from sluicegate.errors import InputError
from sluicegate.files import write_json
from sluicegate.gates import Threshold
from sluicegate.lowering import export
from sluicegate.train import load_run, load_split, provenance, read_run_recipe
from sluicegate_runtime import Result, Session

NEAR = 1e-4
BATCH = 500
COUNTS = ("decisions", "open", "close", "near", "consequences", "wrong", "other_macs")


def main() -> int:
    options = _options()
    recipe = read_run_recipe(options.run)
    images = load_split(recipe.data, "test", None)
    assert isinstance(images, ImageSet)
    net = load_run(options.run)[1]
    if not isinstance(net, GatedModel):
        raise InputError(f"run: {str(options.run)!r} has no gates")
    with tempfile.TemporaryDirectory() as folder:
        session = Session(export(net, Path(folder) / "net.sluice"), threads=options.threads)
    rows = [_row(net, session, images, threshold) for threshold in options.thresholds]
    _print(rows, f"{recipe.name}, {recipe.epochs} epochs, {len(images)} images, {session.isa}")
    if options.json:
        report = {"question": "engine against torch", "near": NEAR, "isa": session.isa, "rows": rows}
        write_json(options.json, {**report, "recipe": asdict(recipe), **provenance.provenance()})
    return 0 if all(row["holds"] for row in rows) else 1


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="run folder")
    parser.add_argument("--thresholds", type=float, nargs="+", default=[0.3, 0.5, 0.7, 0.9])
    parser.add_argument("--threads", type=int, default=2, help="of the engine")
    parser.add_argument("--json", type=Path, help="write the figures here")
    return parser.parse_args()


def _row(net: GatedModel, session: Session, images: ImageSet, threshold: float) -> dict[str, Any]:
    net.strategy = Threshold(threshold)
    counts: Counter[str] = Counter()
    macs, error = [], 0.0
    for inputs, labels in _batches(images, f"threshold {threshold:g}"):
        with torch.no_grad():
            expected = net(inputs, return_gates=True)
        result = session.run(inputs.numpy(), threshold)
        counts += compare(expected, net.macs(expected.gates), result, labels, threshold)
        macs.append(result.macs)
        error = max(error, float(np.abs(result.output - expected.output.numpy()).max() / expected.output.abs().max()))
    executed = np.concatenate(macs)
    return {
        "threshold": threshold,
        "accuracy_torch": counts["right_torch"] / len(images),
        "accuracy_engine": counts["right_engine"] / len(images),
        **{key: counts[key] for key in COUNTS},
        "images_decided_alike": counts["alike"],
        "largest_error": error,
        "macs": {"dense": net.macs.dense, "mean": executed.mean(), "std": executed.std()},
        "holds": counts["right_torch"] == counts["right_engine"] and not counts["wrong"] and not counts["other_macs"],
    }


def _batches(images: ImageSet, doing: str) -> Iterator[tuple[Tensor, Tensor]]:
    prepare = Normalize(images.mean, images.std)
    for pixels, labels in track(images.batches(BATCH), doing, console=Console(stderr=True), transient=True):
        yield prepare(pixels), labels


def compare(expected: GatedOutput, macs: Tensor, result: Result, labels: Tensor, threshold: float) -> Counter[str]:
    """One batch; `macs` [N] are torch's. What is counted, the head of this file says."""
    counts: Counter[str] = Counter()
    cut = Threshold(threshold).logit
    excused = torch.zeros(len(labels), dtype=torch.bool)  # [N]: some gate so far was near and differed
    alike = ~excused
    for name, record in expected.gates.items():
        differs = record.open.bool() != torch.from_numpy(result.gates[name])  # [N, G]
        close = (record.logits - cut).abs() < NEAR
        near = differs & close
        consequence = differs & ~near & excused[:, None]
        counts.update(decisions=differs.numel(), open=int(record.open.sum()), close=int(close.sum()))
        counts.update(near=int(near.sum()), consequences=int(consequence.sum()))
        counts.update(wrong=int((differs & ~near & ~consequence).sum()))
        excused |= near.any(1)
        alike &= ~differs.any(1)
    counts.update(right_torch=int((expected.output.argmax(1) == labels).sum()))
    counts.update(right_engine=int((result.output.argmax(1) == labels.numpy()).sum()))
    counts.update(alike=int(alike.sum()), other_macs=int((alike & (macs != torch.from_numpy(result.macs))).sum()))
    return counts


def _print(rows: list[dict[str, Any]], title: str) -> None:
    columns = ("threshold", "accuracy, torch", "engine", "MACs", *(key.replace("_", " ") for key in COUNTS), "holds")
    table = Table(*columns, title=title, caption="decisions, and those of them that ...; other MACs: images")
    for row in rows:
        counts = (f"{row[key]:,}" for key in COUNTS)
        share = row["macs"]["mean"] / row["macs"]["dense"]
        accuracies = (f"{row[f'accuracy_{by}']:.2%}" for by in ("torch", "engine"))
        table.add_row(f"{row['threshold']:g}", *accuracies, f"{share:.3f}", *counts, "yes" if row["holds"] else "NO")
    Console(width=140).print(table)


if __name__ == "__main__":
    sys.exit(main())
