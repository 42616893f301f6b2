"""Two logits a gate become one: on - off. Folded into the weights of what makes them."""

from typing import Any

import numpy as np
from torch import fx

from sluicegate.gates.gate import on_minus_off
from sluicegate.ops.frame.layout import VECTOR, channel_count
from sluicegate.ops.frame.links import Link, Spread
from sluicegate.ops.frame.room import Call, Room


def _function(node: fx.Node, raw: fx.Node) -> Call:
    return Call("difference", (raw,), layout=VECTOR)


def _links(node: fx.Node, call: Call) -> tuple[Link, ...]:
    outputs = channel_count(node)
    return (Spread(np.arange(2 * outputs) // 2, outputs),)


def _lower(lowering: Any, node: fx.Node, call: Call) -> None:
    lowering.difference(node, call)


ROOM = Room("difference", functions={on_minus_off: _function}, links=_links, lower=_lower)
