"""The verb `finetune`: from a trained network to a cheaper one of about the same accuracy.

    net, weights, images ─► recipe ─► run folder: recipe.yaml, metrics.csv, ..., model.sluice, finetune.json

`finetune.json` has accuracy, MACs and milliseconds of the network before and after.
"""

import json
import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, get_args

from sluicegate.data import Images
from sluicegate.errors import InputError, one_line
from sluicegate.files import write_json, write_text
from sluicegate.nets import statistics_of
from sluicegate.train import provenance
from sluicegate.train.build import PRETRAINED, build_plain, build_subject, build_task, load_split
from sluicegate.train.evaluate import evaluate
from sluicegate.train.exporting import export_net
from sluicegate.train.folder import check_folder, is_finished
from sluicegate.train.loop import TuningOptions
from sluicegate.train.products import timed_pixels
from sluicegate.train.ranges import one_of
from sluicegate.train.recipe import (
    AugmentRecipe,
    BudgetRecipe,
    DataRecipe,
    DistillationRecipe,
    LatencyRecipe,
    NetRecipe,
    Recipe,
)
from sluicegate.train.run import run
from sluicegate.train.tuning_recipes import TargetKind
from sluicegate_runtime import Session, load_program, measure_latency, time_sessions

TABLE = "latency.json"  # in the run folder, if the caller names no table
_HOW = TuningOptions()
_IMAGENET = statistics_of("torchvision:")


@dataclass(frozen=True)
class Measured:
    """A network on the test images: accuracy in [0, 1], mean MACs of an image, milliseconds of one in the engine."""

    accuracy: float
    macs: float
    ms: float


@dataclass(frozen=True)
class Finetuned:
    """The result of `finetune`: the network before and after."""

    name: str
    before: Measured
    after: Measured
    images: int
    epochs: int
    seconds: float
    file: str
    machine: dict[str, Any]
    versions: dict[str, str]
    command: str


def finetune_recipe(
    net: str,
    weights: str,
    data: str,
    target: float = 0.5,
    kind: TargetKind = "macs",
    epochs: int = 20,
    size: int | None = None,
    normalize: str | None = None,
    teacher: str | None = None,
    table: str | None = None,
    workers: int | None = None,
) -> Recipe:
    """The recipe that adds gates to a trained network and fine-tunes it (docs/finetune.md gives the reasons).

    Args:
        net: as `build_net` takes it.
        weights: a file, or "pretrained".
        data: a data set by name, or a folder.
        target: in the unit of `kind`: share of MACs or of open gates in (0, 1], or milliseconds.
        kind: "macs", "rate", or "ms", which needs a latency `table`.
        epochs: epochs of training.
        size: resize and crop images to this size in pixels; needed if they differ in size.
        normalize: source of mean and std; default: ImageNet's for pretrained weights, otherwise the data set's own.
        teacher: NET=WEIGHTS of another network, or "none"; None: the original network.
        table: measured by `sluicegate profile RUN`.
        workers: number of processes that decode images during training; None: hold all images in memory.

    Raises:
        InputError: a value outside its range.

    Example:
        >>> recipe = finetune_recipe("resnet20", "resnet20.safetensors", "cifar10", target=0.5)
        >>> run(recipe, "runs/half")
    """
    one_of("kind", kind, get_args(TargetKind))
    name = _data_name(data)
    return Recipe(
        name=run_name(net, data, target),
        data=DataRecipe(
            name,
            128,
            _augmentation(name, workers),
            size=size,
            normalize=_statistics(net, weights, normalize),
            workers=workers,
        ),
        net=NetRecipe(net, weights=weights),
        method=_HOW.method,
        optimizer=_HOW.optimizer,
        budget=_budget(target, kind),
        latency=_HOW.budget.in_milliseconds(table, target) if kind == "ms" else LatencyRecipe(),
        distillation=_distillation(teacher),
        fit=_HOW.fit if kind == "ms" else replace(_HOW.fit, open_rate=_between(0.2, target)),
        recalibration=_HOW.recalibration,
        average=_HOW.average,
        epochs=epochs,
    )


def run_name(net: str, data: str, target: float) -> str:
    """What a fine-tune is called, if nobody names it."""
    return f"finetune-{net.replace(':', '-')}-{_data_name(data)}-{target:g}"


