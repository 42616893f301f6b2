"""Callbacks of a training: seeds, checks, logs, files.

A callback with state keeps it in the checkpoint, so that a killed run continues as if it had not been killed.
"""

import csv
import io
import math
import time
from contextlib import ExitStack
from itertools import islice
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from lightning import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import Checkpoint
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn
from torch.nn.modules.batchnorm import _BatchNorm

from sluicegate.convert import GatedModel
from sluicegate.errors import RunError
from sluicegate.files import write_text
from sluicegate.train.averaging import WeightAverage
from sluicegate.train.fitting import fit_gates
from sluicegate.train.module import MEASURE_EVERY, Classifier
from sluicegate.train.recalibrate import recalibrate
from sluicegate.train.recipe import FitRecipe
from sluicegate.train.weights import save_weights

CHECK_EVERY = 50  # steps; reading the number waits for the device


class EpochSeed(Callback):
    """Seeds an epoch from (seed, epoch) alone: a resumed run draws what an uninterrupted one does."""

    def __init__(self, seed: int) -> None:
        self.seed = seed

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        torch.manual_seed(self.seed * 1_000_003 + trainer.current_epoch)
        assert isinstance(pl_module, Classifier)
        pl_module.batches.set_epoch(trainer.current_epoch)


class FrozenBatchNorm(Callback):
    """Keeps every batch norm on its running statistics during training."""

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        for module in pl_module.modules():
            if isinstance(module, _BatchNorm):
                module.eval()


class Recalibration(Callback):
    """Renews the statistics of batch norms after the last step, before the network is measured and saved."""

    def __init__(self, count: int) -> None:
        self.count = count

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        assert isinstance(pl_module, Classifier)
        if pl_module.progress == 1:
            recalibrate(pl_module.net, islice(pl_module.further_inputs(), self.count))


class FittedGates(Callback):
    """Fits the gates before the first step (`train/fitting.py`); every process does the same."""

    def __init__(self, recipe: FitRecipe) -> None:
        self.recipe = recipe

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        assert isinstance(pl_module, Classifier) and isinstance(pl_module.net, GatedModel)
        if trainer.global_step == 0:
            with trainer.precision_plugin.forward_context():
                r = self.recipe
                fit_gates(pl_module.net, pl_module.plain_inputs(), r.open_rate, r.steps, r.lr, r.softness)


class AveragedWeights(Callback):
    """Measures and keeps a moving average of the weights (`train/averaging.py`).

    It takes the weights' place while an epoch is measured and its best weights are kept, and for good after the last
    step; in the list of callbacks it stands behind those that look at measured weights.
    """

    def __init__(self, decay: float) -> None:
        self.decay = decay
        self.average: WeightAverage | None = None
        self.loaded: dict[str, Any] | None = None
        self.inside = ExitStack()

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        assert isinstance(pl_module, Classifier)
        self.average = WeightAverage(pl_module.net, self.decay)
        if self.loaded is not None:
            self.average.load_state_dict(self.loaded)

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        assert isinstance(pl_module, Classifier) and self.average is not None
        self.average.update(pl_module.net)
        if pl_module.progress == 1:
            self.average.copy_to(pl_module.net)

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        assert isinstance(pl_module, Classifier) and self.average is not None
        if pl_module.progress < 1:
            self.inside.enter_context(self.average.inside(pl_module.net))

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.inside.close()

    def state_dict(self) -> dict[str, Any]:
        return {} if self.average is None else self.average.state_dict()

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.loaded = state_dict


class FiniteLoss(Callback):
    """Ends a run whose loss is NaN or infinite, before a checkpoint of it is written."""

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if (batch_idx + 1) % CHECK_EVERY == 0:
            self._check(trainer, pl_module)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._check(trainer, pl_module)

    def _check(self, trainer: Trainer, module: LightningModule) -> None:
        assert isinstance(module, Classifier)
        first = module.first_bad_step.clone()
        if dist.is_initialized():
            dist.all_reduce(first, op=dist.ReduceOp.MIN)
        if math.isfinite(first.item()):
            where = f"epoch {trainer.current_epoch + 1}, step {int(first.item()) + 1}"
            rate = trainer.optimizers[0].param_groups[0]["lr"]
            raise RunError(
                f"loss: not finite at {where}, where the learning rate is {rate:g}; it must be finite: "
                f"lower optimizer.lr ({module.recipe.optimizer.lr:g})"
            )


