"""The sum of equal parts of the channels, as selective kernels add their branches. A sum of slices in the program."""

from typing import Any

import numpy as np
from torch import fx

from sluicegate.ops.frame.layout import channel_count
from sluicegate.ops.frame.links import Link, Spread
from sluicegate.ops.frame.room import Call, Room


def _links(node: fx.Node, call: Call) -> tuple[Link, ...]:
    outputs = channel_count(node)
    return (Spread(np.arange(channel_count(call.inputs[0])) % outputs, outputs),)


def _lower(lowering: Any, node: fx.Node, call: Call) -> None:
    lowering.fold(node, call)


ROOM = Room("fold", links=_links, zeros="each", lower=_lower)
