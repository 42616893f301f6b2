"""Fine-tuning in your own training loop: the steps of a recipe, without Lightning.

    tuning = Tuning(net, torch.zeros(1, 3, 224, 224), target=0.5, steps=epochs * len(loader))
    tuning.fit(images for images, _ in loader)
    for _ in range(epochs):
        for images, labels in loader:
            tuning.step(images, labels)
    gated = tuning.finish(images for images, _ in loader)

Legend: N images, C channels, H W pixels, K classes.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from pathlib import Path
from typing import get_args

import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import LambdaLR

from sluicegate.convert import GatedModel
from sluicegate.errors import InputError, RunError
from sluicegate.objectives import Objective
from sluicegate.tasks import Classification, Task
from sluicegate.train.averaging import WeightAverage
from sluicegate.train.budget import latency_target, share_target
from sluicegate.train.build import build_method, gate_by
from sluicegate.train.fitting import Fit, fit_gates
from sluicegate.train.losses import Distillation
from sluicegate.train.module import build_optimizer, rate_factor
from sluicegate.train.ranges import one_of, positive
from sluicegate.train.recalibrate import recalibrate
from sluicegate.train.recipe import (
    BudgetRecipe,
    DistillationRecipe,
    FitRecipe,
    MethodRecipe,
    OptimizerRecipe,
)
from sluicegate.train.tuning_recipes import TargetKind


@dataclass(frozen=True)
class TuningOptions:
    """Options of fine-tuning. The defaults are those of `sluicegate finetune`; each part has its name in a recipe.

    For the target, a weight of 10 is too small beside a teacher: a run of one epoch with target 0.5 stayed at 0.69 of
    the MACs. With a weight of 100 it reached 0.52; the multiplier takes out what is left (docs/finetune.md).
    """

    method: MethodRecipe = field(default_factory=lambda: MethodRecipe("budgeted", {"noise": "linear(1, 0, 0, 0.7)"}))
    optimizer: OptimizerRecipe = field(
        default_factory=lambda: OptimizerRecipe(lr=0.03, gate_lr_scale=7, schedule="cosine", warm_up=0.03)
    )
    budget: BudgetRecipe = field(default_factory=lambda: BudgetRecipe(weight=100.0, multiplier_rate=30.0, tighten=0.3))
    distillation: DistillationRecipe = field(default_factory=lambda: DistillationRecipe(0.9, 4.0))
    fit: FitRecipe = field(default_factory=lambda: FitRecipe(steps=200, open_rate=0.6))
    label_smoothing: float = 0.0
    average: float = 0.999
    recalibration: int = 100


class Tuning:
    """Fine-tunes a trained network with gates (see the top of the file).

    Args:
        net: the trained network; it is copied, and a frozen copy is the teacher.
        example_inputs: [1, C, H, W], an input of the network.
        target: mean cost of an image in the unit of `kind`; a share is in (0, 1].
        steps: number of training steps.
        options: see `TuningOptions`.
        teacher: another network with the same outputs; the network itself if None.
        task: what it is trained for; classification if None.
        kind: "macs", a share of the network's MACs; "rate", a share of open gates; or "ms", milliseconds.
        table: for milliseconds, the file of a `LatencyTable`; `measure_latency` measures one (docs/latency.md).

    Attributes:
        net: the gated network.

    Raises:
        InputError: a value outside its range, the network cannot be gated, or the table does not fit it.
    """

    def __init__(
        self,
        net: nn.Module,
        example_inputs: Tensor,
        target: float,
        steps: int,
        options: TuningOptions | None = None,
        teacher: nn.Module | None = None,
        task: Task | None = None,
        kind: TargetKind = "macs",
        table: str | Path | None = None,
    ) -> None:
        self.options = options = options or TuningOptions()
        _check_target(target, kind, table)
        if steps < 1:
            raise InputError(f"steps: {steps} must be at least 1")
        self.steps, self.done, self.task = steps, 0, task or Classification()
        device = next(net.parameters()).device
        subject = gate_by(build_method(options.method), net, example_inputs)
        if not isinstance(subject.net, GatedModel):
            raise InputError(f"options.method: {options.method.name!r} makes no gates")
        self.net = subject.net.to(device)
        told = options.distillation
        self.distillation = Distillation(net if teacher is None else teacher, told.weight, told.temperature)
        self.target = self._target(target, kind, table).to(device)
        self.optimizer = build_optimizer(subject, options.optimizer)
        self.schedule = LambdaLR(
            self.optimizer, [partial(self._rate, g["warm_up"]) for g in self.optimizer.param_groups]
        )
        self.average = WeightAverage(self.net, options.average) if options.average else None

    @property
    def progress(self) -> float:
        """Share of the training steps that are done, in [0, 1]."""
        return min(1.0, self.done / self.steps)

    def fit(self, batches: Iterable[Tensor]) -> Fit:
        """Fit the gates to the trained network before the first step; `batches`: [N, C, H, W] each."""
        how = self.options.fit
        fit = fit_gates(self.net, batches, how.open_rate, how.steps, how.lr, how.softness)
        if self.average is not None:
            self.average = WeightAverage(self.net, self.options.average)
        return fit

    def loss(self, images: Tensor, labels: Tensor) -> Tensor:
        """The loss of a batch at this point of the training: [N, C, H, W], [N] (of masks [N, H, W]) -> []."""
        self.net.train()
        self.net.set_progress(self.progress)
        output, gates = self.net(images, return_gates=True)
        task = self.task.loss(output, labels, self.options.label_smoothing)
        if self.distillation.weight:
            task = self.distillation(task, output, images)
        return task + self.options.budget.weight * self.target(gates, self.progress)

    def step(self, images: Tensor, labels: Tensor) -> Tensor:
        """One step of the optimizer on a batch; returns the loss, [], without its graph.

        Raises:
            RunError: the loss is not finite.
        """
        loss = self.loss(images, labels)
        if not torch.isfinite(loss):
            raise RunError(f"loss: {loss.item()} at step {self.done + 1}; lower optimizer.lr")
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        self.schedule.step()
        self.done += 1
        if self.average is not None:
            self.average.update(self.net)
        return loss.detach()

    def finish(self, batches: Iterable[Tensor]) -> GatedModel:
        """The gated network in evaluation mode, with averaged weights; batch norm statistics are computed again.

        Args:
            batches: training images, [N, C, H, W] each.
        """
        if self.average is not None:
            self.average.copy_to(self.net)
        self.net.set_progress(1.0)
        recalibrate(self.net, islice(batches, self.options.recalibration))
        return self.net.eval()

    def _target(self, target: float, kind: TargetKind, table: str | Path | None) -> Objective:
        budget = self.options.budget
        if kind == "ms":
            return latency_target(budget.in_milliseconds(str(table), target), self.net)
        return share_target(budget.aimed_at(target, kind), self.net)

    def _rate(self, warm_up: float, step: int) -> float:
        return rate_factor(self.options.optimizer, warm_up, self.steps)(min(1.0, step / self.steps))


def _check_target(target: float, kind: TargetKind, table: str | Path | None) -> None:
    one_of("kind", kind, get_args(TargetKind))
    if (kind == "ms") != (table is not None):
        raise InputError(f"table: {table} with kind {kind!r}; milliseconds need a table, the other kinds take none")
    if kind == "ms":
        positive("target", target)
    elif not 0 < target <= 1:
        raise InputError(f"target: {target} is not in (0, 1], a share of {'MACs' if kind == 'macs' else 'open gates'}")
