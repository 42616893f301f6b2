"""An exit: what an image that leaves is given, else what comes of going on."""

from typing import Any

from torch import fx

from sluicegate.gates.mask import leave
from sluicegate.ops.frame.layout import channel_count
from sluicegate.ops.frame.links import Link, each
from sluicegate.ops.frame.room import Call, Room


def _function(node: fx.Node, early: fx.Node, is_open: fx.Node, later: fx.Node) -> Call:
    return Call("exit", (early, later), {"open": is_open})


def _links(node: fx.Node, call: Call) -> tuple[Link, ...]:
    return (each(channel_count(node)),) * len(call.inputs)


def _lower(lowering: Any, node: fx.Node, call: Call) -> None:
    lowering.alias(node, call.inputs[1])


ROOM = Room("exit", functions={leave: _function}, links=_links, lower=_lower)
