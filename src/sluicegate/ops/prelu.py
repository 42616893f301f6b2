"""Parametric ReLU: max(x, 0) + w min(x, 0), w for each channel or for all."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import fx, nn

from sluicegate.ops.frame.layout import channel_count, layout_of
from sluicegate.ops.frame.lifting import filled
from sluicegate.ops.frame.links import Link, each
from sluicegate.ops.frame.room import Call, Room, Weight, Written, of_module


def _module(node: fx.Node, module: nn.PReLU, input: fx.Node) -> Call | None:
    return _call(input, of_module(node, module, "weight")["weight"])


def _function(node: fx.Node, input: fx.Node, weight: fx.Node) -> Call | None:
    return _call(input, Weight(node=weight))


def _call(x: fx.Node, weight: Weight) -> Call | None:
    return Call("prelu", (x,), {}, {"weight": weight}) if layout_of(x).channels == (1,) else None


def _links(node: fx.Node, call: Call) -> tuple[Link, ...]:
    return (each(channel_count(node)),)


def _lower(lowering: Any, node: fx.Node, call: Call) -> None:
    lowering.emit(node, "prelu", call.inputs, {}, call.tensors)


def _lift(op: Written) -> nn.Module:
    return filled(nn.PReLU(len(op.tensors["weight"])), op)


ROOM = Room(
    "prelu",
    functions={F.prelu: _function, torch.prelu: _function},
    modules={nn.PReLU: _module},
    links=_links,
    zeros="each",
    lower=_lower,
    lift=_lift,
)
