"""What hands its input on as it is, in evaluation: dropout, stochastic depth, copies."""

from typing import Any

import torch
from torch import fx, nn

from sluicegate.graph import shape
from sluicegate.ops.layout import channel_count
from sluicegate.ops.links import Link, each
from sluicegate.ops.room import Call, Room


def handed_on(node: fx.Node, module: nn.Module, input: Any, *rest: Any) -> Call | None:
    """The call of a module that is its input in evaluation."""
    return Call("identity", (input,)) if isinstance(input, fx.Node) and shape(input) == shape(node) else None


def _method(node: fx.Node, input: fx.Node, *rest: Any, **more: Any) -> Call | None:
    same = node.meta["values"][0].dtype == input.meta["values"][0].dtype
    return Call("identity", (input,)) if same and shape(input) == shape(node) else None


def _links(node: fx.Node, call: Call) -> tuple[Link, ...]:
    return (each(channel_count(node)),)


def _lower(lowering: Any, node: fx.Node, call: Call) -> None:
    lowering.alias(node, call.inputs[0])


_DROPOUTS = (nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d, nn.AlphaDropout, nn.FeatureAlphaDropout)
ROOM = Room(
    "identity",
    functions={torch.clone: _method, torch.detach: _method},
    methods=dict.fromkeys(("contiguous", "clone", "detach", "float", "to", "type_as", "type"), _method),
    modules={nn.Identity: handed_on, **dict.fromkeys(_DROPOUTS, handed_on)},
    links=_links,
    zeros="each",
    lower=_lower,
)
