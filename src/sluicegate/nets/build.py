"""Networks by name: what recipes and the command line call them."""

import importlib
import inspect
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from types import ModuleType
from typing import Any

from torch import Tensor, nn

from sluicegate.errors import InputError, one_line
from sluicegate.nets.names import build_own, with_options
from sluicegate.nets.pspnet import PSPNet


def build_net(name: str, **options: Any) -> nn.Module:
    """The network that a name stands for.

    Args:
        name: `resnet20`, `preact_resnet164` or any valid depth; `se_resnet20`, `resnet20_x10`, `densenet_bc100_k12`,
            `shake_shake26_2x96d` (names.py); `pspnet`; `torchvision:resnet34`; `timm:resnet50`; or your own,
            `package.module:function`, importable or found from the working folder.
        options: arguments of the network's function (`classes`, `width`, ...). For a torchvision or timm model they are
            that library's, with `classes` for `num_classes`. `classes` and `in_channels` of the data set are passed to
            your own function if it has parameters of these names.

    Raises:
        InputError: the name, its depth or an option is not known, or the library is not installed.
    """
    library, _, model = name.rpartition(":")
    if library in _LIBRARIES:
        return _LIBRARIES[library](model, **_library_options(options))
    if name == "pspnet":
        return with_options(name, pspnet, options)
    if library:
        return _build_foreign(name, library, model, options)
    return build_own(name, options)


def pspnet(
    backbone: str = "torchvision:resnet50",
    classes: int = 19,
    in_channels: int = 3,
    output_stride: int = 8,
    width: int | None = None,
    backbone_options: dict[str, Any] | None = None,
) -> PSPNet:
    """A `PSPNet` over a network by name.

    Args:
        backbone: a ResNet of torchvision or timm, as `build_net` takes it.
        classes, output_stride, width: see `PSPNet`.
        in_channels: of the images; timm's networks take other numbers than 3.
        backbone_options: what the backbone's function takes.

    Raises:
        InputError: as `build_net` and `PSPNet`.

    Example:
        >>> pspnet("timm:resnet18", classes=11, backbone_options={"channels": [32, 64, 128, 256]})
    """
    demanded = {} if in_channels == 3 else {"in_chans": in_channels}
    net = PSPNet(build_net(backbone, **demanded, **(backbone_options or {})), classes, output_stride, width)
    net.backbone_name = backbone
    return net


def load_library_weights(net: nn.Module, name: str, whole: bool = False) -> None:
    """Fill a torchvision or timm network with its library's own weights, except a last layer of other classes; of a
    PSPNet its backbone.

    Args:
        net: the network, as `build_net` made it.
        name: what `build_net` calls it.
        whole: refuse a last layer that keeps its random weights.

    Raises:
        InputError: another kind of network, or the library has no weights for it or cannot get them.
    """
    if isinstance(net, PSPNet):
        if whole:
            raise InputError(
                f"net.weights: {name!r} has pretrained weights only for its backbone, so it cannot be a teacher"
            )
        return load_library_weights(net.backbone, net.backbone_name)
    library, _, model = name.rpartition(":")
    if library not in _LIBRARIES:
        raise InputError(f"net.weights: 'pretrained' is for torchvision and timm networks; {name!r} needs a file")
    try:
        source = _PRETRAINED[library](model)
    except Exception as error:  # whatever the library's download raises
        raise InputError(f"net.weights: {library} has no pretrained weights for {name!r}: {one_line(error)}") from error
    own, given = net.state_dict(), source.state_dict()
    fits = {key: tensor for key, tensor in given.items() if key in own and own[key].shape == tensor.shape}
    _refuse_misfits(name, own, fits, whole)
    net.load_state_dict(fits, strict=False)


def statistics_of(name: str) -> tuple[tuple[float, ...], tuple[float, ...]] | None:
    """Mean and standard deviation, by channel of pixels in [0, 1], that a library's weights were trained with."""
    library, _, model = name.rpartition(":")
    if library == "timm":
        found = _import("timm").get_pretrained_cfg(model)
        return (tuple(found.mean), tuple(found.std)) if found else None
    return ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)) if library == "torchvision" else None


def _refuse_misfits(name: str, own: Mapping[str, Tensor], fits: Mapping[str, Tensor], whole: bool) -> None:
    """All but the last layer must have found its weights, and that too if asked for."""
    missing = [key for key in own if key not in fits and not key.endswith("num_batches_tracked")]
    modules = {key.rpartition(".")[0] for key in missing}
    if modules and whole:
        raise InputError(
            f"net.weights: the pretrained weights of {name!r} are for other classes, so {missing[0]!r} is not "
            "trained and the network cannot be a teacher; train without distillation first"
        )
    if len(modules) > 1:
        raise InputError(f"net.weights: the pretrained weights of {name!r} do not fit: they lack {missing[0]!r}")


def _build_foreign(name: str, module: str, function: str, options: dict[str, Any]) -> nn.Module:
    """A network of the caller's own code."""
    with _working_folder():
        try:
            make = getattr(importlib.import_module(module), function)
            net = make(**_taken(make, options))
        except Exception as error:  # the caller's own code may raise anything
            raise InputError(f"net: {name!r} cannot be built: {type(error).__name__}: {one_line(error)}") from error
    if not isinstance(net, nn.Module):
        raise InputError(f"net: {name!r} made no torch.nn.Module, but {type(net).__name__}")
    return net


def _taken(make: Callable[..., Any], options: dict[str, Any]) -> dict[str, Any]:
    """What a data set demands, if the function has a parameter for it; all other options as they are."""
    known = inspect.signature(make).parameters
    if "num_classes" in known and "classes" not in known:
        options = _library_options(options)
    demanded = ("classes", "num_classes", "in_channels")
    return {key: value for key, value in options.items() if key in known or key not in demanded}


@contextmanager
def _working_folder() -> Iterator[None]:
    """Modules in the working folder can be imported, as with `python -m`."""
    sys.path.insert(0, os.getcwd())
    try:
        yield
    finally:
        sys.path.remove(os.getcwd())


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


_PRETRAINED: dict[str, Callable[[str], nn.Module]] = {
    "torchvision": lambda model: _import("torchvision.models").get_model(model, weights="DEFAULT"),
    "timm": lambda model: _import("timm").create_model(model, pretrained=True),
}

_LIBRARIES: dict[str, Callable[..., nn.Module]] = {"torchvision": _torchvision, "timm": _timm}


def _library_options(options: dict[str, Any]) -> dict[str, Any]:
    return {"num_classes" if key == "classes" else key: value for key, value in options.items()}


def _call(library: str, model: str, make: Callable[..., nn.Module], options: dict[str, Any]) -> nn.Module:
    try:
        return make(model, **options)
    except TypeError as error:  # the library's error for an option that it does not have
        raise InputError(f"net: '{library}:{model}' refuses options {options}: {error}") from error


def _import(module: str) -> ModuleType:
    """Import a library late; torchvision raises RuntimeError where its binary part does not fit torch."""
    try:
        return importlib.import_module(module)
    except (ImportError, RuntimeError) as error:
        library = module.partition(".")[0]
        raise InputError(f"net: {library} does not import ({one_line(error)}); try: pip install {library}") from error
