"""Recipes: everything that fixes a training run, as frozen dataclasses; YAML in and out, `key=value` on top.

    name: dlcg-resnet20-cifar10
    data: {name: cifar10, batch_size: 256}
    net: {name: resnet20}
    method: {name: dlcg, options: {layer_weight: 0.05, channel_weight: linear(0, 0.1)}}
    optimizer: {lr: 0.1, schedule: step, milestones: [0.5, 0.75, 0.9375]}
    epochs: 400

Milestones are fractions of the training, so `epochs=3` shrinks a recipe of 400 epochs and keeps its shape.

A recipe that starts from a trained network says so in `net.weights`, and in `distillation`, `budget`, `fit` and
`average` what is done with it (docs/finetune.md). A recipe with `stages` is several trainings, one after another
(`train/stages.py`).
"""

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import jsonargparse
import yaml

from sluicegate.errors import InputError, one_line


def _at_least(name: str, value: float, least: float) -> None:
    if not value >= least:
        raise InputError(f"{name}: {value} is below {least}")


def _positive(name: str, value: float) -> None:
    if not value > 0:
        raise InputError(f"{name}: {value} is not above 0")


@dataclass(frozen=True)
class AugmentRecipe:
    """Random changes to the training images, drawn for each image: `pad_crop` pixels of padding, `flip` left-right.

    `crop_scale`, `jitter` and `rand_augment` are those of `sluicegate.data.Augment`, and need `data.workers`.
    """

    pad_crop: int = 0
    flip: bool = False
    crop_scale: tuple[float, float] | None = None
    jitter: float = 0.0
    rand_augment: int | None = None

    def __post_init__(self) -> None:
        _at_least("data.augment.pad_crop", self.pad_crop, 0)


@dataclass(frozen=True)
class DataRecipe:
    """A data set and its batches. `batch_size` is that of all processes together.

    `normalize`: whose mean and std to use, where a trained network wants those: `imagenet`, a known data set, or the
    numbers, "0.5,0.5,0.5/0.25,0.25,0.25"; the set's own if None. `holdout`: so many training images, drawn once for
    all, are measured on in place of the test images and not trained on: settings are chosen on them. `workers`: of a
    set larger than memory, how many processes decode it while it is used; None: it is held in memory.
    """

    name: str
    batch_size: int = 256
    augment: AugmentRecipe = AugmentRecipe()
    limit_train: int | None = None
    limit_test: int | None = None
    size: int | None = None
    normalize: str | None = None
    holdout: int | None = None
    workers: int | None = None

    def __post_init__(self) -> None:
        _at_least("data.batch_size", self.batch_size, 1)
        if self.workers is not None:
            _at_least("data.workers", self.workers, 0)
        for name, none in (("crop_scale", None), ("jitter", 0), ("rand_augment", None)):
            if self.workers is None and (given := getattr(self.augment, name)) != none:
                raise InputError(f"data.augment.{name}: {given} needs data.workers: it is they who draw it")
        for name in ("limit_train", "limit_test", "size", "holdout"):
            if getattr(self, name) is not None:
                _at_least(f"data.{name}", getattr(self, name), 1)


@dataclass(frozen=True)
class NetRecipe:
    """A network by name (`sluicegate.nets.build_net`), its options, and weights to start from.

    `weights`: a file (safetensors, or a state dict that torch saved), or `pretrained` for those that the network's own
    library has.
    """

    name: str
    options: dict[str, Any] = field(default_factory=dict)
    weights: str | None = None


@dataclass(frozen=True)
class MethodRecipe:
    """A preset of `sluicegate.methods` by name, and its options; a weight may be a schedule: `linear(0, 0.1)`."""

    name: str = "dense"
    options: dict[str, Any] = field(default_factory=dict)


Shape = Literal["linear", "cosine"]
"""How a target goes from its start to its end: in a straight line, or along half a cosine wave, which is LAUDNet's
cos^2: (1 + cos(pi u)) / 2 = cos^2(pi u / 2)."""


