"""Global response norm: x (1 + weight n) + bias, n = |x_c| / (mean over channels of |x_c| + eps), |x_c| over pixels.

Source: ConvNeXt V2 (Woo et al. 2023), section 3.2. No gate may stand before one: what is zero has a say in the mean.
"""

from typing import Any

from torch import Tensor, fx, nn

from sluicegate.graph import shape
from sluicegate.ops.frame.layout import layout_of
from sluicegate.ops.frame.lifting import ChannelWeights
from sluicegate.ops.frame.norms import over_all_channels, work_of_norm
from sluicegate.ops.frame.room import Call, Room, of_module


def _module(node: fx.Node, module: nn.Module, x: fx.Node) -> Call | None:
    sides = range(len(shape(x)))
    own: Any = module
    layout = layout_of(x)
    if (sides[own.channel_dim],) != tuple(layout.channels) or set(own.spatial_dim) != set(layout.pixels):
        return None
    return Call("response_norm", (x,), {"eps": module.eps}, of_module(node, module, "weight", "bias"))


def _lower(lowering: Any, node: fx.Node, call: Call) -> None:
    lowering.emit(node, "response_norm", call.inputs, call.attributes, call.tensors, ungated=True)


class ResponseNorm(ChannelWeights):
    """Of [N, C, H, W]; read again it is this op."""

    spatial_dim, channel_dim = (2, 3), 1

    def forward(self, x: Tensor) -> Tensor:
        lengths = x.norm(dim=(2, 3), keepdim=True)
        normed = x * lengths / (lengths.mean(1, keepdim=True) + self.eps)
        weighted = normed if self.weight is None else normed * self.weight[:, None, None]
        return x + weighted if self.bias is None else x + weighted + self.bias[:, None, None]


ROOM = Room(
    "response_norm",
    modules={"timm.layers.grn.GlobalResponseNorm": _module, ResponseNorm: _module},
    links=over_all_channels,
    map="open",
    work=work_of_norm,
    lower=_lower,
    lift=ResponseNorm,
)
