"""Recipes: everything that fixes a training run, as frozen dataclasses; YAML in and out, `key=value` on top.

    name: dlcg-resnet20-cifar10
    data: {name: cifar10, batch_size: 256}
    net: {name: resnet20}
    method: {name: dlcg, options: {layer_weight: 0.05, channel_weight: linear(0, 0.1)}}
    optimizer: {lr: 0.1, schedule: step, milestones: [0.5, 0.75, 0.9375]}
    epochs: 400

Milestones are fractions of the training, so `epochs=3` shrinks a recipe of 400 epochs and keeps its shape.
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
    """Random changes to the training images, drawn for each image: `pad_crop` pixels of padding, `flip` left-right."""

    pad_crop: int = 0
    flip: bool = False

    def __post_init__(self) -> None:
        _at_least("data.augment.pad_crop", self.pad_crop, 0)


@dataclass(frozen=True)
class DataRecipe:
    """A data set and its batches. `batch_size` is that of all processes together."""

    name: str
    batch_size: int = 256
    augment: AugmentRecipe = AugmentRecipe()
    limit_train: int | None = None
    limit_test: int | None = None
    size: int | None = None

    def __post_init__(self) -> None:
        _at_least("data.batch_size", self.batch_size, 1)
        for name in ("limit_train", "limit_test", "size"):
            if getattr(self, name) is not None:
                _at_least(f"data.{name}", getattr(self, name), 1)


@dataclass(frozen=True)
class NetRecipe:
    """A network by name (`sluicegate.nets.build_net`), its options, and a safetensors file to start from."""

    name: str
    options: dict[str, Any] = field(default_factory=dict)
    weights: str | None = None


@dataclass(frozen=True)
class MethodRecipe:
    """A preset of `sluicegate.methods` by name, and its options; a weight may be a schedule: `linear(0, 0.1)`."""

    name: str = "dense"
    options: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class LatencyRecipe:
    """Train towards `ms` milliseconds for an image on the machine that `table` was measured on (docs/latency.md).

    The objective is added to the method's own, at `weight`. `sluicegate profile RECIPE` writes the table.
    """

    table: str | None = None
    ms: float | None = None
    weight: float = 10.0

    def __post_init__(self) -> None:
        if (self.table is None) != (self.ms is None):
            raise InputError(f"latency: table {self.table}, ms {self.ms}; both must be given, or none")
        if self.ms is not None:
            _positive("latency.ms", self.ms)
        _positive("latency.weight", self.weight)


@dataclass(frozen=True)
class OptimizerRecipe:
    """SGD. `milestones` are fractions of the training; gates learn at `lr * gate_lr_scale`.

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

    def __post_init__(self) -> None:
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
class Recipe:
    """One training run. `devices`, `num_nodes`, `strategy`, `accelerator` and `precision` go to Lightning as they are.

    `recalibration`: batches that renew the statistics of batch norms after the last step (`train/recalibrate.py`).

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

    def __post_init__(self) -> None:
        _at_least("epochs", self.epochs, 1)
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
