"""Sum of two values."""

import math
import operator
from typing import Any

import torch
from torch import fx, nn

from sluicegate.graph import is_constant, shape
from sluicegate.nets.shake_shake import ShakeShake
from sluicegate.ops.channel_affine import by_constant
from sluicegate.ops.frame.layout import channel_count
from sluicegate.ops.frame.links import Link, each
from sluicegate.ops.frame.room import Call, Room, Work, Written, same_sides


def _function(node: fx.Node, input: Any, other: Any, *, alpha: float = 1) -> Call | None:
    if alpha != 1:
        return None
    numbers = [x for x in (input, other) if isinstance(x, (int, float))]
    nodes = [x for x in (input, other) if isinstance(x, fx.Node)]
    if numbers and nodes:
        return Call("affine", (nodes[0],), {"scale": 1.0, "shift": float(numbers[0])})
    if len(nodes) != 2:
        return None
    constants = [x for x in nodes if is_constant(x)]
    if len(constants) == 1:
        (x,) = (x for x in nodes if x not in constants)
        return by_constant(node, "bias", x, constants[0])
    return Call("add", (nodes[0], nodes[1])) if same_sides(*nodes) and shape(nodes[0]) == shape(node) else None


def _module(node: fx.Node, module: nn.Module, first: Any, second: Any) -> Call | None:
    return _function(node, first, second)


def _links(node: fx.Node, call: Call) -> tuple[Link, ...]:
    return (each(channel_count(node)),) * len(call.inputs)


def _work(node: fx.Node, call: Call) -> Work:
    return Work("add", math.prod(shape(node)[1:]))


def _lower(lowering: Any, node: fx.Node, call: Call) -> None:
    lowering.sum(node)


def _lift(op: Written) -> nn.Module:
    return nn.Identity()


ROOM = Room(
    "add",
    functions=dict.fromkeys((operator.add, operator.iadd, torch.add), _function),
    methods=dict.fromkeys(("add", "add_"), _function),
    modules={ShakeShake: _module},  # in training its summands have random factors, 1 on average
    links=_links,
    zeros="each",
    map="any",
    work=_work,
    lower=_lower,
    lift=_lift,
)