def finetune(
    recipe: Recipe,
    folder: Path,
    resume: bool = False,
    data_dir: Path | None = None,
    threads: int = 1,
    progress: bool = True,
    note: Callable[[str], None] = lambda line: None,
) -> Finetuned:
    """Train by a recipe that starts from a trained network; measure both, export the gated one.

    Args:
        recipe: such as `finetune_recipe` makes.
        folder: the run folder.
        resume, data_dir, progress: as for `run`.
        threads: of the engine, for milliseconds.
        note: called with lines that say what happens.

    Raises:
        InputError, RunError: as for `run`; or the engine has no op for a part of the network, which is checked before
            the first epoch.
    """
    done, file = folder / "finetune.json", folder / "model.sluice"
    check_folder(folder, recipe, resume)
    if resume and done.exists() and is_finished(folder, recipe):
        return read_finetuned(folder)
    test = load_split(recipe.data, "test", data_dir)
    build_task(recipe.task).check(test)
    _check_exportable(recipe, test, folder, threads)
    accuracy, dense = _as_it_came(recipe, test)
    note(f"as it came: accuracy {accuracy:.2%}, {dense / 1e6:.2f} million MACs")
    result = run(recipe, folder, resume, data_dir, progress)
    ms = _milliseconds(recipe, test, file, threads)
    found = Finetuned(
        name=recipe.name,
        before=Measured(accuracy, dense, ms["before"]),
        after=Measured(result.accuracy, result.macs.mean, ms["after"]),
        images=result.images,
        epochs=result.epochs,
        seconds=result.seconds,
        file=str(file),
        **provenance.provenance(),
    )
    write_json(done, asdict(found))
    return found


def read_finetuned(folder: Path) -> Finetuned:
    """What an earlier `finetune` wrote.

    Raises:
        InputError: the file is damaged.
    """
    path = folder / "finetune.json"
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        both = {name: Measured(**values.pop(name)) for name in ("before", "after")}
        return Finetuned(**both, **values)
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise InputError(f"run: {str(path)!r} is not what finetune wrote: {one_line(error)}") from error


def _data_name(data: str) -> str:
    return Path(data).resolve().name if Path(data).is_dir() else data


def _augmentation(name: str, workers: int | None) -> AugmentRecipe:
    """Crops for what is streamed, shifts for the sets in memory, mirror images for those that are not digits."""
    if workers is not None:
        return AugmentRecipe(crop_scale=(0.35, 1.0), flip=True)
    if name in ("digits", "mnist"):
        return AugmentRecipe(pad_crop=2)
    return AugmentRecipe(pad_crop=4, flip=True)


def _statistics(net: str, weights: str, asked: str | None) -> str | None:
    """Whose mean and std: those that pretrained weights were trained with."""
    if asked is not None or weights != PRETRAINED:
        return asked
    if (known := statistics_of(net)) not in (None, _IMAGENET):
        assert known is not None
        return "/".join(",".join(f"{value:g}" for value in values) for values in known)
    return "imagenet"


def _between(share: float, target: float) -> float:
    """So much of the way from a target back to the whole network, but never quite there."""
    return min(target + share * (1 - target), 0.95)


def _budget(target: float, kind: TargetKind) -> BudgetRecipe:
    if kind == "ms":
        return BudgetRecipe()
    return replace(_HOW.budget, start=_between(0.3, target)).aimed_at(target, kind)


def _distillation(teacher: str | None) -> DistillationRecipe:
    if teacher == "none":
        return DistillationRecipe()
    if teacher is None:
        return _HOW.distillation
    name, _, weights = teacher.partition("=")
    if not (name and weights):
        raise InputError(f"teacher: {teacher!r} must be NET=WEIGHTS, such as resnet56=resnet56.safetensors, or none")
    return replace(_HOW.distillation, teacher=name, teacher_weights=weights)


def _as_it_came(recipe: Recipe, test: Images) -> tuple[float, float]:
    """Accuracy and MACs of the network before anything is done to it."""
    measured = evaluate(build_plain(recipe.net, test), test)
    return measured.accuracy, measured.macs.mean


def _check_exportable(recipe: Recipe, test: Images, folder: Path, threads: int) -> None:
    """Refuse before the first epoch what could not be exported after the last; and while the file is there, measure
    the latency table that a target in milliseconds needs, unless the caller has one."""
    table = folder / TABLE
    with tempfile.TemporaryDirectory() as scratch:
        untrained = build_subject(recipe, test, read_files=False).net.eval()
        file = export_net(untrained, test, Path(scratch) / "model.sluice")
        if recipe.latency.table == str(table) and not table.exists():
            write_text(
                table,
                replace(measure_latency(load_program(file), threads), came_from=provenance.provenance()).to_json(),
            )


def _milliseconds(recipe: Recipe, test: Images, file: Path, threads: int) -> dict[str, float]:
    """Of one image, of the network as it came and of a file, measured in turns."""
    with tempfile.TemporaryDirectory() as scratch:
        dense = export_net(build_plain(recipe.net, test).eval(), test, Path(scratch) / "dense.sluice")
        sessions = {"before": Session(dense, threads), "after": Session(file, threads)}
        return time_sessions(sessions, timed_pixels(test))