@dataclass(frozen=True)
class BudgetRecipe:
    """A share of the plain network's MACs (`macs`), or of all gates that are open (`rate`), to train towards.

    The target falls from `start` to the share over the first `tighten` of the training (stochastic gates, S1.1, anneals
    it in steps; LAUDNet by cos^2), and stays. The squared distance is added to the loss at `weight`; `free="below"`
    lets a network be cheaper for nothing.
    """

    macs: float | None = None
    rate: float | None = None
    weight: float = 10.0
    start: float = 1.0
    tighten: float = 0.3
    shape: Shape = "linear"
    free: Literal["below"] | None = None

    def __post_init__(self) -> None:
        if self.macs is not None and self.rate is not None:
            raise InputError(f"budget: macs {self.macs:g} and rate {self.rate:g}; one of them at most may be given")
        for name in ("macs", "rate", "start"):
            if (share := getattr(self, name)) is not None and not 0 < share <= 1:
                raise InputError(f"budget.{name}: {share} is not in (0, 1]")
        _positive("budget.weight", self.weight)
        _check_tightening("budget", self.start, self.tighten)


def _check_tightening(name: str, start: float, tighten: float) -> None:
    _positive(f"{name}.start", start)
    if not 0 <= tighten <= 1:
        raise InputError(f"{name}.tighten: {tighten} is not in [0, 1], a share of the training")


@dataclass(frozen=True)
class DistillationRecipe:
    """A teacher's word beside the labels (Hinton et al. 2015): loss = (1 - weight) task + weight T^2 KL(teacher, net).

    `teacher`, `teacher_weights`, `teacher_options`: the network that teaches, as in a `NetRecipe`; the recipe's own
    network as it came if None. It is frozen. A `weight` of 0 means none.
    """

    weight: float = 0.0
    temperature: float = 4.0
    teacher: str | None = None
    teacher_weights: str | None = None
    teacher_options: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not 0 <= self.weight <= 1:
            raise InputError(f"distillation.weight: {self.weight} is not in [0, 1]")
        _positive("distillation.temperature", self.temperature)
        if (self.teacher is None) != (self.teacher_weights is None):
            raise InputError(
                f"distillation: teacher {self.teacher}, teacher_weights {self.teacher_weights}; "
                "both must be given, or none"
            )

    @property
    def net(self) -> NetRecipe | None:
        """The teacher, if one is named."""
        if self.teacher is None:
            return None
        return NetRecipe(self.teacher, self.teacher_options, self.teacher_weights)


@dataclass(frozen=True)
class FitRecipe:
    """Gates fitted to what channels contribute, before the first epoch (`train/fitting.py`); `steps` 0 means not."""

    steps: int = 0
    open_rate: float = 0.6
    lr: float = 0.01
    softness: float = 0.0

    def __post_init__(self) -> None:
        _at_least("fit.steps", self.steps, 0)
        if not 0 < self.open_rate < 1:
            raise InputError(f"fit.open_rate: {self.open_rate} is not in (0, 1)")
        _positive("fit.lr", self.lr)
        _at_least("fit.softness", self.softness, 0)


@dataclass(frozen=True)
class LatencyRecipe:
    """Train towards `ms` milliseconds for an image on the machine that `table` was measured on (docs/latency.md).

    The objective is added to the method's own, at `weight`. `sluicegate profile RECIPE` writes the table.
    `start` (a share of the plain network's milliseconds), `tighten` and `shape` are those of a `BudgetRecipe`.
    """

    table: str | None = None
    ms: float | None = None
    weight: float = 10.0
    start: float = 1.0
    tighten: float = 0.0
    shape: "Shape" = "linear"

    def __post_init__(self) -> None:
        _check_tightening("latency", self.start, self.tighten)
        if (self.table is None) != (self.ms is None):
            raise InputError(f"latency: table {self.table}, ms {self.ms}; both must be given, or none")
        if self.ms is not None:
            _positive("latency.ms", self.ms)
        _positive("latency.weight", self.weight)


