"""y = scale x + shift, the same numbers for all of a value. Sums and products with a number are read as it."""

import operator
from typing import Any

import torch
from torch import fx, nn

from sluicegate.ops.frame.layout import channel_count
from sluicegate.ops.frame.lifting import Function
from sluicegate.ops.frame.links import Link, each
from sluicegate.ops.frame.room import Call, Room, Written, Zeros


def _less(node: fx.Node, input: Any, other: Any) -> Call | None:
    if isinstance(other, (int, float)):
        return Call("affine", (input,), {"scale": 1.0, "shift": -float(other)})
    if isinstance(input, (int, float)):
        return Call("affine", (other,), {"scale": -1.0, "shift": float(input)})
    return None


def _negative(node: fx.Node, input: fx.Node) -> Call:
    return Call("affine", (input,), {"scale": -1.0, "shift": 0.0})


def _links(node: fx.Node, call: Call) -> tuple[Link, ...]:
    return (each(channel_count(node)),)


def _zeros(node: fx.Node, call: Call) -> Zeros:
    return "never" if call.attributes["shift"] else "each"


def _lower(lowering: Any, node: fx.Node, call: Call) -> None:
    lowering.emit(node, "affine", call.inputs, call.attributes)


def _lift(op: Written) -> nn.Module:
    return Function(torch.add, op.has["shift"], scale=op.has["scale"])


ROOM = Room(
    "affine",
    functions={operator.sub: _less, torch.sub: _less, operator.neg: _negative, torch.neg: _negative},
    methods={"sub": _less, "neg": _negative},
    links=_links,
    zeros=_zeros,
    lower=_lower,
    lift=_lift,
)
