"""Softmax over channels, or over one side of channels that are numbered by several."""

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import fx, nn

from sluicegate.graph import shape
from sluicegate.ops.frame.layout import axis, layout_of
from sluicegate.ops.frame.lifting import View
from sluicegate.ops.frame.norms import over_all_channels
from sluicegate.ops.frame.room import Call, Room, Written


def _function(node: fx.Node, input: fx.Node, dim: int | None = None, *rest: Any, **more: Any) -> Call | None:
    if dim is None or rest or any(value is not None for key, value in more.items() if key != "_stacklevel"):
        return None
    channels = layout_of(input).channels
    if axis(input, dim) not in channels:
        return None
    at = channels.index(axis(input, dim))
    sides = [shape(input)[side] for side in channels]
    return Call(
        "softmax", (input,), {"outer": math.prod(sides[:at]), "size": sides[at], "inner": math.prod(sides[at + 1 :])}
    )


def _lower(lowering: Any, node: fx.Node, call: Call) -> None:
    lowering.emit(node, "softmax", call.inputs, call.attributes, ungated=True)


def _lift(op: Written) -> nn.Module:
    sides = (op.has["outer"], op.has["size"], op.has["inner"], *op.made[1:])
    return nn.Sequential(View(sides), nn.Softmax(2), View(op.made))


ROOM = Room(
    "softmax",
    functions={F.softmax: _function, torch.softmax: _function},
    methods={"softmax": _function},
    modules={nn.Softmax: lambda node, module, input: _function(node, input, module.dim)},
    links=over_all_channels,
    map="open",
    lower=_lower,
    lift=_lift,
)
