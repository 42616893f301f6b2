"""From a recipe's names to things: data sets, network, method.

Legend: N images, C channels, H W pixels.
"""

import inspect
import os
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, NamedTuple

import jsonargparse
import numpy as np
import torch
from torch import Tensor, nn

from sluicegate import methods
from sluicegate.convert import GatedModel, GatedOutput, gate_model
from sluicegate.costs import MacModel
from sluicegate.data import Augment, DataSpec, Images, known_statistics, load, stream
from sluicegate.errors import InputError, one_line
from sluicegate.gates import GateRecord, GateRecords
from sluicegate.methods import Method
from sluicegate.nets import build_net, load_library_weights
from sluicegate.objectives import Objective, Reinforce
from sluicegate.schedule import Schedule, parse_schedule
from sluicegate.train.budget import add_targets
from sluicegate.train.losses import Distillation
from sluicegate.train.outputs import as_outputs
from sluicegate.train.recipe import AugmentRecipe, DataRecipe, MethodRecipe, NetRecipe, Recipe
from sluicegate.train.weights import load_weights
from sluicegate_runtime.preprocess import parse_preprocessing

PRETRAINED = "pretrained"
"""In place of a file: the weights that a network's own library has."""

HOLDOUT_SEED = 0  # of the draw of held-out images, the same for all recipes


class Subject(NamedTuple):
    """What is trained and measured: a network, gated or plain, its costs, what training asks of its gates, what it
    rewards them for, and who teaches it."""

    net: nn.Module
    macs: MacModel
    objective: Objective | None = None
    reward: Reinforce | None = None
    distillation: Distillation | None = None

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


def _example(images: Images | DataSpec) -> Tensor:
    return torch.zeros(1, *images.shape)


def _detached(record: GateRecord) -> GateRecord:
    return record._replace(open=record.open.detach())


class ImageSets(NamedTuple):
    """The images to train on, and those to measure on."""

    train: Images
    test: Images


def load_images(recipe: DataRecipe, root: str | os.PathLike[str] | None) -> ImageSets:
    """Both halves of a recipe's data set (see `load_split`)."""
    return ImageSets(load_split(recipe, "train", root), load_split(recipe, "test", root))


def load_split(recipe: DataRecipe, split: Literal["train", "test"], root: str | os.PathLike[str] | None) -> Images:
    """One half of a recipe's data set; `root` is `--data-dir`.

    Raises:
        InputError: no such data set, or its files are not found, or fewer images than are to be held out.
        RunError: a file is damaged.
    """
    limit = recipe.limit_train if split == "train" else recipe.limit_test
    source = "train" if recipe.holdout else split
    first = recipe.limit_train if recipe.holdout else limit
    augment = recipe.augment if split == "train" else AugmentRecipe()
    images = _read(recipe, augment, source, None if root is None else Path(root), first)
    if recipe.holdout:
        images = _half(images, split, recipe.holdout, recipe.limit_test)
    if recipe.outputs is not None and recipe.output_count is not None:
        images = as_outputs(images, recipe.outputs, recipe.output_count)
    if recipe.normalize is None:
        return images
    mean, std = _statistics(recipe.normalize, images.shape[0])
    return replace(images, mean=mean, std=std)


def _read(recipe: DataRecipe, augment: AugmentRecipe, split: str, root: Path | None, limit: int | None) -> Images:
    if recipe.workers is None:
        return load(recipe.name, split, root, limit, recipe.size)
    try:
        drawn = Augment(augment.crop_scale, augment.flip, augment.jitter, augment.rand_augment)
    except InputError as error:
        raise InputError(f"data.augment: {error}") from error
    return stream(recipe.name, split, root, limit, recipe.size, recipe.workers, drawn)


