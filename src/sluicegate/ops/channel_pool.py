"""One figure a pixel: the mean, the sum or the largest over its channels. `global_pool.py` reads its spellings."""

from typing import Any

from torch import fx

from sluicegate.ops.frame.layout import channel_count
from sluicegate.ops.frame.links import Link, Mixed
from sluicegate.ops.frame.room import Call, Room


def _links(node: fx.Node, call: Call) -> tuple[Link, ...]:
    return (Mixed(channel_count(call.inputs[0]), channel_count(node)),)


def _lower(lowering: Any, node: fx.Node, call: Call) -> None:
    lowering.emit(node, "channel_pool", call.inputs, call.attributes, planes=True)


ROOM = Room("channel_pool", links=_links, map="open", lower=_lower)
