"""Channel shuffle: channels of several groups are dealt out one by one.

    out[c] = in[(c mod g) C/g + c / g]

A view that follows a transposition of channels is one too (`reshape.py`).
"""

from typing import Any

import numpy as np
from torch import fx, nn

from sluicegate.ops.frame.layout import channel_count
from sluicegate.ops.frame.links import Link, Sources
from sluicegate.ops.frame.room import Call, Room, Written


def _module(node: fx.Node, module: nn.ChannelShuffle, input: fx.Node) -> Call:
    return Call("shuffle", (input,), {"groups": module.groups})


def _links(node: fx.Node, call: Call) -> tuple[Link, ...]:
    channels, groups = channel_count(node), call.attributes["groups"]
    return (Sources(np.arange(channels).reshape(groups, -1).T.reshape(-1), channels),)


def _lower(lowering: Any, node: fx.Node, call: Call) -> None:
    lowering.emit(node, "shuffle", call.inputs, call.attributes)


def _lift(op: Written) -> nn.Module | None:
    return nn.ChannelShuffle(op.has["groups"]) if len(op.read) == 3 else None


ROOM = Room("shuffle", modules={nn.ChannelShuffle: _module}, links=_links, zeros="each", lower=_lower, lift=_lift)
