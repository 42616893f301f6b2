"""Average or largest value of windows that are as many as the output has pixels."""

import math
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import fx, nn

from sluicegate.graph import shape
from sluicegate.ops.frame.layout import channel_count, is_plane, pixel_count
from sluicegate.ops.frame.links import Link, each
from sluicegate.ops.frame.room import Call, Room, Work, Written


def _function(
    maximum: bool, node: fx.Node, input: fx.Node, output_size: Any, return_indices: bool = False
) -> Call | None:
    if not is_plane(input) or return_indices:
        return None
    if pixel_count(node) == 1:
        return Call("global_pool", (input,), {"counted": False, "function": "max" if maximum else "mean"})
    return Call("adaptive_pool", (input,), {"size": shape(node)[2:], "maximum": maximum})


def _module(maximum: bool, node: fx.Node, module: nn.AdaptiveAvgPool2d, input: fx.Node) -> Call | None:
    return _function(maximum, node, input, module.output_size, getattr(module, "return_indices", False))


def _links(node: fx.Node, call: Call) -> tuple[Link, ...]:
    return (each(channel_count(node)),)


def _work(node: fx.Node, call: Call) -> Work:
    return Work("pool", math.prod(shape(call.inputs[0])[1:]))


def _lower(lowering: Any, node: fx.Node, call: Call) -> None:
    lowering.emit(node, "adaptive_pool", call.inputs, call.attributes, planes=True)


_BUILT_IN: Any = torch._C._nn  # pyright: ignore[reportAttributeAccessIssue]
_AVERAGES, _LARGEST = partial(_function, False), partial(_function, True)


def _lift(op: Written) -> nn.Module:
    return (nn.AdaptiveMaxPool2d if op.has["maximum"] else nn.AdaptiveAvgPool2d)(op.has["size"])


ROOM = Room(
    "adaptive_pool",
    functions={
        F.adaptive_avg_pool2d: _AVERAGES,
        _BUILT_IN.adaptive_avg_pool2d: _AVERAGES,
        F.adaptive_max_pool2d: _LARGEST,
    },
    modules={nn.AdaptiveAvgPool2d: partial(_module, False), nn.AdaptiveMaxPool2d: partial(_module, True)},
    links=_links,
    zeros="each",
    work=_work,
    lower=_lower,
    lift=_lift,
)
