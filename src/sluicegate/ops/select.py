"""A mask: channels of closed gates become zero. `gates` says which gate each channel has, -1 for none."""

from collections.abc import Sequence
from typing import Any

from torch import fx

from sluicegate.gates.mask import mask_channels
from sluicegate.ops.frame.layout import channel_count
from sluicegate.ops.frame.links import Link, each
from sluicegate.ops.frame.room import Call, Room


def _function(node: fx.Node, x: fx.Node, factor: fx.Node, dim: int = 1, gates: Sequence[int] = ()) -> Call:
    return Call("select", (x,), {"factor": factor, "gates": tuple(gates)})


def _links(node: fx.Node, call: Call) -> tuple[Link, ...]:
    return (each(channel_count(node)),)


def _lower(lowering: Any, node: fx.Node, call: Call) -> None:
    lowering.select(node, call)


ROOM = Room("select", functions={mask_channels: _function}, links=_links, zeros="each", map="any", lower=_lower)
