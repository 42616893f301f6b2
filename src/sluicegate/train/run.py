"""A recipe in, a run folder out (see `folder.py`)."""

import logging
import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from lightning import Trainer
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch.loggers import CSVLogger, Logger, TensorBoardLogger
from torch import nn

from sluicegate.data import DataSpec, worker_errors
from sluicegate.errors import InputError, SluicegateError, one_line
from sluicegate.files import write_json
from sluicegate.lowering import check_exportable
from sluicegate.train import callbacks, provenance
from sluicegate.train.build import ImageSets, Subject, build_subject, build_task, load_images
from sluicegate.train.evaluate import Evaluation, evaluate
from sluicegate.train.exporting import export_net
from sluicegate.train.folder import (
    Best,
    Result,
    check_folder,
    check_spec,
    claim,
    is_finished,
    read_result,
    read_run_recipe,
    read_run_spec,
)
from sluicegate.train.module import Classifier
from sluicegate.train.recipe import Recipe
from sluicegate.train.weights import WholeCheckpoints, load_state, load_weights, read_checkpoint, save_weights

_FOR_LIGHTNING = ("accelerator", "devices", "num_nodes", "strategy", "precision")


def run(
    recipe: Recipe,
    folder: str | os.PathLike[str],
    resume: bool = False,
    data_dir: str | os.PathLike[str] | None = None,
    progress: bool = True,
) -> Result:
    """Train by a recipe into a folder.

    Args:
        recipe: what to train.
        folder: the run folder; made anew, or with `resume` one that the same recipe began.
        resume: continue after the last complete epoch. The result equals that of an uninterrupted run, bit by bit on a
            CPU. The result of a finished run is returned as it is. If the recipe has more epochs than the run, training
            continues, and schedules continue from their place in the longer training.
        data_dir: folder of the data set (`--data-dir`).
        progress: show the training on standard error.

    Raises:
        InputError: the folder has a run already (or, resuming, one that differs in more than epochs), or the recipe
            cannot be built.
        RunError: the loss is not finite, or the checkpoint cannot be read.
    """
    folder = Path(folder)
    if provenance.is_first_process():
        check_folder(folder, recipe, resume)
    if resume and is_finished(folder, recipe):
        return read_result(folder)
    images = load_images(recipe.data, data_dir)
    build_task(recipe.task).check(images.train)
    subject = build_subject(recipe, images.train, for_training=True)
    measured = _measured(recipe, subject, images)
    if provenance.is_first_process():
        _say_if_not_exportable(measured.net, images.test.spec)
    metrics = callbacks.Metrics(folder / "metrics.csv")
    best = callbacks.BestWeights(folder / "best.safetensors")
    checkpoint = folder / "last.ckpt"
    with _quiet():
        trainer = _trainer(recipe, folder, _callbacks(recipe, metrics, best, checkpoint, progress))
        module = Classifier(subject, images, recipe, measured)
        if provenance.is_first_process():
            check_spec(folder, images.test.spec)
            claim(folder, recipe, images.test.spec)
        with worker_errors():
            trainer.fit(module, ckpt_path=checkpoint if resume and checkpoint.exists() else None)
        device = trainer.strategy.root_device
    return _finish(recipe, folder, measured, images, device, metrics, best)


def _measured(recipe: Recipe, subject: Subject, images: ImageSets) -> Subject:
    """The network for whole test images, where training has crops, or returns more than is measured."""
    if subject.auxiliary is None and images.test.shape == images.train.shape:
        return subject
    return build_subject(recipe, images.test, read_files=False)


def load_run(
    folder: str | os.PathLike[str], weights: str | os.PathLike[str] | None = None, spec: DataSpec | None = None
) -> tuple[Recipe, nn.Module]:
    """The recipe of a run and its network, in evaluation mode; the data set is not needed.

    Args:
        folder: a run folder.
        weights: a safetensors file such as the run's `best.safetensors`; the weights of the last whole epoch if None.
        spec: of the images that the network is for; the run's own if None (MACs are those of images of this shape).

    Raises:
        InputError: the folder holds no run, or the weights are another network's.
        RunError: the checkpoint cannot be read.

    Example:
        recipe, net = load_run("runs/digits")
        spec = read_run_spec("runs/digits")
        scores = net(Normalize(spec.mean, spec.std)(images))  # uint8 [N, C, H, W] -> [N, K]
    """
    folder = Path(folder)
    recipe = read_run_recipe(folder)
    net = build_subject(recipe, spec or read_run_spec(folder), read_files=False).net
    final = folder / "final.safetensors"
    if weights is not None or final.exists():
        load_weights(net, weights or final)
    else:
        _load_last(net, folder / "last.ckpt")
    return recipe, net.eval()