class Metrics(Callback):
    """One row an epoch, in `metrics.csv`; the whole file is written anew from rows that the checkpoint holds too.

    So the file of a resumed run has every epoch once, whenever the run was killed.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.rows: list[dict[str, float]] = []
        self.started = 0.0

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.started = time.perf_counter()

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        assert isinstance(pl_module, Classifier)
        self.rows.append(_row(trainer, pl_module, time.perf_counter() - self.started))
        for logger in trainer.loggers:
            logger.log_metrics({f"epoch/{name}": value for name, value in self.rows[-1].items()}, trainer.global_step)
        if trainer.is_global_zero:
            write_text(self.path, _csv(self.rows))

    def state_dict(self) -> dict[str, Any]:
        return {"rows": self.rows}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.rows = state_dict["rows"]


class BestWeights(Callback):
    """Keeps the weights of the epoch with the highest accuracy on the test images (the earliest of equals)."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.epoch, self.accuracy = 0, -1.0

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        assert isinstance(pl_module, Classifier)
        assert pl_module.evaluation is not None
        if pl_module.evaluation.accuracy > self.accuracy:
            self.epoch, self.accuracy = trainer.current_epoch + 1, pl_module.evaluation.accuracy
            if trainer.is_global_zero:
                save_weights(pl_module.net, self.path)

    def state_dict(self) -> dict[str, Any]:
        return {"epoch": self.epoch, "accuracy": self.accuracy}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.epoch, self.accuracy = state_dict["epoch"], state_dict["accuracy"]


class LastCheckpoint(Checkpoint):
    """Writes `last.ckpt` after each epoch; Lightning calls callbacks of this kind after all others."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        trainer.save_checkpoint(self.path)


class ProgressLines(Callback):
    """A bar for the epoch at hand and a line for each that is done, on standard error; the bar on a terminal only."""

    def __init__(self) -> None:
        self.console = Console(stderr=True, highlight=False)
        self.bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=20),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[status]}"),
            console=self.console,
            transient=True,
            disable=not self.console.is_terminal,
        )
        self.task = TaskID(0)

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        assert isinstance(pl_module, Classifier)
        if trainer.is_global_zero:
            name = f"epoch {trainer.current_epoch + 1}/{pl_module.recipe.epochs}"
            self.task = self.bar.add_task(name, total=pl_module.steps_per_epoch, status="")
            self.bar.start()

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        # Reading the numbers waits for the device, so it is done rarely, and only if a terminal shows them.
        if trainer.is_global_zero and not self.bar.disable and batch_idx % MEASURE_EVERY == 0:
            self.bar.update(self.task, completed=batch_idx + 1, status=_status(trainer.callback_metrics))

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        assert isinstance(pl_module, Classifier)
        if trainer.is_global_zero:
            self._clear()
            self.console.print(_line(trainer, pl_module), soft_wrap=True)

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        self._clear()

    def _clear(self) -> None:
        self.bar.stop()
        for task in self.bar.task_ids:
            self.bar.remove_task(task)


def _row(trainer: Trainer, module: Classifier, seconds: float) -> dict[str, float]:
    measured, seen = module.evaluation, trainer.callback_metrics
    assert measured is not None
    return {
        "epoch": trainer.current_epoch + 1,
        "seconds": round(seconds, 3),
        "lr": trainer.optimizers[0].param_groups[0]["lr"],
        "train_loss": float(seen["loss"]),
        "train_accuracy": float(seen["accuracy"]),
        "accuracy": measured.accuracy,
        **({} if measured.mean_iou is None else {"mean_iou": measured.mean_iou}),
        **{f"macs_{name}": getattr(measured.macs, name) for name in ("mean", "min", "max")},
        **{f"open_{kind}": rate for kind, rate in measured.open_rate.items()},
        **{f"open:{site}": rate for site, rate in measured.sites.items()},
    }


def _csv(rows: list[dict[str, float]]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def _status(seen: dict[str, torch.Tensor]) -> str:
    shown = {name: float(value) for name, value in seen.items()}
    parts = [f"loss {shown['loss']:.3f}", f"accuracy {shown['accuracy']:.1%}"] if "loss" in shown else []
    parts += [f"{name.replace('_', ' ')} {rate:.0%}" for name, rate in shown.items() if name.startswith("open_")]
    return "  ".join(parts + ([f"{shown['macs'] / 1e6:.2f} MMAC"] if "macs" in shown else []))


def _line(trainer: Trainer, module: Classifier) -> str:
    measured, seen = module.evaluation, trainer.callback_metrics
    assert measured is not None
    rates = "".join(f"  {kind} gates open {rate:.0%}" for kind, rate in measured.open_rate.items())
    epoch = f"epoch {trainer.current_epoch + 1}/{module.recipe.epochs}"
    overlap = "" if measured.mean_iou is None else f"  mean IoU {measured.mean_iou:.2%}"
    return (
        f"{epoch}  loss {float(seen['loss']):.3f}{overlap}  accuracy {measured.accuracy:.2%} "
        f"(train {float(seen['accuracy']):.2%}){rates}  {measured.macs.mean / 1e6:.2f} MMAC"
    )
