"""Layer norm: over all channels of each pixel.

No gate may stand before one: what is zero has a say in the mean.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn

from sluicegate.graph import shape
from sluicegate.ops.frame.layout import layout_of
from sluicegate.ops.frame.lifting import ChannelWeights
from sluicegate.ops.frame.norms import over_all_channels, work_of_norm
from sluicegate.ops.frame.room import Call, Room, Weight, of_module, of_nodes


def _function(
    node: fx.Node,
    input: fx.Node,
    normalized_shape: Any,
    weight: fx.Node | None = None,
    bias: fx.Node | None = None,
    eps: float = 1e-5,
) -> Call | None:
    return _over_last(input, len(normalized_shape), eps, of_nodes(weight=weight, bias=bias))


def _module(node: fx.Node, module: nn.LayerNorm, input: fx.Node) -> Call | None:
    tensors = of_module(node, module, "weight", "bias")
    return _over_last(input, len(module.normalized_shape), module.eps, tensors)


def _over_last(x: fx.Node, count: int, eps: float, tensors: dict[str, Weight]) -> Call | None:
    """Over channels and pixels at once, without weights, it is a group norm of one group."""
    rank, layout = len(shape(x)), layout_of(x)
    over = set(range(rank - count, rank))
    if over == set(layout.channels):
        return Call("layer_norm", (x,), {"eps": eps}, tensors)
    whole = over == {*layout.channels, *layout.pixels} and not tensors
    return Call("group_norm", (x,), {"groups": 1, "eps": eps}) if whole else None


def _lower(lowering: Any, node: fx.Node, call: Call) -> None:
    lowering.emit(node, "layer_norm", call.inputs, call.attributes, call.tensors, ungated=True)


class ChannelNorm(ChannelWeights):
    """Layer norm over the channels of each pixel, [N, C, H, W] or [N, C]."""

    def forward(self, x: Tensor) -> Tensor:
        last = torch.movedim(x, 1, -1)
        return torch.movedim(F.layer_norm(last, last.shape[-1:], self.weight, self.bias, self.eps), -1, 1)


ROOM = Room(
    "layer_norm",
    functions={F.layer_norm: _function, torch.layer_norm: _function},
    modules={nn.LayerNorm: _module},
    links=over_all_channels,
    map="open",
    work=work_of_norm,
    lower=_lower,
    lift=ChannelNorm,
)