def _load_last(net: nn.Module, path: Path) -> None:
    state = read_checkpoint(path).get("state_dict", {})
    weights = {name.removeprefix("net."): tensor for name, tensor in state.items() if name.startswith("net.")}
    load_state(net, weights, source=str(path))


def _callbacks(
    recipe: Recipe, metrics: callbacks.Metrics, best: callbacks.BestWeights, checkpoint: Path, progress: bool
) -> list[Any]:
    """In the order of their turn at an epoch's end: a loss that is not finite must reach no file."""
    return [
        callbacks.EpochSeed(recipe.seed),
        *([callbacks.FrozenBatchNorm()] if recipe.batch_norm == "frozen" else []),
        callbacks.FiniteLoss(),
        *([callbacks.FittedGates(recipe.fit)] if recipe.fit.steps else []),
        metrics,
        best,
        *([callbacks.AveragedWeights(recipe.average)] if recipe.average else []),
        *([callbacks.Recalibration(recipe.recalibration)] if recipe.recalibration else []),
        *([callbacks.ProgressLines()] if progress else []),
        callbacks.LastCheckpoint(checkpoint),
    ]


def _trainer(recipe: Recipe, folder: Path, run_callbacks: list[Any]) -> Trainer:
    try:
        return Trainer(
            **{name: getattr(recipe, name) for name in _FOR_LIGHTNING},
            max_epochs=recipe.epochs,
            callbacks=run_callbacks,
            plugins=[WholeCheckpoints()],
            default_root_dir=folder,
            logger=_logger(recipe, folder),
            use_distributed_sampler=False,  # `Batches` gives each process its rows
            enable_progress_bar=False,
            enable_model_summary=False,
            num_sanity_val_steps=0,
        )
    except (ValueError, TypeError, RuntimeError, MisconfigurationException) as error:
        asked = ", ".join(f"{name}={getattr(recipe, name)}" for name in _FOR_LIGHTNING)
        raise InputError(f"recipe: this machine cannot train with {asked}: {one_line(error)}") from error


def _logger(recipe: Recipe, folder: Path) -> Logger | bool:
    """A log of its own for each time that a run goes on, so that none is written over."""
    if recipe.logger == "csv":
        return CSVLogger(folder / "logs", name=None)
    if recipe.logger == "none":
        return False
    try:
        return TensorBoardLogger(folder / "logs", name=None)
    except ModuleNotFoundError as error:
        raise InputError("logger: tensorboard needs the package tensorboardX or tensorboard") from error


@contextmanager
def _quiet() -> Iterator[None]:
    """Without Lightning's tips and warnings, of which none is the user's to act on."""
    loggers = [logging.getLogger(name) for name in ("lightning.pytorch", "lightning.fabric")]
    levels = [logger.level for logger in loggers]
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module="lightning.*")
        warnings.filterwarnings("ignore", message=".*", category=UserWarning, module="torch.optim.lr_scheduler")
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        try:
            yield
        finally:
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)


def _finish(
    recipe: Recipe,
    folder: Path,
    subject: Subject,
    images: ImageSets,
    device: torch.device,
    metrics: callbacks.Metrics,
    best: callbacks.BestWeights,
) -> Result:
    measured: Evaluation = evaluate(subject, images.test, device=device, batch_size=recipe.data.batch_size)
    result = Result(
        name=recipe.name,
        accuracy=measured.accuracy,
        images=measured.images,
        macs=measured.macs,
        open_rate=measured.open_rate,
        sites=measured.sites,
        mean_iou=measured.mean_iou,
        class_iou=measured.class_iou,
        best=Best(best.epoch, best.accuracy),
        epochs=len(metrics.rows),
        seconds=round(sum(row["seconds"] for row in metrics.rows), 3),
        **provenance.provenance(),
    )
    if provenance.is_first_process():
        save_weights(subject.net, folder / "final.safetensors")
        write_json(folder / "result.json", asdict(result))
        _export(folder)
    return result


def _say_if_not_exportable(net: nn.Module, spec: DataSpec) -> None:
    """Before the first epoch: whoever trains for the engine may then change the network, and lose no time."""
    try:
        check_exportable(net, torch.zeros(1, *spec.shape))
    except SluicegateError as error:
        print(f"sluicegate: note: no file can be made for the engine: {one_line(error)}", file=sys.stderr)


def _export(folder: Path) -> None:
    """A network that the engine has no op for was trained all the same."""
    try:
        export_net(load_run(folder)[1], read_run_spec(folder), folder / "model.sluice")
    except SluicegateError as error:
        print(f"sluicegate: note: no {folder / 'model.sluice'}: {one_line(error)}", file=sys.stderr)
