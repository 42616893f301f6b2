"""The networks of this package by name.

    resnet20_x10        a CIFAR ResNet of depth 20, ten times as wide
    se_resnet20         with squeeze-and-excitation, reduced by 4; se_preact_resnet164 by 8
    densenet_bc100_k12  DenseNet-BC with L = 100, k = 12
    shake_shake26_2x96d Shake-Shake of depth 26 with two branches of 96 filters

With these reductions the networks have the parameters of "ResNet-SE" in GaterNet's Table 1, which does not state them.
"""

import inspect
import re
from collections.abc import Callable, Mapping
from functools import partial
from types import MappingProxyType
from typing import Any, NamedTuple

from torch import nn

from sluicegate.errors import InputError
from sluicegate.nets.cifar_resnet import cifar_resnet, preact_resnet
from sluicegate.nets.densenet import densenet_bc
from sluicegate.nets.shake_shake import shake_shake

FORMS = (
    "resnet<6n+2>, preact_resnet<9n+2>, se_<either of them>, <any of them>_x<width>, densenet_bc<6n+4>_k<growth>, "
    "shake_shake<6n+2>_2x<width>d, pspnet, torchvision:<model>, timm:<model>, <module>:<function>"
)

_WHOLE_OR_NOT = r"\d+(?:\.\d+)?"


class _Family(NamedTuple):
    """Networks of one form: its groups are arguments of the function, by name; `fixed` are more of them."""

    form: str
    make: Callable[..., nn.Module]
    fixed: Mapping[str, Any] = MappingProxyType({})


_FAMILIES = (
    _Family(rf"resnet(?P<depth>\d+)(_x(?P<width>{_WHOLE_OR_NOT}))?", cifar_resnet),
    _Family(rf"preact_resnet(?P<depth>\d+)(_x(?P<width>{_WHOLE_OR_NOT}))?", preact_resnet),
    _Family(rf"se_resnet(?P<depth>\d+)(_x(?P<width>{_WHOLE_OR_NOT}))?", cifar_resnet, {"squeeze": 4}),
    _Family(rf"se_preact_resnet(?P<depth>\d+)(_x(?P<width>{_WHOLE_OR_NOT}))?", preact_resnet, {"squeeze": 8}),
    _Family(r"densenet_bc(?P<depth>\d+)_k(?P<growth>\d+)", densenet_bc),
    _Family(r"shake_shake(?P<depth>\d+)_2x(?P<width>\d+)d", shake_shake),
)


def build_own(name: str, options: dict[str, Any]) -> nn.Module:
    """The network of this package that a name stands for; `options` are the arguments that the name does not state.

    Raises:
        InputError: the name, a number in it or an option is not known.
    """
    for family in _FAMILIES:
        if match := re.fullmatch(family.form, name):
            return _build(name, family, match, options)
    raise InputError(f"net: {name!r} is not a network; known forms: {FORMS}")


def with_options(
    name: str,
    make: Callable[..., nn.Module],
    options: Mapping[str, Any],
    said: Mapping[str, Any] = MappingProxyType({}),
) -> nn.Module:
    """What a function makes of options, and of arguments that the name has said.

    Raises:
        InputError: the function has no such option, or refuses one.
    """
    known = [key for key in inspect.signature(make).parameters if key not in said]
    for option in options:
        if option not in known:
            raise InputError(f"net: {name} has no option {option!r}; known: {', '.join(known)}")
    try:
        return make(**said, **options)
    except InputError as error:
        raise InputError(f"net: {name}: {error}") from error


def _build(name: str, family: _Family, match: re.Match[str], options: dict[str, Any]) -> nn.Module:
    said = {key: _number(text) for key, text in match.groupdict().items() if text is not None}
    try:
        return with_options(name, partial(family.make, **family.fixed), options, said)
    except InputError as error:
        raise InputError(f"{error} (known forms: {FORMS})") from error


def _number(text: str) -> float:
    return float(text) if "." in text else int(text)
