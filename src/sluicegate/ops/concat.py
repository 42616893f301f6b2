"""Channels of several values one behind the other."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, fx, nn

from sluicegate.graph import is_constant, shape
from sluicegate.ops.frame.layout import Layout, axis, channel_count, layout_of, renumbered
from sluicegate.ops.frame.lifting import Joining
from sluicegate.ops.frame.links import Link, Sources
from sluicegate.ops.frame.room import Call, Room, Written


def _joined(node: fx.Node, tensors: Sequence[fx.Node], dim: int = 0) -> Call | None:
    first = tensors[0]
    same = all(layout_of(x) == layout_of(first) and not is_constant(x) for x in tensors)
    if not same or axis(first, dim) != layout_of(first).channels[:1][0]:
        return None
    return Call("concat", tuple(tensors))


def _stacked(node: fx.Node, tensors: Sequence[fx.Node], dim: int = 0) -> Call | None:
    first = tensors[0]
    side = dim % len(shape(node))
    same = all(layout_of(x) == layout_of(first) and not is_constant(x) for x in tensors)
    if not same or side == 0:
        return None
    place = {old: old + (old >= side) for old in range(len(shape(first)))}
    after = renumbered(layout_of(first), place)
    return Call("concat", tuple(tensors), layout=Layout((side, *after.channels), after.pixels))


def _links(node: fx.Node, call: Call) -> tuple[Link, ...]:
    links, begin, total = [], 0, channel_count(node)
    for x in call.inputs:
        count = channel_count(x)
        sources = np.full(total, -1)
        sources[begin : begin + count] = np.arange(count)
        links.append(Sources(sources, count))
        begin += count
    return tuple(links)


def _lower(lowering: Any, node: fx.Node, call: Call) -> None:
    lowering.emit(node, "concat", call.inputs, {})


class Concat(Joining):
    """Values behind one another, along the channels."""

    def forward(self, *values: Tensor) -> Tensor:
        return torch.cat(values, 1)


def _lift(op: Written) -> nn.Module:
    return Concat()


ROOM = Room(
    "concat",
    functions={**dict.fromkeys((torch.cat, torch.concat), _joined), torch.stack: _stacked},
    links=_links,
    zeros="each",
    lower=_lower,
    lift=_lift,
)
