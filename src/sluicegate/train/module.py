"""One training step, as Lightning wants it.

    loss = the task's [beside a teacher's word] + objective(gates, progress) [+ reward of sampled gates],
    progress = optimizer steps done / all of them

Nothing here waits for the device: what is logged stays a tensor there, and a loss that is not finite leaves the
number of its step in `first_bad_step`, which a callback reads now and then.

Legend: N images, C channels, H W pixels, K classes.
"""

from collections.abc import Iterator
from functools import partial
from itertools import count
from typing import Any

import torch
from lightning import LightningModule
from torch import Tensor, nn
from torch.optim import SGD, AdamW, Optimizer
from torch.optim.lr_scheduler import LambdaLR

from sluicegate.convert import GatedModel
from sluicegate.data import Batches, HorizontalFlip, Images, Normalize, PadCrop, SceneSet, StreamedBatches
from sluicegate.errors import InputError
from sluicegate.gates import GateRecords, SiteKind
from sluicegate.schedule import Schedule, cosine, linear, polynomial, steps
from sluicegate.tasks import answer
from sluicegate.train.build import ImageSets, Subject, build_task
from sluicegate.train.evaluate import Evaluation, Tally
from sluicegate.train.recipe import DataRecipe, OptimizerRecipe, Recipe

MEASURE_EVERY = 10  # steps; open rates and MACs of training batches are only shown, and cost some hundred small kernels

_WARM_UP = 0.3  # share of a one-cycle training that climbs, as in torch's OneCycleLR
_COLD = 1 / 25  # where that climb starts


class Classifier(LightningModule):
    """Trains a gated or plain network by a recipe.

    Args:
        subject: the network, its costs and its objective.
        images: what to train and measure on; held in memory, it is moved to the training device as a whole.
        recipe: batch size, augmentation, optimizer and epochs.
        measured: the same network for test images of another size, which is given the weights each time; the network
            itself if None.

    Attributes:
        batches: the training batches; their epoch is set from outside.
        evaluation: what the last pass over the test images measured.
    """

    def __init__(self, subject: Subject, images: ImageSets, recipe: Recipe, measured: Subject | None = None) -> None:
        super().__init__()
        self.subject, self.images, self.recipe = subject, images, recipe
        self.measured, self.task = measured or subject, build_task(recipe.task)
        self.net, self.objective, self.auxiliary = subject.net, subject.objective, subject.auxiliary
        self.net.train()  # Lightning keeps the mode, and a network of one's own may come in evaluation mode
        self.net.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]  # a fifth faster to train
        self.prepare = Normalize(images.train.mean, images.train.std)
        self.augment = nn.Sequential() if isinstance(images.train, SceneSet) else _augmentation(recipe.data)
        self.tally = Tally(self.measured, images.test.classes, self.task, sync=True)
        self.evaluation: Evaluation | None = None
        self.register_buffer("first_bad_step", torch.tensor(torch.inf), persistent=False)
        self.steps_per_epoch = len(images.train) // recipe.data.batch_size
        if self.steps_per_epoch == 0:
            raise InputError(
                f"data.batch_size: {recipe.data.batch_size} is more than the {len(images.train)} training images"
            )

    @property
    def progress(self) -> float:
        """Share of the training that is done, in [0, 1]."""
        return self.global_step / (self.steps_per_epoch * self.recipe.epochs)

    def training_step(self, batch: tuple[Tensor, Tensor], index: int) -> Tensor:
        images, labels = batch
        if isinstance(self.net, GatedModel):
            self.net.set_progress(self.progress)
        inputs = self._prepared(self.augment(images))
        output, gates = self.subject.run(inputs)
        loss = self.task.loss(output, labels, self.recipe.label_smoothing, self.auxiliary)
        output = answer(output)
        if self.subject.distillation is not None:
            loss = self.subject.distillation(loss, output, inputs)
        if self.objective is not None:
            loss = loss + self.objective(gates, self.progress)
        if self.subject.reward is not None:
            of_images = self.task.image_losses(output.detach(), labels)
            loss = loss + self.subject.reward(of_images, gates, self.progress)
        self._watch(loss.detach())
        self._log_step(loss.detach(), output.detach(), labels)
        if index % MEASURE_EVERY == 0 and gates:
            self._log_gates(gates, images)
        return loss

    def validation_step(self, batch: tuple[Tensor, Tensor], index: int) -> None:
        images, labels = batch
        output, gates = self.measured.run(self._prepared(images))
        self.tally.update(answer(output), labels, gates, self.measured.image_macs(gates, images))

    def on_validation_epoch_start(self) -> None:
        if self.measured.net is not self.net:
            self.measured.net.to(self.device).load_state_dict(self.net.state_dict())
            self.measured.net.eval()

    def on_validation_epoch_end(self) -> None:
        self.evaluation = self.tally.finish()

    def configure_optimizers(self) -> Any:
        optimizer = build_optimizer(self.subject, self.recipe.optimizer)
        total = self.steps_per_epoch * self.recipe.epochs
        of_groups = [rate_factor(self.recipe.optimizer, group["warm_up"], total) for group in optimizer.param_groups]
        scheduler = LambdaLR(optimizer, [partial(_at_step, factor, total) for factor in of_groups])
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}

    def train_dataloader(self) -> Batches | StreamedBatches:
        self.batches = self._batches(self.images.train, shuffle=True)
        return self.batches

    def further_inputs(self) -> Iterator[Tensor]:
        """Without end: the inputs [N, C, H, W] of the steps that would follow the last."""
        for epoch in count(self.recipe.epochs):
            self.batches.set_epoch(epoch)
            for images, _ in self.batches:
                yield self._prepared(self.augment(images))

    def plain_inputs(self) -> Iterator[Tensor]:
        """Without end: training inputs [N, C, H, W] as they are, whole batches, alike on every process."""
        seed, size = self.recipe.seed, self.recipe.data.batch_size
        batches = self.images.train.plain().batches(size, shuffle=True, seed=seed, drop_last=True, device=self.device)
        for epoch in count():
            batches.set_epoch(epoch)
            for found, _ in batches:
                yield self._prepared(found)

    def val_dataloader(self) -> Batches | StreamedBatches:
        return self._batches(self.images.test, shuffle=False)

    def _batches(self, images: Images, shuffle: bool) -> Batches | StreamedBatches:
        return images.batches(
            self.recipe.data.batch_size,
            shuffle=shuffle,
            seed=self.recipe.seed,
            drop_last=shuffle,
            rank=self.trainer.global_rank,
            world=self.trainer.world_size,
            device=self.trainer.strategy.root_device,
        )

    def _prepared(self, images: Tensor) -> Tensor:
        return self.prepare(images).contiguous(memory_format=torch.channels_last)

    def _watch(self, loss: Tensor) -> None:
        """Keep the number of the first step whose loss is not finite."""
        step = torch.where(torch.isfinite(loss), torch.inf, float(self.global_step))
        self.first_bad_step = torch.minimum(self.first_bad_step, step)

    def _log_step(self, loss: Tensor, output: Tensor, labels: Tensor) -> None:
        accuracy = self.task.accuracy(output, labels)
        seen = {"loss": loss, "accuracy": accuracy}
        self.log_dict(seen, on_step=True, on_epoch=True, sync_dist=True, batch_size=len(labels))

    def _log_gates(self, gates: GateRecords, images: Tensor) -> None:
        macs = self.subject.image_macs(gates, images).double().mean()
        reached = gates.reached()
        kinds: dict[SiteKind, None] = dict.fromkeys(record.site.kind for record in gates.values())
        rates = {f"open_{kind}": _open_rate(reached.of_kind(kind)) for kind in kinds}
        self.log_dict({"macs": macs, **rates}, on_step=True, on_epoch=False)


