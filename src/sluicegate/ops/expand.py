"""Repeats the one pixel of each channel; only a product looks through it."""

import math
from typing import Any

from torch import fx

from sluicegate.graph import shape
from sluicegate.ops.frame.layout import channel_count, layout_of, pixel_count
from sluicegate.ops.frame.links import Link, each
from sluicegate.ops.frame.room import Call, Room


def _function(node: fx.Node, x: fx.Node, *sides: Any) -> Call | None:
    channels = math.prod(shape(node)[side] for side in layout_of(x).channels)
    if len(shape(x)) != len(shape(node)) or pixel_count(x) != 1 or channel_count(x) != channels:
        return None
    return Call("expand", (x,), layout=layout_of(x))


def _links(node: fx.Node, call: Call) -> tuple[Link, ...]:
    return (each(channel_count(node)),)


def _lower(lowering: Any, node: fx.Node, call: Call) -> None:
    lowering.alias(node, call.inputs[0])


ROOM = Room(
    "expand", methods=dict.fromkeys(("expand", "expand_as"), _function), links=_links, zeros="each", lower=_lower
)
