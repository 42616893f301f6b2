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
from functools import cache
from pathlib import Path
from typing import Any, Literal

import jsonargparse
import yaml

from sluicegate.errors import InputError, one_line
from sluicegate.train.data_recipes import AugmentRecipe as AugmentRecipe
from sluicegate.train.data_recipes import DataRecipe as DataRecipe
from sluicegate.train.data_recipes import TaskRecipe as TaskRecipe
from sluicegate.train.ranges import at_least, positive
from sluicegate.train.tuning_recipes import BudgetRecipe as BudgetRecipe
from sluicegate.train.tuning_recipes import DistillationRecipe as DistillationRecipe
from sluicegate.train.tuning_recipes import FitRecipe as FitRecipe
from sluicegate.train.tuning_recipes import LatencyRecipe as LatencyRecipe
from sluicegate.train.tuning_recipes import Shape as Shape


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


@dataclass(frozen=True)
class OptimizerRecipe:
    """SGD (`momentum`, `nesterov`) or AdamW (`betas`). Gates learn at `lr * gate_lr_scale`; with 0 they learn nothing.

    `milestones` are fractions of the training, as are `warm_up` and `gate_warm_up`: over that share of it the rate of
    the network, or of the gates, climbs from 0 in a straight line, on top of the schedule. `power` is that of the
    polynomial schedule, (1 - progress)^power.

    `gate_weight_decay`: "none" (DLCG 4.1), a number (batch shaping B.3: 1e-6), or "per_gate": 20 / |G| of the network's
    for |G| gates (stochastic gates 3.2 and 4.1: the decay adds over gates, whose objective is an average, and pulls
    their rates towards one half).
    """

    lr: float = 0.1
    momentum: float = 0.9
    nesterov: bool = True
    weight_decay: float = 5e-4
    gate_lr_scale: float = 1.0
    gate_weight_decay: Literal["none", "per_gate"] | float = "none"
    schedule: Literal["step", "cosine", "one-cycle", "polynomial"] = "step"
    milestones: tuple[float, ...] = (0.5, 0.75, 0.9375)
    gamma: float = 0.1
    kind: Literal["sgd", "adamw"] = "sgd"
    betas: tuple[float, float] = (0.9, 0.999)
    warm_up: float = 0.0
    gate_warm_up: float = 0.0
    power: float = 0.9

    def __post_init__(self) -> None:
        for name in ("warm_up", "gate_warm_up"):
            if not 0 <= getattr(self, name) < 1:
                raise InputError(f"optimizer.{name}: {getattr(self, name)} is not in [0, 1), a share of the training")
        if not all(0 <= beta < 1 for beta in self.betas):
            raise InputError(f"optimizer.betas: {list(self.betas)} are not in [0, 1)")
        if not isinstance(self.gate_weight_decay, str):
            at_least("optimizer.gate_weight_decay", self.gate_weight_decay, 0)
        for name in ("lr", "gamma", "power"):
            positive(f"optimizer.{name}", getattr(self, name))
        for name in ("weight_decay", "gate_lr_scale"):
            at_least(f"optimizer.{name}", getattr(self, name), 0)
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
    and kept in place of the weights (`train/averaging.py`); 0 means none. `logger`: a log of every 50th step beside
    `metrics.csv`, by Lightning, in the folder `logs` of the run.

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
    latency: LatencyRecipe = field(default_factory=LatencyRecipe)
    start: str | None = None
    budget: BudgetRecipe = field(default_factory=BudgetRecipe)
    distillation: DistillationRecipe = field(default_factory=DistillationRecipe)
    fit: FitRecipe = field(default_factory=FitRecipe)
    label_smoothing: float = 0.0
    average: float = 0.0
    stages: tuple[StageRecipe, ...] = ()
    task: TaskRecipe = field(default_factory=TaskRecipe)
    logger: Literal["none", "csv", "tensorboard"] = "none"

    def __post_init__(self) -> None:
        at_least("epochs", self.epochs, 1)
        for name in ("label_smoothing", "average"):
            if not 0 <= getattr(self, name) < 1:
                raise InputError(f"{name}: {getattr(self, name)} is not in [0, 1)")
        names = [stage.name for stage in self.stages]
        if twice := next((name for name in names if names.count(name) > 1), None):
            raise InputError(f"stages: {twice!r} is there twice")
        at_least("recalibration", self.recalibration, 0)
        if self.recalibration and self.batch_norm == "frozen":
            raise InputError(
                f"recalibration: {self.recalibration} batches with batch_norm frozen; one excludes the other"
            )
        at_least("seed", self.seed, 0)
        at_least("num_nodes", self.num_nodes, 1)


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
    parser = _parser()
    try:
        config = parser.parse_args(arguments, namespace=parser.parse_object(_plain(values)))
        return Recipe(**parser.instantiate(config))
    except jsonargparse.ArgumentError as error:
        raise InputError(f"{source}: {_readable(error)}") from error


@cache
def _parser() -> jsonargparse.ArgumentParser:
    parser = jsonargparse.ArgumentParser(exit_on_error=False, allow_abbrev=False)
    parser.add_class_arguments(Recipe)
    return parser


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
