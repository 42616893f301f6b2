"""From a recipe's names to things: data sets, network, method.

Legend: N images, C channels, H W pixels.
"""

import inspect
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple, get_args

import jsonargparse
import torch
from torch import Tensor, nn

from sluicegate.convert import GatedModel, GatedOutput, gate_model
from sluicegate.costs import MacModel
from sluicegate.data import DataSpec, Images
from sluicegate.errors import InputError, one_line
from sluicegate.gates import GateRecord, GateRecords
from sluicegate.methods import PRESETS, Method, Weight
from sluicegate.nets import build_net, load_library_weights
from sluicegate.objectives import Objective, Reinforce
from sluicegate.schedule import Schedule, parse_schedule
from sluicegate.tasks import Task, task_named
from sluicegate.train.budget import add_targets
from sluicegate.train.images import ImageSets as ImageSets
from sluicegate.train.images import load_images as load_images
from sluicegate.train.images import load_split as load_split
from sluicegate.train.losses import Distillation
from sluicegate.train.recipe import MethodRecipe, NetRecipe, Recipe, TaskRecipe
from sluicegate.train.weights import load_weights

PRETRAINED = "pretrained"
"""In place of a file: the weights that a network's own library has."""


class Subject(NamedTuple):
    """What is trained and measured: a network, gated or plain, its costs, what training asks of its gates, what it
    rewards them for, who teaches it, and the head that training alone has."""

    net: nn.Module
    macs: MacModel
    objective: Objective | None = None
    reward: Reinforce | None = None
    distillation: Distillation | None = None
    auxiliary: nn.Module | None = None

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
            return [*self.net.network_parameters(), *self._auxiliary()], list(self.net.gate_parameters())
        return [*self.net.parameters(), *self._auxiliary()], []

    def _auxiliary(self) -> Iterator[nn.Parameter]:
        return iter(()) if self.auxiliary is None else self.auxiliary.parameters()


def _example(images: Images | DataSpec) -> Tensor:
    return torch.zeros(1, *images.shape)


def _detached(record: GateRecord) -> GateRecord:
    return record._replace(open=record.open.detach())


def as_subject(net: nn.Module, images: Images | DataSpec) -> Subject:
    """A network to be measured on such images."""
    macs = net.macs if isinstance(net, GatedModel) else MacModel(net, _example(images))
    return Subject(net, macs)


def build_task(recipe: TaskRecipe) -> Task:
    """The task that a recipe names."""
    return task_named(recipe.name, recipe.auxiliary)


def build_subject(
    recipe: Recipe, images: Images | DataSpec, read_files: bool = True, for_training: bool = False
) -> Subject:
    """The network of a recipe for such images, its gates inserted, initialised from the recipe's seed.

    Args:
        recipe: what to build.
        images: tell the input's shape and the number of classes.
        read_files: read the files that the recipe names for training: weights to start from, a latency table.
        for_training: let the network return what only the loss needs, with the head that reads it.

    Raises:
        InputError: an unknown network, method or option, or weights or a latency table that do not fit.
    """
    torch.manual_seed(recipe.seed)
    teaches = recipe.distillation.weight > 0 and recipe.distillation.teacher is None
    net = build_plain(recipe.net, images, read_files, whole=teaches)
    auxiliary = build_task(recipe.task).prepare(net) if for_training else None
    method = build_method(recipe.method)
    subject = gate_by(method, net, _example(images))._replace(auxiliary=auxiliary)
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
        raise InputError("distillation: the network is its own teacher, but net.weights is not given: it is untrained")
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
    if recipe.name not in PRESETS:
        raise InputError(f"method.name: {recipe.name!r} is not a method; known: {', '.join(PRESETS)}")
    make = PRESETS[recipe.name]
    knobs = inspect.signature(make).parameters
    texts = {k: v for k, v in recipe.options.items() if k in knobs and _is_schedule(knobs[k], v)}
    schedules = {name: _schedule(name, text) for name, text in texts.items()}
    plain = {key: value for key, value in recipe.options.items() if key not in schedules}
    return make(**_checked(recipe.name, make, plain, set(schedules)), **schedules)


def _is_schedule(knob: inspect.Parameter, value: Any) -> bool:
    """Whether an option that takes a `Weight` is given as text. None is one where it has no meaning of its own."""
    takes = {*get_args(knob.annotation)}
    return takes >= {*get_args(Weight)} and (isinstance(value, str) or (value is None and type(None) not in takes))


def _schedule(name: str, value: str | None) -> Schedule:
    try:
        return parse_schedule(str(value))
    except InputError as error:
        raise InputError(f"method.options.{name}: {error}") from error


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
