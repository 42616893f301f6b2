"""Functions of each number by itself.

Some keep zero, so that a closed channel stays closed; a sigmoid does not. Names and `alpha` are the program's.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import fx, nn

from sluicegate.ops.frame.layout import channel_count
from sluicegate.ops.frame.links import Link, each
from sluicegate.ops.frame.room import Call, Room, Written, Zeros

_SHIFTING = {"sigmoid", "hardsigmoid", "softplus"}


def _call(x: fx.Node, function: str, alpha: float = 0.0) -> Call:
    return Call("activation", (x,), {"function": function, "alpha": float(alpha)})


def _plain(function: str, node: fx.Node, input: fx.Node, inplace: bool = False) -> Call:
    return _call(input, function)


def _plain_module(function: str, node: fx.Node, module: nn.Module, input: fx.Node) -> Call:
    return _call(input, function)


def _leaky(node: fx.Node, input: fx.Node, negative_slope: float = 0.01, inplace: bool = False) -> Call:
    return _call(input, "leaky_relu", negative_slope)


def _elu(node: fx.Node, input: fx.Node, alpha: float = 1.0, inplace: bool = False) -> Call:
    return _call(input, "elu", alpha)


def _gelu(node: fx.Node, input: fx.Node, approximate: str = "none") -> Call:
    return _call(input, "gelu" if approximate == "none" else "gelu_tanh")


def _softplus(node: fx.Node, input: fx.Node, beta: float = 1.0, threshold: float = 20.0) -> Call | None:
    return _call(input, "softplus") if (beta, threshold) == (1, 20) else None


def _clamp(node: fx.Node, input: fx.Node, min: Any = None, max: Any = None) -> Call | None:
    return _call(input, _CLAMPS[min, max]) if (min, max) in _CLAMPS else None


def _hardtanh(
    node: fx.Node, input: fx.Node, min_val: float = -1.0, max_val: float = 1.0, inplace: Any = None
) -> Call | None:
    return _clamp(node, input, min_val, max_val)


_CLAMPS: dict[tuple[Any, Any], str] = {(0, 6): "relu6", (0, None): "relu"}
_PLAIN = {
    "relu": ((F.relu, torch.relu, torch.relu_, F.relu_), ("relu", "relu_"), (nn.ReLU,)),
    "relu6": ((F.relu6,), (), (nn.ReLU6,)),
    "silu": ((F.silu,), (), (nn.SiLU,)),
    "hardswish": ((F.hardswish,), (), (nn.Hardswish,)),
    "sigmoid": ((torch.sigmoid, F.sigmoid, torch.sigmoid_), ("sigmoid", "sigmoid_"), (nn.Sigmoid,)),
    "hardsigmoid": ((F.hardsigmoid,), (), (nn.Hardsigmoid,)),
    "tanh": ((torch.tanh, F.tanh, torch.tanh_), ("tanh", "tanh_"), (nn.Tanh,)),
    "mish": ((F.mish,), (), (nn.Mish,)),
}


def _zeros(node: fx.Node, call: Call) -> Zeros:
    return "never" if call.attributes["function"] in _SHIFTING else "each"


def _links(node: fx.Node, call: Call) -> tuple[Link, ...]:
    return (each(channel_count(node)),)


def _lower(lowering: Any, node: fx.Node, call: Call) -> None:
    lowering.emit(node, "activation", call.inputs, call.attributes)


def _lift(op: Written) -> nn.Module:
    return activation_module(op.has["function"], op.has["alpha"])


def activation_module(function: str, alpha: float) -> nn.Module:
    """The module of an activation that a program names."""
    known: dict[str, Callable[[], nn.Module]] = {
        **{name: modules[0] for name, (_, _, modules) in _PLAIN.items()},
        "leaky_relu": lambda: nn.LeakyReLU(alpha),
        "elu": lambda: nn.ELU(alpha),
        "gelu": nn.GELU,
        "gelu_tanh": lambda: nn.GELU("tanh"),
        "softplus": nn.Softplus,
        "none": nn.Identity,
    }
    return known[function]()


ROOM = Room(
    "activation",
    functions={
        **{f: partial(_plain, name) for name, (functions, _, _) in _PLAIN.items() for f in functions},
        **dict.fromkeys((F.leaky_relu, F.leaky_relu_), _leaky),
        **dict.fromkeys((F.elu, F.elu_), _elu),
        **dict.fromkeys((torch.clamp, torch.clamp_, torch.clip), _clamp),
        **dict.fromkeys((F.hardtanh, F.hardtanh_), _hardtanh),
        F.gelu: _gelu,
        F.softplus: _softplus,
    },
    methods={
        **{m: partial(_plain, name) for name, (_, methods, _) in _PLAIN.items() for m in methods},
        **dict.fromkeys(("clamp", "clamp_", "clip"), _clamp),
    },
    modules={
        **{m: partial(_plain_module, name) for name, (_, _, modules) in _PLAIN.items() for m in modules},
        nn.LeakyReLU: lambda node, module, input: _leaky(node, input, module.negative_slope),
        nn.ELU: lambda node, module, input: _elu(node, input, module.alpha),
        nn.GELU: lambda node, module, input: _gelu(node, input, module.approximate),
        nn.Softplus: lambda node, module, input: _softplus(node, input, module.beta, module.threshold),
        nn.Hardtanh: lambda node, module, input: _hardtanh(node, input, module.min_val, module.max_val),
    },
    links=_links,
    zeros=_zeros,
    lower=_lower,
    lift=_lift,
)