@dataclass(frozen=True)
class OptimizerRecipe:
    """SGD (`momentum`, `nesterov`) or AdamW (`betas`). Gates learn at `lr * gate_lr_scale`.

    `milestones` are fractions of the training, as are `warm_up` and `gate_warm_up`: over that share of it the rate of
    the network, or of the gates, climbs from 0 in a straight line, on top of the schedule.

    `gate_weight_decay`: "none" (DLCG 4.1), or "per_gate": 20 / |G| of the network's for |G| gates (stochastic gates 3.2
    and 4.1: the decay adds over gates, whose objective is an average, and pulls their rates towards one half).
    """

    lr: float = 0.1
    momentum: float = 0.9
    nesterov: bool = True
    weight_decay: float = 5e-4
    gate_lr_scale: float = 1.0
    gate_weight_decay: Literal["none", "per_gate"] = "none"
    schedule: Literal["step", "cosine", "one-cycle"] = "step"
    milestones: tuple[float, ...] = (0.5, 0.75, 0.9375)
    gamma: float = 0.1
    kind: Literal["sgd", "adamw"] = "sgd"
    betas: tuple[float, float] = (0.9, 0.999)
    warm_up: float = 0.0
    gate_warm_up: float = 0.0

    def __post_init__(self) -> None:
        for name in ("warm_up", "gate_warm_up"):
            if not 0 <= getattr(self, name) < 1:
                raise InputError(f"optimizer.{name}: {getattr(self, name)} is not in [0, 1), a share of the training")
        if not all(0 <= beta < 1 for beta in self.betas):
            raise InputError(f"optimizer.betas: {list(self.betas)} are not in [0, 1)")
        for name in ("lr", "gate_lr_scale", "gamma"):
            _positive(f"optimizer.{name}", getattr(self, name))
        _at_least("optimizer.weight_decay", self.weight_decay, 0)
        if not 0 <= self.momentum < 1:
            raise InputError(f"optimizer.momentum: {self.momentum} is not in [0, 1)")
        if self.nesterov and self.momentum == 0:
            raise InputError("optimizer.nesterov: true with momentum 0; Nesterov's step needs momentum > 0")
        if list(self.milestones) != sorted(set(self.milestones)) or not all(0 < at < 1 for at in self.milestones):
            raise InputError(
                f"optimizer.milestones: {list(self.milestones)} must rise within (0, 1): fractions of the training"
            )


@dataclass(frozen=True)
class StageRecipe:
    """One of several trainings: its name, and what differs from the recipe, as in `key=value`: {"optimizer.lr": 0.1}.

    Where a file of weights is asked for, `stage:NAME` stands for the final weights of the earlier stage NAME.
    """

    name: str
    changes: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[A-Za-z0-9][\w.-]*", self.name):
            raise InputError(f"stages: {self.name!r} is no name; letters, digits, '_', '-' and '.' make one")
        if inner := next((key for key in self.changes if key.partition(".")[0] in ("stages", "name")), None):
            raise InputError(f"stages: {self.name} changes {inner!r}, which is the whole recipe's")


@dataclass(frozen=True)
class Recipe:
    """One training run. `devices`, `num_nodes`, `strategy`, `accelerator` and `precision` go to Lightning as they are.

    `start`: a file of the whole network's weights, gates included, to start from; `net.weights` are those of the plain
    network. `recalibration`: batches that renew the statistics of batch norms after the last step
    (`train/recalibrate.py`). `average`: the decay of a moving average of the weights, such as 0.999, which is measured
    and kept in place of the weights (`train/averaging.py`); 0 means none.

    Raises:
        InputError: a value outside its range; the message names it.
    """

    name: str
    data: DataRecipe
    net: NetRecipe
    method: MethodRecipe = MethodRecipe()
    optimizer: OptimizerRecipe = OptimizerRecipe()
    batch_norm: Literal["train", "frozen"] = "train"
    recalibration: int = 0
    epochs: int = 400
    seed: int = 0
    precision: Literal["32-true", "16-mixed", "bf16-mixed", "64-true"] = "32-true"
    accelerator: str = "auto"
    devices: int | str = 1
    num_nodes: int = 1
    strategy: str = "auto"
    latency: LatencyRecipe = LatencyRecipe()
    start: str | None = None
    budget: BudgetRecipe = BudgetRecipe()
    distillation: DistillationRecipe = DistillationRecipe()
    fit: FitRecipe = FitRecipe()
    label_smoothing: float = 0.0
    average: float = 0.0
    stages: tuple[StageRecipe, ...] = ()

    def __post_init__(self) -> None:
        _at_least("epochs", self.epochs, 1)
        for name in ("label_smoothing", "average"):
            if not 0 <= getattr(self, name) < 1:
                raise InputError(f"{name}: {getattr(self, name)} is not in [0, 1)")
        names = [stage.name for stage in self.stages]
        if twice := next((name for name in names if names.count(name) > 1), None):
            raise InputError(f"stages: {twice!r} is there twice")
        _at_least("recalibration", self.recalibration, 0)
        if self.recalibration and self.batch_norm == "frozen":
            raise InputError(
                f"recalibration: {self.recalibration} batches with batch_norm frozen; one excludes the other"
            )
        _at_least("seed", self.seed, 0)
        _at_least("num_nodes", self.num_nodes, 1)


