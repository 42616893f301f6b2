"""The end of a branch, zero for images that skip it."""

from typing import Any

from torch import fx

from sluicegate.gates.mask import mask_layer
from sluicegate.ops.frame.layout import channel_count
from sluicegate.ops.frame.links import Link, each
from sluicegate.ops.frame.room import Call, Room


def _function(node: fx.Node, x: fx.Node, factor: fx.Node) -> Call:
    return Call("layer_mask", (x,), {"factor": factor})


def _links(node: fx.Node, call: Call) -> tuple[Link, ...]:
    return (each(channel_count(node)),)


def _lower(lowering: Any, node: fx.Node, call: Call) -> None:
    lowering.alias(node, call.inputs[0])


ROOM = Room("layer_mask", functions={mask_layer: _function}, links=_links, lower=_lower)
