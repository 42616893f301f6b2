"""From a recipe's names to things: data sets, network, method.

Legend: N images, C channels, H W pixels.
"""

import inspect
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple

import jsonargparse
import torch
from torch import Tensor, nn

from sluicegate import methods
from sluicegate.convert import GatedModel, GatedOutput, gate_model
from sluicegate.costs import LatencyModel, MacModel
from sluicegate.data import DataSpec, ImageSet, load
from sluicegate.errors import InputError, one_line
from sluicegate.gates import GateRecord, GateRecords
from sluicegate.methods import Method
from sluicegate.nets import build_net
from sluicegate.objectives import LatencyTarget, Objective, Reinforce, WeightedSum
from sluicegate.schedule import Schedule, parse_schedule
from sluicegate.train.recipe import DataRecipe, LatencyRecipe, MethodRecipe, NetRecipe, Recipe
from sluicegate.train.weights import load_weights
from sluicegate_runtime import LatencyTable


class Subject(NamedTuple):
    """What is trained and measured: a network, gated or plain, its costs, what training asks of its gates, and what it
    rewards them for."""

    net: nn.Module
    macs: MacModel
    objective: Objective | None = None
    reward: Reinforce | None = None

    def run(self, images: Tensor) -> GatedOutput:
        """[N, C, H, W] -> the output and the gates' records, of which a plain network has none."""
        if isinstance(self.net, GatedModel):
            return self.net(images, return_gates=True)
        return GatedOutput(self.net(images), GateRecords())

    def image_macs(self, gates: GateRecords, images: Tensor) -> Tensor:
        """[N], int64: what each image cost."""
        if not gates:
            return torch.full((len(images),), self.macs.dense, device=images.device)
        return self.macs(GateRecords({name: _detached(record) for name, record in gates.items()}))

    def parameter_groups(self) -> tuple[list[nn.Parameter], list[nn.Parameter]]:
        """The network's parameters and those of its gates."""
        if isinstance(self.net, GatedModel):
            return list(self.net.network_parameters()), list(self.net.gate_parameters())
        return list(self.net.parameters()), []


def _example(images: ImageSet | DataSpec) -> Tensor:
    return torch.zeros(1, *images.shape)


def _detached(record: GateRecord) -> GateRecord:
    return record._replace(open=record.open.detach())


class ImageSets(NamedTuple):
    """The images to train on, and those to measure on."""

    train: ImageSet
    test: ImageSet


def load_images(recipe: DataRecipe, root: str | os.PathLike[str] | None) -> ImageSets:
    """Both halves of a recipe's data set (see `load_split`)."""
    return ImageSets(load_split(recipe, "train", root), load_split(recipe, "test", root))


def load_split(recipe: DataRecipe, split: Literal["train", "test"], root: str | os.PathLike[str] | None) -> ImageSet:
    """One half of a recipe's data set; `root` is `--data-dir`.

    Raises:
        InputError: no such data set, or its files are not found.
        RunError: a file is damaged.
    """
    limit = recipe.limit_train if split == "train" else recipe.limit_test
    return load(recipe.name, split, None if root is None else Path(root), limit=limit, size=recipe.size)


def as_subject(net: nn.Module, images: ImageSet | DataSpec) -> Subject:
    """A network to be measured on such images."""
    macs = net.macs if isinstance(net, GatedModel) else MacModel(net, _example(images))
    return Subject(net, macs)


def build_subject(recipe: Recipe, images: ImageSet | DataSpec, read_files: bool = True) -> Subject:
    """The network of a recipe for such images, its gates inserted, initialised from the recipe's seed.

    Args:
        recipe: what to build.
        images: tell the input's shape and the number of classes.
        read_files: read the files that the recipe names for training: weights to start from, a latency table.

    Raises:
        InputError: an unknown network, method or option, or weights or a latency table that do not fit.
    """
    torch.manual_seed(recipe.seed)
    net = build_net(recipe.net.name, **_net_options(recipe.net, images))
    if recipe.net.weights and read_files:
        load_weights(net, recipe.net.weights)
    method = build_method(recipe.method)
    subject = gate_by(method, net, _example(images))
    for part, path in method.weights.items() if read_files else ():
        load_weights(subject.net.get_submodule(part), path, surplus=True)  # a gater has lost its last layer
    return _towards(recipe.latency, subject) if read_files else subject


def _towards(recipe: LatencyRecipe, subject: Subject) -> Subject:
    """A subject whose gates are also to reach a recipe's milliseconds, if it states any."""
    if recipe.table is None or recipe.ms is None:
        return subject
    if not isinstance(subject.net, GatedModel):
        raise InputError(f"latency.ms: {recipe.ms:g} is no target of a network without gates; method.name adds some")
    target = LatencyTarget(LatencyModel(subject.net, LatencyTable.load(recipe.table)), recipe.ms)
    parts: dict[str, tuple[float, Objective]] = {"latency": (recipe.weight, target)}
    if subject.objective is not None:
        parts["method"] = (1.0, subject.objective)
    return subject._replace(objective=WeightedSum(parts))


def gate_by(method: Method, net: nn.Module, example_inputs: Tensor) -> Subject:
    """A network with a method's gates and objective."""
    if method.gating is None:
        return Subject(net, MacModel(net, example_inputs))
    gated = gate_model(net, method.gating, example_inputs)
    return Subject(gated, gated.macs, method.objective(gated) if method.objective else None, method.reward)


def build_method(recipe: MethodRecipe) -> Method:
    """The preset of `sluicegate.methods` that a recipe names; text such as `linear(0, 0.1)` becomes a schedule.

    Raises:
        InputError: no such method or option, or an option of the wrong type.
    """
    presets = _presets()
    if recipe.name not in presets:
        raise InputError(f"method.name: {recipe.name!r} is not a method; known: {', '.join(presets)}")
    make = presets[recipe.name]
    weights = {name for name, knob in inspect.signature(make).parameters.items() if knob.annotation is methods.Weight}
    schedules = {k: _schedule(k, v) for k, v in recipe.options.items() if k in weights and isinstance(v, str | None)}
    plain = {key: value for key, value in recipe.options.items() if key not in schedules}
    return make(**_checked(recipe.name, make, plain, set(schedules)), **schedules)


def _schedule(name: str, value: str | None) -> Schedule:
    try:
        return parse_schedule(str(value))
    except InputError as error:
        raise InputError(f"method.options.{name}: {error}") from error


def _presets() -> dict[str, Callable[..., Method]]:
    """A preset is a public function of `methods` that returns a Method."""
    return {
        name: item
        for name, item in vars(methods).items()
        if inspect.isfunction(item) and inspect.signature(item).return_annotation is Method
    }


def _checked(
    name: str, make: Callable[..., Method], options: Mapping[str, Any], already: set[str | int]
) -> dict[str, Any]:
    parser = jsonargparse.ArgumentParser(exit_on_error=False)
    parser.add_function_arguments(make, skip=already)
    try:
        return parser.parse_object(dict(options)).as_dict()
    except jsonargparse.ArgumentError as error:
        raise InputError(f"method.options: {name}: {one_line(error)}") from error


def _net_options(recipe: NetRecipe, images: ImageSet | DataSpec) -> dict[str, Any]:
    """The recipe's options over what the data set demands: its classes, and its channels if they are not three."""
    channels = images.shape[0]
    demanded = {"classes": len(images.classes)} | ({} if channels == 3 else {"in_channels": channels})
    return demanded | recipe.options
