"""Networks by name: what recipes and the command line call them."""

import importlib
import inspect
import re
from collections.abc import Callable
from types import ModuleType
from typing import Any

from torch import nn

from sluicegate.errors import InputError, one_line
from sluicegate.nets.cifar_resnet import cifar_resnet, preact_resnet

FORMS = "resnet<6n+2>, preact_resnet<9n+2>, torchvision:<model>, timm:<model>"


def build_net(name: str, **options: Any) -> nn.Module:
    """The network that a name stands for.

    Args:
        name: `resnet20`, `preact_resnet164` or any valid depth; `torchvision:resnet34`; `timm:resnet50`.
        options: what the network's function takes (`classes`, `width`, ...); for a torchvision or timm model
            that library's own, with `classes` for `num_classes`.

    Raises:
        InputError: the name, its depth or an option is not known, or the library is not installed.
    """
    library, _, model = name.rpartition(":")
    if library in _LIBRARIES:
        return _LIBRARIES[library](model, **_library_options(options))
    return _build_own(name, options)


def _build_own(name: str, options: dict[str, Any]) -> nn.Module:
    match = re.fullmatch(r"(preact_)?resnet(\d+)", name)
    if match is None:
        raise InputError(f"net: {name!r} is not a network; known forms: {FORMS}")
    make: Callable[..., nn.Module] = preact_resnet if match[1] else cifar_resnet
    known = list(inspect.signature(make).parameters)[1:]
    for option in options:
        if option not in known:
            raise InputError(f"net: {name} has no option {option!r}; known: {', '.join(known)}")
    try:
        return make(int(match[2]), **options)
    except InputError as error:
        raise InputError(f"net: {name}: {error} (known forms: {FORMS})") from error


def _torchvision(model: str, **options: Any) -> nn.Module:
    models = _import("torchvision.models")
    if model not in models.list_models():
        raise InputError(f"net: 'torchvision:{model}' is not a model that torchvision has")
    return _call("torchvision", model, models.get_model, options)


def _timm(model: str, **options: Any) -> nn.Module:
    timm = _import("timm")
    if not timm.is_model(model):
        raise InputError(f"net: 'timm:{model}' is not a model that timm has")
    return _call("timm", model, timm.create_model, options)


_LIBRARIES: dict[str, Callable[..., nn.Module]] = {"torchvision": _torchvision, "timm": _timm}


def _library_options(options: dict[str, Any]) -> dict[str, Any]:
    return {"num_classes" if key == "classes" else key: value for key, value in options.items()}


def _call(library: str, model: str, make: Callable[..., nn.Module], options: dict[str, Any]) -> nn.Module:
    try:
        return make(model, **options)
    except TypeError as error:  # the library's word on an option that it does not know
        raise InputError(f"net: '{library}:{model}' refuses options {options}: {error}") from error


def _import(module: str) -> ModuleType:
    """Import a library late; torchvision raises RuntimeError where its binary part does not fit torch."""
    try:
        return importlib.import_module(module)
    except (ImportError, RuntimeError) as error:
        library = module.partition(".")[0]
        raise InputError(f"net: {library} does not import ({one_line(error)}); try: pip install {library}") from error