def _statistics(text: str, channels: int) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and std by a name, or as numbers: "0.5,0.5,0.5/0.25,0.25,0.25"."""
    if "/" in text:
        given = parse_preprocessing(text)
        found = (given.mean, given.std)
    else:
        found = known_statistics(text)
    if len(found[0]) != channels:
        raise InputError(f"data.normalize: {text!r} is not of {channels} channels, which the images have")
    return found


def _half(images: Images, split: str, holdout: int, limit_test: int | None) -> Images:
    """The training images but for those that are held out, or these."""
    if holdout >= len(images):
        raise InputError(f"data.holdout: {holdout} must be less than the {len(images)} training images")
    order = torch.from_numpy(np.random.default_rng(HOLDOUT_SEED).permutation(len(images)))
    return images.subset(order[holdout:] if split == "train" else order[:holdout][:limit_test])


def as_trained_on(images: Images, spec: DataSpec) -> Images:
    """The images with the mean and std that the network was trained with.

    Raises:
        InputError: they are of other classes.
    """
    if images.classes != spec.classes:
        only = sorted(set(images.classes) ^ set(spec.classes))
        what = f"{only[0]!r} is one of either only" if only else "their order differs"
        raise InputError(f"data: its classes are not those of the run: {what}")
    return replace(images, mean=spec.mean, std=spec.std) if images.shape[0] == spec.shape[0] else images


def as_subject(net: nn.Module, images: Images | DataSpec) -> Subject:
    """A network to be measured on such images."""
    macs = net.macs if isinstance(net, GatedModel) else MacModel(net, _example(images))
    return Subject(net, macs)


def build_subject(recipe: Recipe, images: Images | DataSpec, read_files: bool = True) -> Subject:
    """The network of a recipe for such images, its gates inserted, initialised from the recipe's seed.

    Args:
        recipe: what to build.
        images: tell the input's shape and the number of classes.
        read_files: read the files that the recipe names for training: weights to start from, a latency table.

    Raises:
        InputError: an unknown network, method or option, or weights or a latency table that do not fit.
    """
    torch.manual_seed(recipe.seed)
    teaches = recipe.distillation.weight > 0 and recipe.distillation.teacher is None
    net = build_plain(recipe.net, images, read_files, whole=teaches)
    method = build_method(recipe.method)
    subject = gate_by(method, net, _example(images))
    return _begun(recipe, images, net, method, subject) if read_files else subject


def _begun(recipe: Recipe, images: Images | DataSpec, net: nn.Module, method: Method, subject: Subject) -> Subject:
    """A subject as training begins with it: weights that it starts from, targets, teacher."""
    for part, path in method.weights.items():
        load_weights(subject.net.get_submodule(part), path, surplus=True)  # a gater has lost its last layer
    if recipe.start is not None:
        load_weights(subject.net, recipe.start)
    gated = subject.net if isinstance(subject.net, GatedModel) else None
    if gated is None and recipe.fit.steps:
        raise InputError(f"fit.steps: {recipe.fit.steps}, but the network has no gates to fit; method.name adds some")
    return subject._replace(
        objective=add_targets(recipe, gated, subject.objective),
        distillation=build_distillation(recipe, images, net),
    )


def build_plain(
    recipe: NetRecipe, images: Images | DataSpec, read_files: bool = True, whole: bool = False
) -> nn.Module:
    """The network that a recipe names for such images, with its weights if it names any and files are to be read.

    Args:
        recipe, images, read_files: as for `build_subject`.
        whole: pretrained weights must be those of the last layer, too.

    Raises:
        InputError: an unknown network or option, or weights that do not fit.
    """
    net = build_net(recipe.name, **_net_options(recipe, images))
    if recipe.weights == PRETRAINED and read_files:
        load_library_weights(net, recipe.name, whole)
    elif recipe.weights and read_files:
        load_weights(net, recipe.weights)
    return net


def build_distillation(recipe: Recipe, images: Images | DataSpec, net: nn.Module) -> Distillation | None:
    """The teacher that a recipe names, or `net`, the network as it came, if it names none; None without distillation.

    Raises:
        InputError: the teacher's network or weights are not there, or there is nothing that it could have learned.
    """
    wanted = recipe.distillation
    if not wanted.weight:
        return None
    if wanted.teacher is not None:
        teacher = NetRecipe(wanted.teacher, wanted.teacher_options, wanted.teacher_weights)
        net = build_plain(teacher, images, whole=True)
    elif recipe.net.weights is None:
        raise InputError("distillation: the network teaches itself, but net.weights is not given: it knows nothing yet")
    return Distillation(net, wanted.weight, wanted.temperature)


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


def _net_options(recipe: NetRecipe, images: Images | DataSpec) -> dict[str, Any]:
    """The recipe's options over what the data set demands: its classes, and its channels if they are not three."""
    channels = images.shape[0]
    demanded = {"classes": len(images.classes)} | ({} if channels == 3 else {"in_channels": channels})
    return demanded | recipe.options