def override(recipe: Recipe, assignments: Sequence[str]) -> Recipe:
    """The recipe with `key=value` on top: `epochs=3`, `optimizer.lr=0.05`, `method.options.layer_weight=0.1`.

    Raises:
        InputError: an unknown key, a value of the wrong type or outside its range.
    """
    for assignment in assignments:
        if "=" not in assignment.lstrip("="):
            raise InputError(f"recipe: {assignment!r} is not an override; the form is key=value")
    return _parse(asdict(recipe), [f"--{assignment}" for assignment in assignments], source="recipe")


def from_yaml(text: str, source: str = "recipe") -> Recipe:
    """A recipe from YAML text; `source` (a file's name) is named in errors.

    Raises:
        InputError: not YAML, an unknown or missing key, a value of the wrong type or outside its range.
    """
    try:
        values = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise InputError(f"{source}: not YAML: {one_line(error)}") from error
    if not isinstance(values, Mapping):
        raise InputError(f"{source}: a recipe is a mapping of keys to values, not {type(values).__name__}")
    return from_values(values, source)


def from_values(values: Mapping[str, Any], source: str = "recipe") -> Recipe:
    """A recipe from plain values, as `dataclasses.asdict` makes them.

    Raises:
        InputError: as for `from_yaml`.
    """
    return _parse(dict(values), [], source)


def to_yaml(recipe: Recipe) -> str:
    """YAML text that `from_yaml` reads back to an equal recipe."""
    return yaml.safe_dump(_plain(asdict(recipe)), sort_keys=False)


def read_recipe(path: str | os.PathLike[str]) -> Recipe:
    """The recipe in a YAML file.

    Raises:
        InputError: the file cannot be read, or holds no valid recipe.
    """
    try:
        text = Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"recipe: {str(path)!r} cannot be read: {one_line(error)}") from error
    return from_yaml(text, source=str(path))


def _parse(values: dict[str, Any], arguments: list[str], source: str) -> Recipe:
    parser = jsonargparse.ArgumentParser(exit_on_error=False, allow_abbrev=False)
    parser.add_class_arguments(Recipe)
    try:
        config = parser.parse_args(arguments, namespace=parser.parse_object(_plain(values)))
        return Recipe(**parser.instantiate(config))
    except jsonargparse.ArgumentError as error:
        raise InputError(f"{source}: {_readable(error)}") from error


def _readable(error: Exception) -> str:
    text = re.sub(r"<class '(\w+)'>", r"\1", one_line(error)).replace("typing.", "")
    text = text.replace("unrecognized arguments: --", "no such key: ")
    return re.sub(r'^Parser key "([^"]+)": ', r"\1: ", text)


def _plain(value: Any) -> Any:
    """The same value with tuples as lists, which is what YAML knows."""
    match value:
        case Mapping():
            return {key: _plain(item) for key, item in value.items()}
        case list() | tuple():
            return [_plain(item) for item in value]
    return value
