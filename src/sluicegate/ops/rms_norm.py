"""Root mean square norm: x / sqrt(mean of x^2 + eps) * weight, the mean over all channels of each pixel.

Source: Zhang and Sennrich (2019), equation 4. No gate may stand before one: the mean is over all channels.
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

_SMALLEST = torch.finfo(torch.float32).eps
"""What torch adds where eps is None."""


def _function(
    node: fx.Node, input: fx.Node, normalized_shape: Any, weight: fx.Node | None = None, eps: float | None = None
) -> Call | None:
    return _over_last(input, len(normalized_shape), eps, of_nodes(weight=weight))


def _module(node: fx.Node, module: nn.RMSNorm, input: fx.Node) -> Call | None:
    return _over_last(input, len(module.normalized_shape), module.eps, of_module(node, module, "weight"))


def _over_last(x: fx.Node, count: int, eps: float | None, tensors: dict[str, Weight]) -> Call | None:
    rank = len(shape(x))
    if set(range(rank - count, rank)) != set(layout_of(x).channels):
        return None
    return Call("rms_norm", (x,), {"eps": _SMALLEST if eps is None else eps}, tensors)


def _first(node: fx.Node, module: nn.Module, x: fx.Node) -> Call | None:
    """Of a module whose channels are the first side behind the images."""
    if tuple(layout_of(x).channels) != (1,):
        return None
    return Call("rms_norm", (x,), {"eps": module.eps}, of_module(node, module, "weight"))


def _lower(lowering: Any, node: fx.Node, call: Call) -> None:
    lowering.emit(node, "rms_norm", call.inputs, call.attributes, call.tensors, ungated=True)


class ChannelRmsNorm(ChannelWeights):
    """Over the channels of each pixel, [N, C, H, W] or [N, C]."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.movedim(F.rms_norm(torch.movedim(x, 1, -1), x.shape[1:2], self.weight, self.eps), -1, 1)


ROOM = Room(
    "rms_norm",
    functions={F.rms_norm: _function, torch.rms_norm: _function},
    modules={
        nn.RMSNorm: _module,
        "timm.layers.norm.RmsNorm": _module,
        "timm.layers.norm.RmsNorm2d": _first,
    },
    links=over_all_channels,
    map="open",
    work=work_of_norm,
    lower=_lower,
    lift=ChannelRmsNorm,
)