def build_optimizer(subject: Subject, recipe: OptimizerRecipe) -> Optimizer:
    """SGD or AdamW over two groups: the network, and its gates by rules of their own (see `OptimizerRecipe`)."""
    network, gates = subject.parameter_groups()
    groups: list[dict[str, Any]] = [
        {"params": network, "weight_decay": recipe.weight_decay, "lr": recipe.lr, "warm_up": recipe.warm_up}
    ]
    if gates:
        decay, rate = _gate_decay(subject, recipe), recipe.lr * recipe.gate_lr_scale
        groups.append({"params": gates, "weight_decay": decay, "lr": rate, "warm_up": recipe.gate_warm_up})
    if recipe.kind == "adamw":
        return AdamW(groups, lr=recipe.lr, betas=recipe.betas)
    return SGD(groups, lr=recipe.lr, momentum=recipe.momentum, nesterov=recipe.nesterov)


def _gate_decay(subject: Subject, recipe: OptimizerRecipe) -> float:
    if recipe.gate_weight_decay == "none":
        return 0.0
    if not isinstance(recipe.gate_weight_decay, str):
        return recipe.gate_weight_decay
    assert isinstance(subject.net, GatedModel)
    return recipe.weight_decay * 20 / sum(site.gates for site in subject.net.sites.values())


def rate_factor(recipe: OptimizerRecipe, warm_up: float = 0.0, total: int = 1) -> Schedule:
    """What a learning rate is multiplied with, as a function of progress.

    Args:
        recipe: its schedule.
        warm_up: share of the training over which the rate climbs from 0.
        total: steps of the training; the first step of a climb is one step up, not 0.
    """
    schedule = _schedule(recipe)
    if not warm_up:
        return schedule
    return lambda progress: schedule(progress) * min(1.0, (progress + 1 / total) / warm_up)


def _schedule(recipe: OptimizerRecipe) -> Schedule:
    match recipe.schedule:
        case "step":
            return steps({0.0: 1.0} | {at: recipe.gamma**n for n, at in enumerate(recipe.milestones, 1)})
        case "cosine":
            return cosine(1, 0)
        case "one-cycle":
            climb, fall = linear(_COLD, 1, finish=_WARM_UP), cosine(1, 0, begin=_WARM_UP)
            return lambda progress: climb(progress) * fall(progress)
        case "polynomial":
            return polynomial(1, 0, recipe.power)


def _at_step(factor: Schedule, total: int, step: int) -> float:
    return factor(step / total)


def _augmentation(recipe: DataRecipe) -> nn.Sequential:
    """On the training device; where workers decode, they mirror images, too."""
    crop = [PadCrop(recipe.augment.pad_crop)] if recipe.augment.pad_crop else []
    flips = recipe.augment.flip and recipe.workers is None
    return nn.Sequential(*crop, *([HorizontalFlip()] if flips else []))


def _open_rate(gates: GateRecords) -> Tensor:
    """[], the share of open gates."""
    return torch.cat([record.open.detach() for record in gates.values()], dim=1).mean()
