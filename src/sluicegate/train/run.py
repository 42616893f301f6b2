"""A recipe in, a run folder out.

    recipe.yaml        what was asked for
    metrics.csv        a row an epoch
    last.ckpt          everything needed to go on, after each epoch
    best.safetensors   the weights of the epoch with the highest test accuracy
    result.json        what the final weights do, and where the numbers come from

`result.json` speaks of the final weights: to choose an epoch by its test accuracy would flatter the number.
"""

import json
import logging
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import jsonargparse
import torch
from lightning import Trainer
from lightning.fabric.utilities.exceptions import MisconfigurationException
from torch import nn

from sluicegate.data import ImageSet
from sluicegate.errors import InputError, one_line
from sluicegate.files import write_json, write_text
from sluicegate.train import callbacks, provenance
from sluicegate.train.build import ImageSets, Subject, build_subject, load_images, load_split
from sluicegate.train.evaluate import Evaluation, MacStatistics, evaluate
from sluicegate.train.module import Classifier
from sluicegate.train.recipe import Recipe, read_recipe, to_yaml
from sluicegate.train.weights import WholeCheckpoints, load_state, load_weights, read_checkpoint

_FOR_LIGHTNING = ("accelerator", "devices", "num_nodes", "strategy", "precision")


@dataclass(frozen=True)
class Best:
    """The epoch with the highest test accuracy, whose weights `best.safetensors` holds."""

    epoch: int
    accuracy: float


@dataclass(frozen=True)
class Result:
    """What a run came to; `result.json` holds the same.

    Attributes:
        name: of the recipe.
        accuracy, images, macs, open_rate, sites: of the final weights on the test images (see `Evaluation`).
        best: the epoch with the highest test accuracy.
        epochs: how many were trained.
        seconds: of training and measuring, summed over the epochs.
        machine, versions, command: where the numbers come from.
    """

    name: str
    accuracy: float
    images: int
    macs: MacStatistics
    open_rate: dict[str, float]
    sites: dict[str, float]
    best: Best
    epochs: int
    seconds: float
    machine: dict[str, Any]
    versions: dict[str, str]
    command: str


def run(
    recipe: Recipe,
    folder: str | os.PathLike[str],
    resume: bool = False,
    data_root: str | os.PathLike[str] | None = None,
    progress: bool = True,
) -> Result:
    """Train by a recipe into a folder.

    Args:
        recipe: what to train.
        folder: the run folder; made anew, or with `resume` one that the same recipe began.
        resume: go on after the last whole epoch; the result is that of an uninterrupted run, bit by bit on a CPU. Of a
            finished run it is handed out as it is.
        data_root: folder of the data set (`--data-dir`).
        progress: show the training on standard error.

    Raises:
        InputError: the folder has a run already (or, resuming, another recipe's), or the recipe cannot be built.
        RunError: the loss is not finite, or the checkpoint cannot be read.
    """
    folder = Path(folder)
    _check_folder(folder, recipe, resume)
    if resume and (folder / "result.json").exists():
        return read_result(folder)
    images = load_images(recipe.data, data_root)
    subject = build_subject(recipe, images.train)
    metrics = callbacks.Metrics(folder / "metrics.csv")
    best = callbacks.BestWeights(folder / "best.safetensors")
    checkpoint = folder / "last.ckpt"
    with _quiet():
        trainer = _trainer(recipe, folder, _callbacks(recipe, metrics, best, checkpoint, progress))
        module = Classifier(subject, images, recipe)
        _claim(folder, recipe)
        trainer.fit(module, ckpt_path=checkpoint if resume and checkpoint.exists() else None)
        device = trainer.strategy.root_device
    return _finish(recipe, folder, subject, images, device, metrics, best)


def load_run(
    folder: str | os.PathLike[str],
    images: ImageSet | None = None,
    weights: str | os.PathLike[str] | None = None,
) -> tuple[Recipe, nn.Module]:
    """The recipe of a run and its network, in evaluation mode.

    Args:
        folder: a run folder.
        images: tell the input's shape and the classes; the recipe's test images are loaded if None.
        weights: a safetensors file such as the run's `best.safetensors`; the weights of the last whole epoch if None.

    Raises:
        InputError: the folder holds no run, or the weights are another network's.
        RunError: the checkpoint cannot be read.
    """
    recipe = read_run_recipe(folder)
    images = load_split(recipe.data, "test", None) if images is None else images
    net = build_subject(recipe, images, read_files=False).net
    if weights is None:
        _load_last(net, Path(folder) / "last.ckpt")
    else:
        load_weights(net, weights)
    return recipe, net.eval()


def read_run_recipe(folder: str | os.PathLike[str]) -> Recipe:
    """The recipe that a run folder was made by.

    Raises:
        InputError: the folder holds no run.
    """
    path = Path(folder) / "recipe.yaml"
    if not path.is_file():
        raise InputError(f"run: {str(folder)!r} is not a run folder: it has no recipe.yaml")
    return read_recipe(path)


def _load_last(net: nn.Module, path: Path) -> None:
    state = read_checkpoint(path).get("state_dict", {})
    weights = {name.removeprefix("net."): tensor for name, tensor in state.items() if name.startswith("net.")}
    load_state(net, weights, source=str(path))


def read_result(folder: str | os.PathLike[str]) -> Result:
    """The result of a finished run.

    Raises:
        InputError: there is none, or the file is damaged.
    """
    path = Path(folder) / "result.json"
    parser = jsonargparse.ArgumentParser(exit_on_error=False)
    parser.add_class_arguments(Result)
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        return Result(**parser.instantiate(parser.parse_object(values)))
    except (OSError, ValueError, jsonargparse.ArgumentError) as error:
        raise InputError(f"run: {str(path)!r} is not the result of a finished run: {one_line(error)}") from error


def _check_folder(folder: Path, recipe: Recipe, resume: bool) -> None:
    """See that no other run has the folder."""
    known = folder / "recipe.yaml"
    if not provenance.is_first_process():
        return
    if known.exists() and not resume:
        raise InputError(
            f"out: {str(folder)!r} holds a run already; go on with --resume, or name another folder with --out"
        )
    if known.exists() and read_recipe(known) != recipe:
        raise InputError(
            f"resume: the run in {str(folder)!r} was begun with another recipe; give the one in its recipe.yaml"
        )


def _claim(folder: Path, recipe: Recipe) -> None:
    """Make the folder this run's own, once all that the recipe names is there."""
    if provenance.is_first_process():
        write_text(folder / "recipe.yaml", to_yaml(recipe))


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
            logger=False,
            use_distributed_sampler=False,  # `Batches` gives each process its rows
            enable_progress_bar=False,
            enable_model_summary=False,
            num_sanity_val_steps=0,
        )
    except (ValueError, TypeError, RuntimeError, MisconfigurationException) as error:
        asked = ", ".join(f"{name}={getattr(recipe, name)}" for name in _FOR_LIGHTNING)
        raise InputError(f"recipe: this machine cannot train with {asked}: {one_line(error)}") from error


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
        best=Best(best.epoch, best.accuracy),
        epochs=len(metrics.rows),
        seconds=round(sum(row["seconds"] for row in metrics.rows), 3),
        **provenance.provenance(),
    )
    if provenance.is_first_process():
        write_json(folder / "result.json", asdict(result))
    return result
