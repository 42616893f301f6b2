"""Measuring a network on images: accuracy, what each image cost, how open each gate was.

Legend: N images, S sites, K classes.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import fmean, stdev
from typing import Any

import torch
from rich.console import Console
from rich.progress import track
from torch import Tensor, nn
from torchmetrics import Metric

from sluicegate.convert import GatedModel
from sluicegate.data import Images, Normalize, worker_errors
from sluicegate.errors import InputError, one_line
from sluicegate.gates import Ensemble, GateRecords, GateSite
from sluicegate.tasks import Task, answer, task_of
from sluicegate.train.build import Subject, as_subject


@dataclass(frozen=True)
class MacStatistics:
    """MACs of one image: with every gate open (`dense`, the plain network), and over a set of images."""

    dense: int
    mean: float
    min: int
    max: int
    std: float


@dataclass(frozen=True)
class Evaluation:
    """What a network does on a set of images.

    Attributes:
        accuracy: top-1, in [0, 1]; of segmentation the share of pixels that are right.
        images: number of images.
        macs: their MACs, gate heads included.
        open_rate: by kind of gate, the share of (image, gate) pairs that were open. Gates after an image's exit count
            as closed.
        sites: the same by site; of an exit, the share of images that left there.
        mean_iou, class_iou: of segmentation, see `sluicegate.tasks.Scores`.
    """

    accuracy: float
    images: int
    macs: MacStatistics
    open_rate: dict[str, float]
    sites: dict[str, float]
    mean_iou: float | None = None
    class_iou: dict[str, float] = field(default_factory=dict)


class _Costs(Metric):
    """Sums of open gates by site, and every image's MACs: int64, so that their mean is exact."""

    full_state_update = False
    opened: Tensor
    macs: Any  # a list of [n], one a batch; one [N] once processes have joined theirs

    def __init__(self, sites: int, sync: bool) -> None:
        super().__init__(sync_on_compute=sync)
        self.add_state("opened", torch.zeros(sites, dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("macs", [], dist_reduce_fx="cat")

    def update(self, gates: GateRecords, macs: Tensor) -> None:
        if gates:
            self.opened += torch.stack([record.open.detach().double().sum() for record in gates.values()])
        self.macs.append(macs)

    def compute(self) -> tuple[Tensor, Tensor]:
        """[S] open gates, [N] MACs."""
        return self.opened, torch.cat(self.macs) if isinstance(self.macs, list) else self.macs


class Tally(nn.Module):
    """Adds up batches into an `Evaluation`.

    Args:
        subject: the network that is measured.
        classes: their names.
        task: what is counted.
        sync: join what several processes counted, each of its own images.
    """

    def __init__(self, subject: Subject, classes: Sequence[str], task: Task, sync: bool) -> None:
        super().__init__()
        self.classes, self.task = classes, task
        self.dense = subject.macs.dense
        self.sites: dict[str, GateSite] = subject.net.sites if isinstance(subject.net, GatedModel) else {}
        self.metric = task.metric(len(classes), sync)
        self.costs = _Costs(len(self.sites), sync)

    def update(self, output: Tensor, labels: Tensor, gates: GateRecords, macs: Tensor) -> None:
        """Count one batch: output [N, K], labels [N], macs [N]; of segmentation [N, K, H, W] and [N, H, W]."""
        self.metric.update(output, labels)
        self.costs.update(gates.reached(), macs)

    def finish(self) -> Evaluation:
        """The sum so far; counting starts anew."""
        opened, macs = (figures.reshape(-1) for figures in self.costs.compute())  # of one, torchmetrics makes a scalar
        scores = self.task.scores(self.metric, self.classes)
        evaluation = Evaluation(
            images=len(macs),
            macs=_statistics(self.dense, macs),
            open_rate=self._by_kind(opened.tolist(), len(macs)),
            sites={
                name: n / (site.gates * len(macs))
                for (name, site), n in zip(self.sites.items(), opened.tolist(), strict=True)
            },
            **scores._asdict(),
        )
        self.metric.reset()
        self.costs.reset()
        return evaluation

    def _by_kind(self, opened: list[float], images: int) -> dict[str, float]:
        sites = list(self.sites.values())
        rates = {}
        for kind in dict.fromkeys(site.kind for site in sites):
            gates = sum(site.gates for site in sites if site.kind == kind)
            rates[kind] = sum(n for site, n in zip(sites, opened, strict=True) if site.kind == kind) / (gates * images)
        return rates


@torch.no_grad()
def evaluate(
    subject: Subject | nn.Module,
    images: Images,
    *,
    normalize: tuple[tuple[float, ...], tuple[float, ...]] | None = None,
    batch_size: int = 256,
    device: torch.device | str = "cpu",
    progress: bool = False,
    task: Task | None = None,
) -> Evaluation:
    """Run a network over images once, in evaluation mode.

    Args:
        subject: a gated or plain network, or a `Subject`.
        images: uint8 images and labels.
        normalize: (mean, std) by channel of images in [0, 1]; the data set's own if None.
        batch_size: images at a time.
        device: where to run.
        progress: show a bar on standard error, where that is a terminal.
        task: what is measured; None: the task that fits the labels of the images.

    Raises:
        InputError: images of another shape than the network takes, or a device that this machine lacks.
        RunError: images that are streamed cannot be read.
    """
    _try(device)
    if isinstance(subject, nn.Module):
        subject = as_subject(subject, images)
    subject.net.to(device).eval()
    tally = Tally(subject, images.classes, task or task_of(images), sync=False).to(device)
    mean, std = normalize or (images.mean, images.std)
    prepare = Normalize(mean, std).to(device)
    batches = images.batches(batch_size, device=device)
    dtype = next(subject.net.parameters()).dtype
    console = Console(stderr=True)
    shown = track(
        batches, "evaluating", console=console, transient=True, disable=not (progress and console.is_terminal)
    )
    with worker_errors():
        for batch, labels in shown:
            tally.update(*_passes(subject, prepare(batch).to(dtype), labels))
    return tally.finish()


def spread(repeats: Sequence[Evaluation]) -> dict[str, dict[str, float]]:
    """Mean and standard deviation (of a sample; 0 of one) of accuracy, mean IoU and mean MACs over repeats."""
    figures = {"accuracy": [one.accuracy for one in repeats], "macs": [one.macs.mean for one in repeats]}
    overlaps = [one.mean_iou for one in repeats if one.mean_iou is not None]
    figures |= {"mean_iou": overlaps} if overlaps else {}
    return {
        name: {"mean": fmean(values), "std": stdev(values) if len(values) > 1 else 0.0, "repeats": len(values)}
        for name, values in figures.items()
    }


def _try(device: torch.device | str) -> None:
    try:
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:  # the latter of a torch that was built without the device
        raise InputError(f"device: {str(device)!r} cannot be used here: {one_line(error)}") from error


def _passes(subject: Subject, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor, GateRecords, Tensor]:
    """Output, labels, records and MACs; of an ensemble the mean probabilities, mean decisions and all passes' MACs."""
    strategy = subject.net.strategy if isinstance(subject.net, GatedModel) else None
    if not isinstance(strategy, Ensemble):
        output, gates = subject.run(images)
        return answer(output), labels, gates, subject.image_macs(gates, images)
    runs = [subject.run(images) for _ in range(strategy.passes)]
    output = torch.stack([answer(run.output).softmax(1) for run in runs]).mean(0)
    macs = torch.stack([subject.image_macs(run.gates, images) for run in runs]).sum(0)
    opens = {name: torch.stack([run.gates[name].open for run in runs]).mean(0) for name in runs[0].gates}
    gates = GateRecords({name: record._replace(open=opens[name]) for name, record in runs[0].gates.items()})
    return output, labels, gates, macs


def _statistics(dense: int, macs: Tensor) -> MacStatistics:
    total = int(macs.sum())
    spread = float(macs.double().std(correction=0))
    return MacStatistics(dense, total / len(macs), int(macs.min()), int(macs.max()), spread)
