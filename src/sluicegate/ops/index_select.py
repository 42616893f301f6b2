"""Channels by number: out[c] = x[index[c]]. The numbers are a tensor that the network keeps.

In the normal form of a network, and in a program, -1 stands for zeros: so a sum with some channels (`index_add`) is a
sum with all of them (`frame/spelled_out.py`).
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn

from sluicegate.graph import constant_value, is_constant
from sluicegate.ops.frame.layout import axis, channel_count, layout_of
from sluicegate.ops.frame.links import Link, Sources
from sluicegate.ops.frame.room import Call, Room, Written
from sluicegate.ops.frame.spelled_out import placed


def _function(node: fx.Node, input: fx.Node, dim: int, index: fx.Node) -> Call | None:
    owner = node.graph.owning_module
    if owner is None or not is_constant(index):
        return None
    return _placed(node, input, dim, constant_value(owner, index).tolist())


def _placed(node: fx.Node, x: fx.Node, dim: int, index: Sequence[int]) -> Call | None:
    if layout_of(x).channels != (axis(x, dim),):
        return None
    return Call("index_select", (x,), {"index": np.array(index)})


def _links(node: fx.Node, call: Call) -> tuple[Link, ...]:
    return (Sources(call.attributes["index"], channel_count(call.inputs[0])),)


def _lower(lowering: Any, node: fx.Node, call: Call) -> None:
    # Float32 holds every number of a channel exactly.
    weight = torch.from_numpy(call.attributes["index"]).float()
    lowering.emit(node, "index_select", call.inputs, {}, {"weight": weight})


class Picked(nn.Module):
    """[N, C, ...] -> [N, O, ...], zeros where the number is -1."""

    index: Tensor

    def __init__(self, op: Written) -> None:
        super().__init__()
        self.sides = 2 * (len(op.read) - 1)
        self.register_buffer("index", op.tensors["weight"].long() % (op.read[0] + 1))

    def forward(self, x: Tensor) -> Tensor:
        return F.pad(x, [0] * self.sides + [0, 1]).index_select(1, self.index)


ROOM = Room(
    "index_select",
    functions={torch.index_select: _function, placed: _placed},
    methods={"index_select": _function},
    links=_links,
    zeros="each",
    lower=_lower,
    lift=Picked,
)
